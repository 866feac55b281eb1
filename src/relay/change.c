/*-------------------------------------------------------------------------
 *
 * change.c
 *		Captured rows: what only the commit knows is added to their payload, and
 *		counted for transaction metadata.
 *
 * The row was encoded when it was written, without place and time of a commit
 * that was still to come.  The relay appends them here (rowcodec/tail.c), into a
 * buffer of its own; messages of event types never come this way.
 *
 * Transaction metadata, for captures that ask for it: each row has its number in
 * the transaction and among the rows of its table, and the transaction topic is
 * told of the transaction's beginning and end.  A transaction that is resumed
 * after a split is counted from its first message, so numbers are the same
 * whenever and by whomever it is published; what was told is not told again.
 *
 * If the process dies, the next one pushes the transaction again, from its
 * beginning or from the split, and makes the same bytes of it: all that goes in
 * comes from WAL.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "avro/avro.h"
#include "relay/relay.h"
#include "rowcodec/tail.h"
#include "utils/memutils.h"

#define EPOCH_US \
	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)
#define KEEP_BUFFER_SIZE (1024 * 1024)

/* The record about a transaction, and its key. */
static StringInfoData record;
static StringInfoData record_key;

void
outbox_change_init(OutboxRelay *relay)
{
	initStringInfo(&relay->change);
	initStringInfo(&record);
	initStringInfo(&record_key);
}

static void
count(OutboxRelay *relay, OutboxCollection *collection)
{
	if (collection->serial != relay->serial)
	{
		collection->serial = relay->serial;
		collection->count = 0;
	}
	collection->count++;
	relay->total_order++;
}

void
outbox_change_complete(OutboxRelay *relay, const OutboxTxn *txn,
					   const OutboxRouteEntry *route, XLogRecPtr lsn,
					   OutboxWalMessage *msg)
{
	OutboxChangeTail tail = {
		.commit_time_us = txn->commit_time + EPOCH_US,
		.lsn = lsn,
		.xid = U64FromFullTransactionId(relay->full_xid),
		.commit_lsn = txn->commit_end
	};
	StringInfo	out = &relay->change;

	if (msg->payload == NULL)
		return;
	if (route->collection != NULL)
	{
		count(relay, route->collection);
		tail.total_order = relay->total_order;
		tail.collection_order = route->collection->count;
		tail.collection = route->collection->name;
	}
	if (relay->pushed < relay->skip)
		return;					/* only counted */
	if (out->maxlen > KEEP_BUFFER_SIZE)
	{
		out->data = repalloc(out->data, 1024);
		out->maxlen = 1024;
	}
	resetStringInfo(out);
	appendBinaryStringInfo(out, msg->payload, msg->payload_len);
	outbox_change_tail(out, route->envelope,
					   route->framed ? OUTBOX_FORMAT_AVRO : OUTBOX_FORMAT_JSON,
					   &tail);
	msg->payload = out->data;
	msg->payload_len = out->len;
	msg->flags &= ~OUTBOX_MSG_TAIL;
}

/* Names are as PostgreSQL has them. */
static void
put_name(StringInfo out, const char *name)
{
	outbox_avro_json_quote(out, name, strlen(name));
}

static void
put_collections(OutboxRelay *relay)
{
	const char *comma = "";

	appendStringInfo(&record, ",\"event_count\":" UINT64_FORMAT
					 ",\"data_collections\":[", relay->total_order);
	for (OutboxCollection *c = outbox_routes_collections(); c != NULL; c = c->next)
	{
		if (c->serial != relay->serial)
			continue;
		appendStringInfo(&record, "%s{\"data_collection\":", comma);
		put_name(&record, c->name);
		appendStringInfo(&record, ",\"event_count\":" UINT64_FORMAT "}",
						 c->count);
		comma = ",";
	}
	appendStringInfoChar(&record, ']');
}

/* Ids of these are made of the transaction's place: the same at each attempt. */
static void
set_id(OutboxWalMessage *msg, const OutboxTxn *txn, bool end)
{
	outbox_store_le(msg->event_id, txn->commit_end, 8);
	outbox_store_le(msg->event_id + 8, end ? 2 : 1, 8);
	msg->event_id[6] = (msg->event_id[6] & 0x0F) | 0x80;	/* version 8 */
	msg->event_id[8] = (msg->event_id[8] & 0x3F) | 0x80;	/* variant */
}

void
outbox_change_describe(OutboxRelay *relay, const OutboxTxn *txn, bool end,
					   OutboxWalMessage *msg)
{
	resetStringInfo(&record_key);
	appendStringInfo(&record_key, UINT64_FORMAT ":" UINT64_FORMAT,
					 U64FromFullTransactionId(relay->full_xid),
					 (uint64) txn->commit_end);
	resetStringInfo(&record);
	appendStringInfo(&record, "{\"status\":\"%s\",\"id\":\"%s\"",
					 end ? "END" : "BEGIN", record_key.data);
	if (end)
		put_collections(relay);
	else
		appendStringInfoString(&record,
							   ",\"event_count\":null,\"data_collections\":null");
	appendStringInfo(&record, ",\"ts_ms\":%lld}",
					 (long long) ((txn->commit_time + EPOCH_US) / 1000));

	memset(msg, 0, sizeof(*msg));
	msg->kind = OUTBOX_MESSAGE_EVENT;
	msg->partition = -1;
	msg->topic_len = msg->headers_len = -1;
	set_id(msg, txn, end);
	msg->key = record_key.data;
	msg->key_len = record_key.len;
	msg->payload = record.data;
	msg->payload_len = record.len;
}
