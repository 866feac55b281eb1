/*-------------------------------------------------------------------------
 *
 * coverage.c
 *		What the event log has of the commits behind a position.
 *
 * A block has all between its two places, and a hole is where a block does not
 * begin where the one before it ends.  Events that a block has left out, because
 * their type is not logged, are as lost as those in a hole.  A transaction of
 * which the log has only the beginning counts for nothing: the limit is the
 * place before it, and WAL goes on there.  One that lacks a part is lost as a
 * whole: a gap that begins or ends within it goes up to its commit, or further.
 *
 * Looks at what is committed now; what the log writer adds meanwhile is for
 * another look.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "eventlog/eventlog.h"
#include "eventlog/log_source.h"

typedef struct Walk
{
	OutboxLogPlace end;			/* of what was seen */
	bool		cut;			/* the last gap ends within a transaction, whose
								 * commit is in a later row */
	OutboxLogCoverage *coverage;
} Walk;

static void
add_gap(OutboxLogCoverage *coverage, XLogRecPtr from, XLogRecPtr to)
{
	OutboxLogGap *last = coverage->ngaps == 0 ? NULL :
		&coverage->gaps[coverage->ngaps - 1];

	if (last != NULL && (last->to >= from ||
						 coverage->ngaps == OUTBOX_LOG_MAX_GAPS))
	{
		last->to = to;
		return;
	}
	coverage->gaps[coverage->ngaps].from = from;
	coverage->gaps[coverage->ngaps].to = to;
	coverage->ngaps++;
}

static bool
is_behind(const OutboxLogPlace *a, const OutboxLogPlace *b)
{
	return a->lsn > b->lsn || (a->lsn == b->lsn && a->part > b->part);
}

static bool
visit_row(void *arg, const OutboxLogRow *row)
{
	Walk	   *walk = arg;
	OutboxLogCoverage *coverage = walk->coverage;

	if (!is_behind(&row->to, &walk->end))
		return true;
	if (walk->cut)
		add_gap(coverage, walk->end.lsn, row->to.lsn);
	else if (coverage->any ? is_behind(&row->from, &walk->end) :
			 row->from.lsn > walk->end.lsn)
	{
		add_gap(coverage, walk->end.lsn, row->from.lsn);
		walk->cut = walk->end.part > 0 || row->from.part > 0;
		if (walk->cut)
			add_gap(coverage, walk->end.lsn, row->to.lsn);
	}
	if (row->left_out > 0)
	{
		add_gap(coverage, Max(row->from.lsn, walk->end.lsn), row->to.lsn);
		walk->cut = true;
	}
	if (row->to.part == 0)
		walk->cut = false;
	coverage->any = true;
	coverage->limit = row->to.lsn;
	coverage->restart = row->restart;
	walk->end = row->to;
	return true;
}

void
outbox_log_coverage(XLogRecPtr position, OutboxLogCoverage *coverage)
{
	MemoryContext old = CurrentMemoryContext;
	Walk		walk = {{position, 0}, false, coverage};

	memset(coverage, 0, sizeof(*coverage));
	coverage->limit = position;
	StartTransactionCommand();
	outbox_log_visit(position, visit_row, &walk);
	CommitTransactionCommand();
	MemoryContextSwitchTo(old);
}
