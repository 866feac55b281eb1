/*-------------------------------------------------------------------------
 *
 * dead_letter.c
 *		The marker that has dead letters sent again.
 *
 * Written into the caller's transaction, as an event is (write_message.c), by
 * SQL functions that have looked at rights and rows (dead_letter.sql).  The
 * relay acts on it in its place in the stream: relay/retry.c.  Nothing of the
 * rows is locked or changed here, so a rollback leaves nothing behind.
 *
 * Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/pg_type.h"
#include "emit/emit.h"
#include "emit/write_message.h"
#include "fmgr.h"
#include "record/retry.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"

PG_FUNCTION_INFO_V1(outbox_write_retry);

static void
put_ids(StringInfo payload, ArrayType *array)
{
	Datum	   *ids;
	int			n;

	deconstruct_array(array, INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
					  TYPALIGN_DOUBLE, &ids, NULL, &n);
	outbox_retry_begin_ids(payload, n);
	for (int i = 0; i < n; i++)
		outbox_put_u64(payload, (uint64) DatumGetInt64(ids[i]));
}

static void
set_lane(OutboxWalMessage *msg, FunctionCallInfo fcinfo)
{
	text	   *topic = PG_GETARG_TEXT_PP(0);

	msg->topic = VARDATA_ANY(topic);
	msg->topic_len = VARSIZE_ANY_EXHDR(topic);
	if (!PG_ARGISNULL(1))
	{
		bytea	   *key = PG_GETARG_BYTEA_PP(1);

		msg->key = VARDATA_ANY(key);
		msg->key_len = VARSIZE_ANY_EXHDR(key);
	}
	if (!PG_ARGISNULL(2))
		msg->partition = PG_GETARG_INT32(2);
}

/* See dead_letter.sql. */
Datum
outbox_write_retry(PG_FUNCTION_ARGS)
{
	OutboxWalMessage msg = {
		.kind = OUTBOX_MESSAGE_RETRY,
		.partition = -1,
		.topic_len = -1,
		.key_len = -1,
		.headers_len = -1
	};
	StringInfoData payload;

	outbox_message_check_server("outbox.retry_dead_letter()");
	initStringInfo(&payload);
	if (!PG_ARGISNULL(5))
		put_ids(&payload, PG_GETARG_ARRAYTYPE_P(5));
	else
	{
		set_lane(&msg, fcinfo);
		outbox_retry_write_lane(&payload,
								PG_ARGISNULL(3) ? 0 : PG_GETARG_LSN(3),
								PG_ARGISNULL(4) ? 0 : (uint32) PG_GETARG_INT64(4));
	}
	msg.payload = payload.data;
	msg.payload_len = payload.len;

	/* Accepts invalidations: the key that it is signed with may have changed. */
	table_close(table_open(outbox_catalog_relation("secret"), AccessShareLock),
				AccessShareLock);
	outbox_message_new_id(msg.event_id);
	outbox_message_write(&msg);
	pfree(payload.data);
	PG_RETURN_VOID();
}
