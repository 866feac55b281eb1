/*-------------------------------------------------------------------------
 *
 * job_mark.c
 *		Serialise the marks of job_mark.h.
 *
 * Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "record/job_mark.h"

void
outbox_job_mark_put(StringInfo buf, const OutboxJobMark *mark)
{
	outbox_put_u64(buf, mark->token);
	outbox_put_u8(buf, mark->done);
	outbox_put_u64(buf, mark->rows);
	outbox_put_bytes(buf, mark->cursor, mark->cursor_len);
}

bool
outbox_job_mark_next(OutboxCursor *c, OutboxJobMark *mark)
{
	if (outbox_cursor_left(c) == 0)
		return false;
	mark->token = outbox_get_u64(c);
	mark->done = outbox_get_u8(c) != 0;
	mark->rows = outbox_get_u64(c);
	mark->cursor = outbox_get_bytes(c, &mark->cursor_len);
	return !c->failed;
}
