/*-------------------------------------------------------------------------
 *
 * chunk.c
 *		Serialise what the relay and a reader say to each other.
 *
 * Owns no state.  Both sides are the same library; a form that does not parse
 * is an internal error and ends the process that sees it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/chunk.h"

static void
check(const OutboxCursor *c, bool whole)
{
	if (c->failed || (whole && outbox_cursor_left(c) != 0))
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("a message between outbox relay and snapshot reader is damaged")));
}

void
outbox_chunk_put_request(StringInfo out, const OutboxChunkRequest *request)
{
	outbox_put_u32(out, request->number);
	outbox_put_u32(out, request->relation);
	outbox_put_u32(out, request->max_rows);
	outbox_put_bytes(out, request->filter, request->filter == NULL ? 0 :
					 (int32) strlen(request->filter) + 1);
	outbox_put_bytes(out, request->cursor, request->cursor_len);
	outbox_put_bytes(out, request->topic, request->topic == NULL ? 0 :
					 (int32) strlen(request->topic) + 1);
	outbox_put_u64(out, request->token);
	outbox_put_u64(out, request->place);
	outbox_put_u64(out, (uint64) request->replay);
}

void
outbox_chunk_get_request(const char *data, Size len,
						 OutboxChunkRequest *request)
{
	OutboxCursor c;
	int32		len_of_text;

	outbox_cursor_init(&c, data, len);
	request->number = outbox_get_u32(&c);
	request->relation = outbox_get_u32(&c);
	request->max_rows = outbox_get_u32(&c);
	request->filter = outbox_get_bytes(&c, &len_of_text);
	request->cursor = outbox_get_bytes(&c, &request->cursor_len);
	request->topic = outbox_get_bytes(&c, &len_of_text);
	request->token = outbox_get_u64(&c);
	request->place = outbox_get_u64(&c);
	request->replay = (int64) outbox_get_u64(&c);
	check(&c, true);
}

void
outbox_chunk_put_head(StringInfo out, const OutboxChunkHead *head)
{
	outbox_put_u32(out, head->number);
	outbox_put_u32(out, (uint32) head->sqlstate);
	outbox_put_bytes(out, head->message, head->message_len);
	if (head->sqlstate != 0)
		return;
	outbox_put_u64(out, head->capture_stamp);
	outbox_put_u32(out, head->table);
	outbox_put_u64(out, head->table_stamp);
	outbox_put_u32(out, head->seen.xmin);
	outbox_put_u32(out, head->seen.xmax);
	outbox_put_u32(out, head->seen.nxip);
	for (uint32 i = 0; i < head->seen.nxip; i++)
		outbox_put_u32(out, head->seen.xip[i]);
	outbox_put_u64(out, head->until);
	outbox_put_u64(out, (uint64) head->read_at);
	outbox_put_u32(out, head->pass);
	outbox_put_u8(out, head->identity);
	outbox_put_u8(out, head->finished);
	outbox_put_u64(out, head->estimate);
	outbox_put_u32(out, head->nrows);
	outbox_put_bytes(out, head->cursor, head->cursor_len);
	outbox_put_bytes(out, head->prefix, head->prefix_len);
}

void
outbox_chunk_get_head(OutboxCursor *c, OutboxChunkHead *head)
{
	memset(head, 0, sizeof(*head));
	head->number = outbox_get_u32(c);
	head->sqlstate = (int32) outbox_get_u32(c);
	head->message = outbox_get_bytes(c, &head->message_len);
	check(c, head->sqlstate != 0);
	if (head->sqlstate != 0)
		return;
	head->capture_stamp = outbox_get_u64(c);
	head->table = outbox_get_u32(c);
	head->table_stamp = outbox_get_u64(c);
	head->seen.xmin = outbox_get_u32(c);
	head->seen.xmax = outbox_get_u32(c);
	head->seen.nxip = outbox_get_u32(c);
	if (head->seen.nxip > outbox_cursor_left(c) / sizeof(uint32))
		c->failed = true;
	check(c, false);
	head->seen.xip = palloc((head->seen.nxip + 1) * sizeof(TransactionId));
	for (uint32 i = 0; i < head->seen.nxip; i++)
		head->seen.xip[i] = outbox_get_u32(c);
	head->until = outbox_get_u64(c);
	head->read_at = (TimestampTz) outbox_get_u64(c);
	head->pass = outbox_get_u32(c);
	head->identity = outbox_get_u8(c) != 0;
	head->finished = outbox_get_u8(c) != 0;
	head->estimate = outbox_get_u64(c);
	head->nrows = outbox_get_u32(c);
	head->cursor = outbox_get_bytes(c, &head->cursor_len);
	head->prefix = outbox_get_bytes(c, &head->prefix_len);
	check(c, false);
}

void
outbox_chunk_put_row(StringInfo out, const OutboxChunkRow *row)
{
	const OutboxWalMessage *msg = &row->msg;

	outbox_put_u8(out, msg->kind);
	outbox_put_u16(out, msg->flags);
	outbox_put_u32(out, msg->route_id);
	outbox_put_u32(out, msg->schema_id);
	appendBinaryStringInfo(out, (const char *) msg->event_id,
						   OUTBOX_EVENT_ID_SIZE);
	outbox_put_u64(out, (uint64) msg->timestamp_ms);
	outbox_put_u32(out, (uint32) msg->partition);
	outbox_put_bytes(out, msg->topic, msg->topic_len);
	outbox_put_bytes(out, msg->key, msg->key_len);
	outbox_put_bytes(out, msg->headers, msg->headers_len);
	outbox_put_bytes(out, msg->payload, msg->payload_len);
	outbox_put_bytes(out, row->cursor, row->cursor_len);
}

void
outbox_chunk_get_row(OutboxCursor *c, OutboxChunkRow *row)
{
	OutboxWalMessage *msg = &row->msg;
	const uint8 *id;

	memset(row, 0, sizeof(*row));
	msg->kind = outbox_get_u8(c);
	msg->flags = outbox_get_u16(c);
	msg->route_id = outbox_get_u32(c);
	msg->schema_id = outbox_get_u32(c);
	id = outbox_get_raw(c, OUTBOX_EVENT_ID_SIZE);
	if (id != NULL)
		memcpy(msg->event_id, id, OUTBOX_EVENT_ID_SIZE);
	msg->timestamp_ms = (int64) outbox_get_u64(c);
	msg->partition = (int32) outbox_get_u32(c);
	msg->topic = outbox_get_bytes(c, &msg->topic_len);
	msg->key = outbox_get_bytes(c, &msg->key_len);
	msg->headers = outbox_get_bytes(c, &msg->headers_len);
	msg->payload = outbox_get_bytes(c, &msg->payload_len);
	row->cursor = outbox_get_bytes(c, &row->cursor_len);
	check(c, false);
}
