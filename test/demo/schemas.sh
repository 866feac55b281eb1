# Part of demo.sh: schemas change while a consumer reads, and one may not.
#
# Uses its variables and functions (query, say, note, published, ...).  Every
# event has its row in shop.ledger, so the comparison at the end counts it too.
say "Schemas: a field is added while a consumer reads, two types share a topic"

set -m
as_user "$python" "$root/test/consumer/consume.py" --bootstrap "$bootstrap" --registry "$registry" --follow --latest "$topic" >"$work/logs/follow.jsonl" 2>"$work/logs/follow.err" </dev/null &
reader=$!
set +m

# emit TYPE FIELDS: one event of customer-1, FIELDS beside customer and order_no
emit() {
	query >/dev/null <<-SQL
	WITH c AS (UPDATE shop.customer SET seq = seq + 1 WHERE name = 'customer-1' RETURNING name, seq),
		p AS (SELECT name, seq, jsonb_build_object('customer', name, 'order_no', seq) || '$2' AS payload FROM c)
	INSERT INTO shop.ledger (event_id, customer, seq, type, payload, ord)
	SELECT outbox.emit('$1', payload, key => name), name, seq, '$1', payload, 0 FROM p
	SQL
}

# What the consumer has read of this part, a line an event.
followed() { jq -r '"schema \(.schema)  \(.value)"' "$work/logs/follow.jsonl"; }
reader_has() {
	local tries=300
	until [ "$(wc -l <"$work/logs/follow.jsonl")" -ge "$1" ]; do
		[ $((tries -= 1)) -gt 0 ] || { cat "$work/logs/follow.err" >&2; return 1; }
		sleep 0.1
	done
}

reader_ready() {
	local tries=300
	until grep -q "from the end" "$work/logs/follow.err"; do
		[ $((tries -= 1)) -gt 0 ] && kill -0 $reader || return 1
		sleep 0.1
	done
}
reader_ready || die "the consumer did not start"

emit order.paid '{"cents": 500, "method": "cash"}'
reader_has 1 || die "the consumer did not see a payment"
note "${dim}ALTER TABLE shop.payment ADD COLUMN currency text;${off}"
query -c "ALTER TABLE shop.payment ADD COLUMN currency text"
emit order.paid '{"cents": 700, "method": "card", "currency": "EUR"}'
emit order.placed '{"items": [{"article": "tea", "pieces": 1, "cents": 700}], "coupon": null}'
reader_has 3 || die "the consumer did not see the new field"
followed | sed 's/^/  /'
[ "$(jq -r '.value | select(has("currency")) | .currency' "$work/logs/follow.jsonl" | sort -u | tr '\n' ' ')" = "EUR " ] ||
	die "the consumer did not get the new field as it was written"
[ "$(jq -r .schema "$work/logs/follow.jsonl" | sort -u | wc -l)" = 3 ] || die "not every schema has an id of its own"
end_group "$reader"
reader=

say "Schemas: a change that would break consumers is refused"
note "${dim}ALTER TABLE shop.payment ALTER COLUMN cents TYPE text;${off}"
if refusal=$(query -c "ALTER TABLE shop.payment ALTER COLUMN cents TYPE text" 2>&1); then
	die "it was not refused"
fi
sed 's/^/  /' <<<"$refusal"
query -F '  ' -c "SELECT subject, 'version ' || version, 'schema ' || schema_id, 'by ' || created_by FROM outbox.schema_versions ORDER BY subject, version" | sed 's/^/  /'
