/*-------------------------------------------------------------------------
 *
 * retry.c
 *		Serialise the payload of retry.h.
 *
 * Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "record/retry.h"

#include <string.h>

void
outbox_retry_write_lane(StringInfo buf, uint64 last_lsn, uint32 last_ordinal)
{
	outbox_put_u8(buf, OUTBOX_RETRY_LANE);
	outbox_put_u64(buf, last_lsn);
	outbox_put_u32(buf, last_ordinal);
}

void
outbox_retry_begin_ids(StringInfo buf, uint32 count)
{
	outbox_put_u8(buf, OUTBOX_RETRY_IDS);
	outbox_put_u32(buf, count);
}

bool
outbox_retry_read(const char *payload, int32 len, OutboxRetry *retry)
{
	OutboxCursor c;

	memset(retry, 0, sizeof(*retry));
	if (payload == NULL)
		return false;
	outbox_cursor_init(&c, payload, len);
	retry->kind = outbox_get_u8(&c);
	switch (retry->kind)
	{
		case OUTBOX_RETRY_LANE:
			retry->last_lsn = outbox_get_u64(&c);
			retry->last_ordinal = outbox_get_u32(&c);
			return !c.failed && outbox_cursor_left(&c) == 0;
		case OUTBOX_RETRY_IDS:
			retry->nids = outbox_get_u32(&c);
			retry->ids = c;
			return !c.failed &&
				outbox_cursor_left(&c) == (uint64) retry->nids * sizeof(uint64);
		default:
			return false;
	}
}
