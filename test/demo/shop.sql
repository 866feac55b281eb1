-- The demo's shop: two kinds of events, and a ledger with one row per event,
-- written in the same transaction, that says what was committed.
CREATE EXTENSION outbox;
CREATE SCHEMA shop;

CREATE TABLE shop.customer (
	name text PRIMARY KEY,
	seq integer NOT NULL DEFAULT 0
);
INSERT INTO shop.customer SELECT 'customer-' || n FROM generate_series(1, 8) n;

CREATE TABLE shop.ledger (
	event_id uuid PRIMARY KEY,
	customer text NOT NULL REFERENCES shop.customer,
	seq integer NOT NULL,
	type text NOT NULL,
	payload jsonb NOT NULL,
	txn xid8 NOT NULL DEFAULT pg_current_xact_id(),
	ord integer NOT NULL,
	at timestamptz NOT NULL DEFAULT clock_timestamp(),
	UNIQUE (customer, seq)
);

-- One type with an Avro schema of its own ...
SELECT outbox.create_event_type('order.placed',
	topic => :'topic', partitions => 3, key => 'customer',
	schema => '{
		"type": "record", "name": "OrderPlaced", "namespace": "shop",
		"fields": [
			{"name": "customer", "type": "string"},
			{"name": "order_no", "type": "long"},
			{"name": "items", "type": {"type": "array", "items": {
				"type": "record", "name": "Item", "fields": [
					{"name": "article", "type": "string"},
					{"name": "pieces", "type": "int"},
					{"name": "cents", "type": "long"}]}}},
			{"name": "coupon", "type": ["null", "string"], "default": null}
		]}');

-- ... and one derived from a table: the second type of event in the same topic.
CREATE TABLE shop.payment (customer text, order_no bigint, cents bigint, method text);
SELECT outbox.create_event_type('order.paid',
	topic => :'topic', partitions => 3, row_type => 'shop.payment');

-- outbox-http reads schemas as this role.
CREATE ROLE outbox_http LOGIN;
SELECT outbox.grant_registry('outbox_http');
