/*-------------------------------------------------------------------------
 *
 * wal_message.c
 *		Write and parse the WAL record of wal_message.h.
 *
 * Owns no state.  The parser takes bytes that anybody may have written with
 * pg_logical_emit_message(): it trusts no length and allocates nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "record/wal_message.h"

#include "base/cursor.h"

#define FIXED_SIZE	48			/* the fields before the topic */

static uint64
compute_mac(const void *data, size_t len,
			const uint8 key[OUTBOX_SIPHASH_KEY_SIZE],
			const OutboxMacContext *context)
{
	OutboxSipHash state;
	uint8		block[20];

	outbox_store_le(block, context->system_id, 8);
	outbox_store_le(block + 8, context->database, 4);
	outbox_store_le(block + 12, context->full_xid, 8);
	outbox_siphash_init(&state, key);
	outbox_siphash_update(&state, block, sizeof(block));
	outbox_siphash_update(&state, data, len);
	return outbox_siphash_final(&state);
}

void
outbox_wal_message_write_body(StringInfo buf, const OutboxWalMessage *msg)
{
	uint8		fixed[FIXED_SIZE];

	/* At once: each append is a call, and this is in every transaction. */
	fixed[0] = OUTBOX_WAL_MESSAGE_VERSION;
	fixed[1] = msg->kind;
	outbox_store_le(fixed + 2, msg->flags, 2);
	outbox_store_le(fixed + 4, msg->key_id, 4);
	outbox_store_le(fixed + 8, msg->ordinal, 4);
	outbox_store_le(fixed + 12, msg->route_id, 4);
	outbox_store_le(fixed + 16, msg->schema_id, 4);
	memcpy(fixed + 20, msg->event_id, OUTBOX_EVENT_ID_SIZE);
	outbox_store_le(fixed + 36, (uint32) msg->partition, 4);
	outbox_store_le(fixed + 40, (uint64) msg->timestamp_ms, 8);
	appendBinaryStringInfo(buf, (const char *) fixed, FIXED_SIZE);
	outbox_put_bytes(buf, msg->topic, msg->topic_len);
	outbox_put_bytes(buf, msg->key, msg->key_len);
	outbox_put_bytes(buf, msg->headers, msg->headers_len);
	outbox_put_bytes(buf, msg->payload, msg->payload_len);
}

void
outbox_wal_message_write(StringInfo buf, const OutboxWalMessage *msg,
						 const uint8 key[OUTBOX_SIPHASH_KEY_SIZE],
						 const OutboxMacContext *context)
{
	int			start = buf->len;
	uint64		mac;

	outbox_wal_message_write_body(buf, msg);
	mac = compute_mac(buf->data + start, buf->len - start, key, context);
	outbox_put_u64(buf, mac);
}

OutboxWalParse
outbox_wal_message_read_body(const char *data, size_t len,
							 OutboxWalMessage *msg)
{
	OutboxCursor c;
	const uint8 *id;
	uint8		version;

	outbox_cursor_init(&c, data, len);

	version = outbox_get_u8(&c);
	if (version != OUTBOX_WAL_MESSAGE_VERSION)
		return version > OUTBOX_WAL_MESSAGE_VERSION ?
			OUTBOX_WAL_TOO_NEW : OUTBOX_WAL_MALFORMED;
	msg->kind = outbox_get_u8(&c);
	msg->flags = outbox_get_u16(&c);
	msg->key_id = outbox_get_u32(&c);
	msg->ordinal = outbox_get_u32(&c);
	msg->route_id = outbox_get_u32(&c);
	msg->schema_id = outbox_get_u32(&c);
	id = outbox_get_raw(&c, OUTBOX_EVENT_ID_SIZE);
	if (id != NULL)
		memcpy(msg->event_id, id, OUTBOX_EVENT_ID_SIZE);
	msg->partition = (int32) outbox_get_u32(&c);
	msg->timestamp_ms = (int64) outbox_get_u64(&c);
	msg->topic = outbox_get_bytes(&c, &msg->topic_len);
	msg->key = outbox_get_bytes(&c, &msg->key_len);
	msg->headers = outbox_get_bytes(&c, &msg->headers_len);
	msg->payload = outbox_get_bytes(&c, &msg->payload_len);

	if (c.failed || outbox_cursor_left(&c) != 0)
		return OUTBOX_WAL_MALFORMED;
	if (msg->kind < OUTBOX_MESSAGE_EVENT || msg->kind > OUTBOX_MESSAGE_RETRY ||
		(msg->flags & ~OUTBOX_MSG_KNOWN_FLAGS) != 0)
		return OUTBOX_WAL_TOO_NEW;
	if (msg->headers != NULL &&
		outbox_headers_count(msg->headers, msg->headers_len) < 0)
		return OUTBOX_WAL_MALFORMED;
	return OUTBOX_WAL_OK;
}

OutboxWalParse
outbox_wal_message_read(const char *data, size_t len, OutboxWalMessage *msg)
{
	if (len <= OUTBOX_MAC_SIZE)
		return OUTBOX_WAL_MALFORMED;
	return outbox_wal_message_read_body(data, len - OUTBOX_MAC_SIZE, msg);
}

bool
outbox_wal_message_verify(const char *data, size_t len,
						  const uint8 key[OUTBOX_SIPHASH_KEY_SIZE],
						  const OutboxMacContext *context)
{
	OutboxCursor c;

	if (len <= OUTBOX_MAC_SIZE)
		return false;
	outbox_cursor_init(&c, data + len - OUTBOX_MAC_SIZE, OUTBOX_MAC_SIZE);
	return compute_mac(data, len - OUTBOX_MAC_SIZE, key, context) ==
		outbox_get_u64(&c);
}

void
outbox_headers_begin(StringInfo buf)
{
	outbox_put_u16(buf, 0);
}

/*
 * Append one header to a block that is the whole of buf.  value NULL is a null
 * value.  False, and nothing appended, when count or name length would not fit
 * their 16 bits.
 */
bool
outbox_headers_add(StringInfo buf, const char *name, int name_len,
				   const char *value, int value_len)
{
	OutboxCursor c;
	uint16		count;

	outbox_cursor_init(&c, buf->data, buf->len);
	count = outbox_get_u16(&c);
	if (count == PG_UINT16_MAX || name_len > PG_UINT16_MAX)
		return false;

	outbox_put_u16(buf, (uint16) name_len);
	appendBinaryStringInfo(buf, name, name_len);
	outbox_put_bytes(buf, value, value_len);
	outbox_store_le((uint8 *) buf->data, count + 1, 2);
	return true;
}

static void
read_header(OutboxCursor *c, OutboxHeader *header)
{
	header->name_len = outbox_get_u16(c);
	header->name = (const char *) outbox_get_raw(c, header->name_len);
	header->value = outbox_get_bytes(c, &header->value_len);
}

int
outbox_headers_count(const char *block, int32 len)
{
	OutboxCursor c;
	OutboxHeader header;
	int			count;

	outbox_cursor_init(&c, block, len);
	count = outbox_get_u16(&c);
	for (int i = 0; i < count && !c.failed; i++)
		read_header(&c, &header);
	return c.failed || outbox_cursor_left(&c) != 0 ? -1 : count;
}

bool
outbox_headers_next(const char *block, int32 len, int32 *offset,
					OutboxHeader *header)
{
	OutboxCursor c;

	if (*offset == 0)
		*offset = sizeof(uint16);
	if (*offset >= len)
		return false;
	outbox_cursor_init(&c, block + *offset, len - *offset);
	read_header(&c, header);
	*offset = len - (int32) outbox_cursor_left(&c);
	return !c.failed;
}
