/*-------------------------------------------------------------------------
 *
 * frame.c
 *		Framing of frame.h: begin, end, peek.
 *
 * Owns no state; bodies are written and read by the two ends themselves.
 *
 *-------------------------------------------------------------------------
 */
#include "record/frame.h"

#include "base/cursor.h"

int
outbox_frame_begin(StringInfo buf, OutboxFrameType type)
{
	int			start = buf->len;

	outbox_put_u32(buf, 0);
	outbox_put_u8(buf, (uint8) type);
	return start;
}

void
outbox_frame_end(StringInfo buf, int start)
{
	outbox_store_le((uint8 *) buf->data + start,
					buf->len - start - sizeof(uint32), sizeof(uint32));
}

int
outbox_frame_peek(const char *data, size_t len, OutboxFrameType *type,
				  const char **body, size_t *body_len)
{
	OutboxCursor c;
	uint32		n;

	if (len < OUTBOX_FRAME_HEADER)
		return 0;
	outbox_cursor_init(&c, data, len);
	n = outbox_get_u32(&c);
	if (n == 0 || n > OUTBOX_MAX_FRAME)
		return -1;
	if (len - sizeof(uint32) < n)
		return 0;
	*type = (OutboxFrameType) outbox_get_u8(&c);
	*body = data + OUTBOX_FRAME_HEADER;
	*body_len = n - 1;
	return (int) (sizeof(uint32) + n);
}
