/*-------------------------------------------------------------------------
 *
 * release.c
 *		Which WAL the relay can do without, as the event log has its events.
 *
 * The relay can publish from the log what follows its position P, if no block
 * behind P lacks anything: no hole between blocks, no events left out because
 * their type is not logged.  So WAL is needed from the first such block behind P
 * on, else from where the last block that is on disk ends.  That place is
 * shared; who acts on it is relay/budget.c, and the relay itself looks once more
 * (log_source.c) before it goes on from the log.
 *
 * P is known from shared memory while the relay lives, after a restart of the
 * server from the floor in outbox.instance, which may be older: then less is
 * released, never more.
 *
 * Rows that the decoder reads (captures in mode log) are not in the log: while
 * there are such captures nothing is released.
 *
 * Owns the list of blocks that lack something; when it is full, the newest are
 * held as one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "eventlog/writer.h"

#define MAX_HOLDS 1024

/* A block, or several, that lack something. */
typedef struct Hold
{
	XLogRecPtr	until;			/* their end */
	XLogRecPtr	restart;		/* WAL that holds what they lack begins here */
} Hold;

static Hold holds[MAX_HOLDS];
static int	nholds = 0;

static void
add_hold(XLogRecPtr until, XLogRecPtr restart)
{
	if (nholds == MAX_HOLDS)
		holds[nholds - 1].until = until;
	else
	{
		holds[nholds].until = until;
		holds[nholds].restart = restart;
		nholds++;
	}
}

/* What is published needs no WAL. */
static void
forget_published(XLogRecPtr published)
{
	int			n = 0;

	while (n < nholds && holds[n].until <= published)
		n++;
	nholds -= n;
	memmove(holds, holds + n, nholds * sizeof(Hold));
}

void
outbox_log_release_note(const OutboxLogRow *row, XLogRecPtr restart_before)
{
	if (row->left_out > 0)
		add_hold(row->to.lsn, restart_before);
}

/* P, or a place before it. */
static XLogRecPtr
known_position(OutboxLogWriter *writer)
{
	XLogRecPtr	recorded;

	SpinLockAcquire(&writer->entry->mutex);
	recorded = writer->entry->recorded;
	SpinLockRelease(&writer->entry->mutex);
	return Max(recorded,
			   writer->instance.has_floor ? writer->instance.floor : 0);
}

void
outbox_log_release_share(OutboxLogWriter *writer, XLogRecPtr durable_restart)
{
	XLogRecPtr	releasable = durable_restart;

	forget_published(known_position(writer));
	if (nholds > 0)
		releasable = Min(releasable, holds[0].restart);
	if (writer->instance.log_from != InvalidXLogRecPtr ||
		pg_atomic_read_u32(&writer->entry->decoding) != 0)
		releasable = InvalidXLogRecPtr;
	SpinLockAcquire(&writer->entry->mutex);
	writer->entry->log.releasable = releasable;
	SpinLockRelease(&writer->entry->mutex);
}

/* The rows there are, as if they had just been written. */
typedef struct Visit
{
	OutboxLogPlace end;			/* of the row before */
	XLogRecPtr	restart;
} Visit;

static bool
visit_row(void *arg, const OutboxLogRow *row)
{
	Visit	   *visit = arg;

	if (visit->end.lsn != InvalidXLogRecPtr &&
		(row->from.lsn > visit->end.lsn ||
		 (row->from.lsn == visit->end.lsn &&
		  row->from.part > visit->end.part)))
		add_hold(row->to.lsn, InvalidXLogRecPtr);
	outbox_log_release_note(row, visit->restart);
	visit->end = row->to;
	visit->restart = row->restart;
	return true;
}

/* In a transaction. */
void
outbox_log_release_init(OutboxLogWriter *writer)
{
	Visit		visit = {{known_position(writer), 0}, InvalidXLogRecPtr};

	nholds = 0;
	outbox_log_visit(visit.end.lsn, visit_row, &visit);
}
