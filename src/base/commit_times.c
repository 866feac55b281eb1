/*-------------------------------------------------------------------------
 *
 * commit_times.c
 *		When the transactions of a batch were committed, in little space.
 *
 * A batch has one or a hundred thousand transactions, in the order of their
 * commits, so their times rise, nearly.  Times close to each other share an
 * entry, which stands for the first of them; when the entries are used up, the
 * width doubles and neighbours are joined.  A latency is thus overstated by
 * less than the width: 250 us, and in a batch whose commits lie far apart about
 * a sixteenth of that span.
 *
 * Belongs to a batch and goes with it: what was not published is not counted,
 * and a relay that takes over counts what it publishes itself.
 *
 *-------------------------------------------------------------------------
 */
#include "base/commit_times.h"

#define FIRST_WIDTH		250		/* us */

/* Double the width until something gave way. */
static void
join(OutboxCommitTimes *times)
{
	int			kept;

	do
	{
		kept = 0;
		times->width *= 2;
		for (int i = 1; i < times->n; i++)
		{
			if (times->times[i].first - times->times[kept].first < times->width)
				times->times[kept].count += times->times[i].count;
			else
				times->times[++kept] = times->times[i];
		}
	} while (++kept == OUTBOX_COMMIT_TIMES);
	times->n = kept;
}

void
outbox_commit_times_note(OutboxCommitTimes *times, int64 commit)
{
	if (times->width == 0)
		times->width = FIRST_WIDTH;
	if (times->n > 0 &&
		commit - times->times[times->n - 1].first < times->width)
	{
		times->times[times->n - 1].count++;
		return;
	}
	if (times->n == OUTBOX_COMMIT_TIMES)
	{
		join(times);
		outbox_commit_times_note(times, commit);
		return;
	}
	times->times[times->n].first = commit;
	times->times[times->n++].count = 1;
}

void
outbox_commit_times_count(const OutboxCommitTimes *times, int64 now,
						  OutboxLatency *latency)
{
	for (int i = 0; i < times->n; i++)
		outbox_latency_count(latency, now - times->times[i].first,
							 times->times[i].count);
}
