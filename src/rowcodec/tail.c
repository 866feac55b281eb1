/*-------------------------------------------------------------------------
 *
 * tail.c
 *		The end of a change's payload: what is known only when its transaction
 *		has committed.
 *
 * The fields stand last in the envelope's schema, contiguous, so appending is
 * all there is to do: value.c wrote everything before them.
 *
 *	debezium	source.lsn, source.ts_ms, source.ts_us, source.ts_ns, ts_ms,
 *				ts_us, ts_ns, transaction
 *	flat		__lsn, __ts_ms
 *
 * Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "avro/write.h"
#include "rowcodec/tail.h"

static void
put_optional_long(StringInfo out, int64 value)
{
	avro_put_long(out, 1);
	avro_put_long(out, value);
}

/* "xid:lsn", as Debezium names a transaction. */
static int
transaction_id(char *buffer, size_t size, const OutboxChangeTail *tail)
{
	return snprintf(buffer, size, UINT64_FORMAT ":" UINT64_FORMAT, tail->xid,
					(uint64) tail->commit_lsn);
}

static void
debezium_avro(StringInfo out, const OutboxChangeTail *tail)
{
	int64		us = tail->commit_time_us;
	char		id[64];
	int			len;

	if (tail->lsn == InvalidXLogRecPtr)
		avro_put_long(out, 0);
	else
		put_optional_long(out, (int64) tail->lsn);
	avro_put_long(out, us / 1000);
	put_optional_long(out, us);
	put_optional_long(out, us * 1000);
	put_optional_long(out, us / 1000);
	put_optional_long(out, us);
	put_optional_long(out, us * 1000);
	if (tail->collection == NULL)
	{
		avro_put_long(out, 0);
		return;
	}
	len = transaction_id(id, sizeof(id), tail);
	avro_put_long(out, 1);
	avro_put_sized(out, id, len);
	avro_put_long(out, (int64) tail->total_order);
	avro_put_long(out, (int64) tail->collection_order);
}

static void
debezium_json(StringInfo out, const OutboxChangeTail *tail)
{
	long long	us = tail->commit_time_us;
	char		id[64];

	if (tail->lsn == InvalidXLogRecPtr)
		appendStringInfoString(out, ",\"lsn\":null");
	else
		appendStringInfo(out, ",\"lsn\":" UINT64_FORMAT, (uint64) tail->lsn);
	appendStringInfo(out, ",\"ts_ms\":%lld,\"ts_us\":%lld,\"ts_ns\":%lld}"
					 ",\"ts_ms\":%lld,\"ts_us\":%lld,\"ts_ns\":%lld,\"transaction\":",
					 us / 1000, us, us * 1000, us / 1000, us, us * 1000);
	if (tail->collection == NULL)
	{
		appendStringInfoString(out, "null}");
		return;
	}
	(void) transaction_id(id, sizeof(id), tail);
	appendStringInfo(out, "{\"id\":\"%s\",\"total_order\":" UINT64_FORMAT
					 ",\"data_collection_order\":" UINT64_FORMAT "}}",
					 id, tail->total_order, tail->collection_order);
}

void
outbox_change_tail(StringInfo out, OutboxEnvelope envelope,
				   OutboxFormat format, const OutboxChangeTail *tail)
{
	bool		avro = format == OUTBOX_FORMAT_AVRO;

	if (envelope == OUTBOX_ENVELOPE_DEBEZIUM)
	{
		if (avro)
			debezium_avro(out, tail);
		else
			debezium_json(out, tail);
		return;
	}
	if (avro)
	{
		avro_put_long(out, (int64) tail->lsn);
		avro_put_long(out, tail->commit_time_us / 1000);
	}
	else
		appendStringInfo(out, ",\"__lsn\":" UINT64_FORMAT ",\"__ts_ms\":%lld}",
						 (uint64) tail->lsn,
						 (long long) (tail->commit_time_us / 1000));
}
