/*-------------------------------------------------------------------------
 *
 * position.c
 *		Serialise the position record of position.h.
 *
 * Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "record/position.h"

#include "base/cursor.h"
#include "port/pg_crc32c.h"

static uint32
checksum(const void *data, size_t len)
{
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, data, len);
	FIN_CRC32C(crc);
	return crc;
}

void
outbox_position_write(StringInfo buf, const OutboxPosition *pos)
{
	int			start = buf->len;

	outbox_put_u32(buf, OUTBOX_POSITION_MAGIC);
	outbox_put_u16(buf, pos->marks_len == 0 ? OUTBOX_POSITION_PLAIN :
				   OUTBOX_POSITION_VERSION);
	appendBinaryStringInfo(buf, (const char *) pos->instance,
						   sizeof(pos->instance));
	outbox_put_u64(buf, pos->system_id);
	appendBinaryStringInfo(buf, (const char *) pos->host, sizeof(pos->host));
	outbox_put_u32(buf, pos->timeline);
	outbox_put_u64(buf, pos->incarnation);
	outbox_put_u16(buf, pos->ring);
	outbox_put_u64(buf, (uint64) pos->written_ms);
	outbox_put_u64(buf, pos->scanned);
	outbox_put_u32(buf, pos->split_ordinal);
	outbox_put_u64(buf, pos->event_end);
	outbox_put_u32(buf, pos->event_crc);
	outbox_put_u64(buf, pos->commit_start);
	outbox_put_u32(buf, pos->commit_crc);
	outbox_put_u64(buf, pos->restart);
	outbox_put_u64(buf, pos->parked_lsn);
	outbox_put_u32(buf, pos->parked_ordinal);
	if (pos->marks_len > 0)
		outbox_put_bytes(buf, pos->marks, (int32) pos->marks_len);
	outbox_put_u32(buf, checksum(buf->data + start, buf->len - start));
}

/* Version 2 only. */
static void
read_marks(OutboxCursor *c, OutboxPosition *pos)
{
	int32		len;
	const char *marks = outbox_get_bytes(c, &len);

	if (marks == NULL || len > OUTBOX_MAX_MARKS)
	{
		c->failed = true;
		return;
	}
	memcpy(pos->marks, marks, len);
	pos->marks_len = (uint32) len;
}

OutboxPositionParse
outbox_position_read(const char *data, size_t len, OutboxPosition *pos)
{
	OutboxCursor c;
	const uint8 *raw;
	uint16		version;

	outbox_cursor_init(&c, data, len);
	if (outbox_get_u32(&c) != OUTBOX_POSITION_MAGIC)
		return OUTBOX_POSITION_MALFORMED;
	version = outbox_get_u16(&c);
	if (version > OUTBOX_POSITION_VERSION)
		return OUTBOX_POSITION_TOO_NEW;
	if (c.failed || version == 0)
		return OUTBOX_POSITION_MALFORMED;

	if ((raw = outbox_get_raw(&c, sizeof(pos->instance))) != NULL)
		memcpy(pos->instance, raw, sizeof(pos->instance));
	pos->system_id = outbox_get_u64(&c);
	if ((raw = outbox_get_raw(&c, sizeof(pos->host))) != NULL)
		memcpy(pos->host, raw, sizeof(pos->host));
	pos->timeline = outbox_get_u32(&c);
	pos->incarnation = outbox_get_u64(&c);
	pos->ring = outbox_get_u16(&c);
	pos->written_ms = (int64) outbox_get_u64(&c);
	pos->scanned = outbox_get_u64(&c);
	pos->split_ordinal = outbox_get_u32(&c);
	pos->event_end = outbox_get_u64(&c);
	pos->event_crc = outbox_get_u32(&c);
	pos->commit_start = outbox_get_u64(&c);
	pos->commit_crc = outbox_get_u32(&c);
	pos->restart = outbox_get_u64(&c);
	pos->parked_lsn = outbox_get_u64(&c);
	pos->parked_ordinal = outbox_get_u32(&c);
	pos->marks_len = 0;
	if (version > OUTBOX_POSITION_PLAIN)
		read_marks(&c, pos);
	if (c.failed ||
		outbox_get_u32(&c) != checksum(data, len - sizeof(uint32)) ||
		c.failed || outbox_cursor_left(&c) != 0)
		return OUTBOX_POSITION_MALFORMED;
	return OUTBOX_POSITION_OK;
}
