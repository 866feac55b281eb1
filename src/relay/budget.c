/*-------------------------------------------------------------------------
 *
 * budget.c
 *		outbox.max_retained_wal: when the relay's slot lets go of WAL.
 *
 * While Kafka is away or too slow, or the relay is paused or stands refused, its
 * slot holds all WAL from R on.  Nearing the budget it lets go of what the event log has
 * (eventlog/release.c); the relay publishes that from the log later, see
 * judge.c.  It moves no further than that: events that are not logged hold WAL,
 * whatever the budget says, and so do captures in mode log.
 *
 *	who holds the slot, moves it:	the relay, before it opens its source, or
 *					while it waits for whatever it is (then it leaves, as WAL that its
 *					source was to read is going away, and the next one publishes from
 *					the log); the launcher, while there is no relay
 *	dies before or after the move	the slot is where it is; nothing else depends
 *					on it
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "base/clock.h"
#include "guc.h"
#include "miscadmin.h"
#include "relay/budget.h"
#include "utils/timestamp.h"

#define LOOK_INTERVAL	1000	/* ms between looks at the WAL that is held */

/* Part of the budget at which WAL is released. */
#define NEAR(budget) ((budget) / 10 * 9)

/* Where a slot that holds WAL from "held" on is to be moved to, or invalid. */
static XLogRecPtr
release_to(OutboxRelayEntry *entry, XLogRecPtr held)
{
	uint64		budget = (uint64) outbox_max_retained_wal * 1024 * 1024;
	XLogRecPtr	releasable;
	TimeLineID	tli;

	if (outbox_max_retained_wal < 0 || held == InvalidXLogRecPtr ||
		outbox_source_flushed(&tli) - held < NEAR(budget))
		return InvalidXLogRecPtr;
	SpinLockAcquire(&entry->mutex);
	releasable = entry->log.releasable;
	SpinLockRelease(&entry->mutex);
	return releasable > held ? releasable : InvalidXLogRecPtr;
}

static void
say_released(XLogRecPtr from, XLogRecPtr to)
{
	ereport(LOG,
			(errmsg("released WAL from %X/%X to %X/%X, near outbox.max_retained_wal",
					LSN_FORMAT_ARGS(from), LSN_FORMAT_ARGS(to)),
			 errdetail("Events in it that are not published yet are in the event log.")));
}

bool
outbox_budget_apply(OutboxRelay *relay)
{
	XLogRecPtr	held = outbox_slot_peek(OUTBOX_SLOT_RELAY, MyDatabaseId);
	XLogRecPtr	to = release_to(relay->entry, held);

	if (to == InvalidXLogRecPtr)
		return false;
	say_released(held, to);
	outbox_slot_advance(to);
	return true;
}

void
outbox_budget_look(OutboxRelay *relay)
{
	static int64 looked_ms = 0;
	int64		now = outbox_monotonic_ms();

	if (relay->source == NULL || now - looked_ms < LOOK_INTERVAL)
		return;
	looked_ms = now;
	if (outbox_budget_apply(relay))
		pg_atomic_fetch_or_u32(&relay->entry->asked, OUTBOX_ASK_RESTART);
}

void
outbox_budget_apply_idle(OutboxRelayEntry *entry)
{
	XLogRecPtr	held = outbox_slot_peek(OUTBOX_SLOT_RELAY, entry->database);
	XLogRecPtr	to = release_to(entry, held);
	XLogRecPtr	restart;

	if (to == InvalidXLogRecPtr ||
		outbox_slot_acquire(OUTBOX_SLOT_RELAY, entry->database,
							&restart) != OUTBOX_SLOT_OK)
		return;
	say_released(held, to);
	outbox_slot_advance(to);
	outbox_slot_release();
}
