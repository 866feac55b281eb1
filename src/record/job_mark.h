/*-------------------------------------------------------------------------
 *
 * job_mark.h
 *		How far a job is, as the position record says it.
 *
 * A position record carries one mark for each job that has published anything
 * and is not forgotten.  It is written in the Kafka transaction that carries
 * the rows it speaks of, so that the two cannot disagree.
 *
 *	u64 token		which job: outbox.snapshot_job.token
 *	u8 done			1 = all rows are published
 *	u64 rows		published so far
 *	bytes cursor	where to go on; means something to the reader alone
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_JOB_MARK_H
#define OUTBOX_JOB_MARK_H

#include "base/cursor.h"

typedef struct OutboxJobMark
{
	uint64		token;
	bool		done;
	uint64		rows;
	const char *cursor;			/* borrowed, NULL = at the beginning */
	int32		cursor_len;
} OutboxJobMark;

extern void outbox_job_mark_put(StringInfo buf, const OutboxJobMark *mark);

/* The next mark; false at the end, or when the bytes are damaged. */
extern bool outbox_job_mark_next(OutboxCursor *c, OutboxJobMark *mark);

#endif							/* OUTBOX_JOB_MARK_H */
