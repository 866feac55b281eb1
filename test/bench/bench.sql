-- The benchmark's event types and its two ways to write many transactions.
CREATE EXTENSION outbox;

-- One field of bytes: with 198 of them the Avro payload has 200.
SELECT outbox.create_event_type('bench.avro', topic => 'bench.avro', partitions => 1,
	schema => '{"type": "record", "name": "Bench", "fields": [{"name": "v", "type": "bytes"}]}');

-- What the latency and cost parts emit, in both formats,
-- and the same as a row.
SELECT outbox.create_event_type('bench.order', topic => 'bench.order', partitions => 1,
	schema => '{"type": "record", "name": "BenchOrder", "fields": [
		{"name": "order_no", "type": "long"},
		{"name": "customer", "type": "string"},
		{"name": "article", "type": "string"},
		{"name": "pieces", "type": "int"},
		{"name": "cents", "type": "long"},
		{"name": "remark", "type": ["null", "string"], "default": null}]}');
CREATE TYPE bench_order AS (order_no bigint, customer text, article text,
	pieces int, cents bigint, remark text);
SELECT outbox.create_event_type('bench.row', topic => 'bench.order', partitions => 1,
	row_type => 'bench_order');
SELECT outbox.create_event_type('bench.json', topic => 'bench.json', partitions => 1,
	format => 'json');

-- n transactions of one event each; called outside a transaction.
CREATE PROCEDURE write_transactions(type text, n integer, size integer)
LANGUAGE plpgsql AS $$
DECLARE
	payload bytea := '\x8c03' || convert_to(repeat('v', 198), 'UTF8');
BEGIN
	IF size <> 200 THEN
		RAISE 'the payload has 200 bytes, not %', size;
	END IF;
	FOR i IN 1 .. n LOOP
		PERFORM outbox.emit_avro(type, payload, key => (i % 1000)::text);
		COMMIT;
	END LOOP;
END
$$;

-- n rows in transactions of "size" rows; called outside a transaction.
CREATE PROCEDURE write_rows(n integer, size integer)
LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 0 .. n / size - 1 LOOP
		INSERT INTO bench_rows
			SELECT g, g % 1000, g % 7, g * 100, 'please ring twice, the bell is hard to hear'
			FROM generate_series(i * size + 1, (i + 1) * size) g;
		COMMIT;
	END LOOP;
END
$$;
