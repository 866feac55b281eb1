/*-------------------------------------------------------------------------
 *
 * commit_times.h
 *		When the transactions of a batch were committed, in little space.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_COMMIT_TIMES_H
#define OUTBOX_COMMIT_TIMES_H

#include "base/latency.h"

#define OUTBOX_COMMIT_TIMES	32

typedef struct OutboxCommitTimes
{
	int64		width;			/* us that one of them stands for, 0 = none */
	int			n;
	struct
	{
		int64		first;
		uint32		count;
	}			times[OUTBOX_COMMIT_TIMES];
} OutboxCommitTimes;

/*
 * One more transaction; zeroed memory is an empty start.  Times are
 * microseconds of one clock.
 */
extern void outbox_commit_times_note(OutboxCommitTimes *times, int64 commit);

/* All of them were published now. */
extern void outbox_commit_times_count(const OutboxCommitTimes *times,
									  int64 now, OutboxLatency *latency);

#endif							/* OUTBOX_COMMIT_TIMES_H */
