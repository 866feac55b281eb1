/*-------------------------------------------------------------------------
 *
 * relay.c
 *		The background worker that has one database's events published.
 *
 * A plain latch loop over a source (source.h), the gate, the open batch and
 * the child: pull WAL, gate, frame, send, take answers, advance.  No
 * transaction is open while it waits, no SQL runs on the hot path, and every
 * wait is outbox_relay_wait(), which serves the child, configuration and what
 * others asked for.
 *
 * Life cycle
 *	CREATE EXTENSION	slot made; at its commit the launcher starts a relay
 *	rolled back			the launcher's relay finds no extension: drops the slot
 *	DROP EXTENSION		asked to reload, finds no extension: drops the slot
 *	DROP DATABASE etc.	asked to leave: exits, the launcher holds off
 *	failure				recorded, process exits, launcher starts another after
 *						a back-off: 100 ms doubling to outbox.retry_max, reset
 *						by a batch of events that went through
 *	server shut down	publishes what is left, notes that: see closing.c
 *	refusing state		recorded, process exits, the launcher waits for
 *						outbox.adopt() or outbox.restart()
 *	crash				Kafka's position is the truth: see takeover.c
 *
 * Failing means leaving the process (STYLE 8): the child is killed by the exit
 * callback, the slot released by core's, and nothing half-done is carried on.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "base/clock.h"
#include "catalog/instance.h"
#include "guc.h"
#include "jobs/jobs.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "relay/child.h"
#include "relay/parking.h"
#include "relay/retry.h"
#include "relay/switch.h"
#include "relay/upgrade.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define IDLE_POLL		250		/* ms between looks at WAL without a hint */
#define STEP_RECORDS	8192	/* WAL records between looks at the child */
#define FLOOR_INTERVAL	60000	/* ms between updates of the floor */
#define LATE_INTERVAL	1000	/* the same, of an adopt() that came late */
#define BATCH_AGE		1000	/* ms that a batch stays open in a backlog */
#define CLOSING_POLL	10		/* ms between looks while we leave */
#define FLOOR_LOCK_TIMEOUT "100"	/* ms */

static OutboxRelay relay_data;

/* Commits made with synchronous_commit=off get their flush from us. */
static void
flush_hinted(OutboxRelay *relay)
{
	XLogRecPtr	hint = pg_atomic_read_u64(&relay->entry->commit_hint);

	if (hint != InvalidXLogRecPtr && hint > GetFlushRecPtr(NULL))
		XLogFlush(hint);
}

static void
share_progress(OutboxRelay *relay, const OutboxSourceProgress *progress,
			   bool caught_up)
{
	OutboxRelayEntry *entry = relay->entry;
	bool		idle = relay->nflying == 0 && relay->open->events == 0;
	XLogRecPtr	published = InvalidXLogRecPtr;
	bool		moved = false;

	if (idle)
		published = outbox_gate_replicated(progress->scanned);
	if (progress->foreign > relay->foreign)
		outbox_publish_note_forged(relay, progress->foreign - relay->foreign,
								   progress->scanned);
	relay->foreign = progress->foreign;

	SpinLockAcquire(&entry->mutex);
	entry->scanned = progress->scanned;
	entry->open_transactions = progress->open_txns;
	entry->spilled = progress->spilled;
	entry->scanner_memory = progress->memory;
	if (idle && caught_up)
		entry->caught_up_at = GetCurrentTimestamp();
	if (published > entry->published)
	{
		entry->published = published;
		moved = true;
	}
	SpinLockRelease(&entry->mutex);
	if (moved)
		ConditionVariableBroadcast(&entry->progress);
}

/*
 * With nothing to publish, a position record now and then: it says that we
 * live, and moves R when only others write WAL.
 */
void
outbox_relay_heartbeat(OutboxRelay *relay,
					   const OutboxSourceProgress *progress)
{
	OutboxSourceProgress place = *progress;
	int64		now = outbox_monotonic_ms();

	if (relay->open->events > 0 || relay->nflying > 0 ||
		now - relay->last_record_ms < outbox_heartbeat_interval)
		return;
	place.scanned = outbox_gate_replicated(place.scanned);
	if (place.scanned < progress->scanned)
	{
		/* A standby lags: stay where we are, but say that we live. */
		place.scanned = relay->position.scanned;
		place.restart = relay->position.restart;
		place.commit_start = relay->position.commit_start;
		place.commit_crc = relay->position.commit_crc;
	}
	outbox_batch_close(relay, &place);
}

/*
 * The floor follows what was published, lazily, and never on an idle server.
 * An adopt() that came when the takeover was over had nothing to accept: let it
 * not accept something later.
 *
 * Whoever holds the row or the table (an open transaction that has called
 * outbox.pause(), say) must not hold us: there will be another time.
 */
static void
update_floor(OutboxRelay *relay)
{
	MemoryContext old = CurrentMemoryContext;
	int64		now = outbox_monotonic_ms();
	XLogRecPtr	published = relay->recorded;
	bool		late = relay->instance.adopt_pending;

	if (now - relay->last_floor_ms < (late ? LATE_INTERVAL : FLOOR_INTERVAL) ||
		(relay->position.event_end <= relay->floor && !late))
		return;
	relay->last_floor_ms = now;
	PG_TRY();
	{
		outbox_relay_begin_transaction();
		(void) set_config_option("lock_timeout", FLOOR_LOCK_TIMEOUT,
								 PGC_SUSET, PGC_S_SESSION, GUC_ACTION_LOCAL,
								 true, 0, false);
		outbox_instance_set_floor(published, late);
		CommitTransactionCommand();
		relay->floor = published;
		relay->instance.adopt_pending = false;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(old);
		FlushErrorState();
		AbortCurrentTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
}

/*
 * Much WAL with few events in it: they must not wait for its end, nor must
 * the Kafka transaction outlive its timeout.
 */
static bool
open_for_long(OutboxRelay *relay)
{
	return outbox_monotonic_ms() - relay->open->opened_ms > BATCH_AGE;
}

/*
 * How long to sleep when caught up with what was committed up to the hint.
 * While outbox-kafka could not begin another batch, word from it is what
 * matters next, not a commit.  jobs: ms until those want to go on, or -1.
 */
static int
time_to_sleep(OutboxRelay *relay, bool paused, uint64 hint, int jobs)
{
	int			longest = jobs >= 0 ? Min(jobs, IDLE_POLL) : IDLE_POLL;

	if (paused || !outbox_batch_can_begin(relay))
		return longest;
	outbox_state_want_commit(relay->entry);
	return pg_atomic_read_u64(&relay->entry->commit_hint) == hint ?
		longest : 0;
}

static void
stream(OutboxRelay *relay)
{
	OutboxSourceProgress progress;
	bool		more;

	for (;;)
	{
		bool		paused = relay->instance.paused;
		int			jobs = -1;
		uint64		hint = pg_atomic_read_u64(&relay->entry->commit_hint);

		more = false;
		if (paused != (relay->entry->state == OUTBOX_STATE_PAUSED))
			outbox_state_set(relay->entry, paused ? OUTBOX_STATE_PAUSED :
							 OUTBOX_STATE_STREAMING, NULL);
		if (!paused)
		{
			flush_hinted(relay);
			outbox_closing_reads(true);
			more = relay->source->step(relay->source, &relay->sink,
									   STEP_RECORDS);
			outbox_closing_reads(false);
			more = more || outbox_switch_leave_log(relay);
		}
		relay->source->progress(relay->source, &progress);
		if (!paused)
			jobs = outbox_jobs_step(relay, &progress);
		if (relay->open->events > 0 &&
			(more ? open_for_long(relay) && outbox_batch_can_close(relay) :
			 outbox_batch_can_begin(relay)))
			outbox_batch_close(relay, &progress);
		share_progress(relay, &progress, !more && !paused);
		if (relay->batch_limit > 0 && relay->nflying == 0 &&
			relay->open->events == 0 && progress.scanned >= relay->limit_until)
			outbox_publish_end_limit(relay);
		outbox_switch_look(relay, &progress);
		outbox_relay_heartbeat(relay, &progress);
		outbox_retry_confirm(relay);
		update_floor(relay);

		if (outbox_closing_look(relay, &progress, more))
			jobs = CLOSING_POLL;
		outbox_relay_wait(relay, more ? 0 :
						  time_to_sleep(relay, paused, hint, jobs));
	}
}

static void
run(OutboxRelay *relay)
{
	pid_t		pid;

	outbox_life_check_instance(relay);
	outbox_life_wait_for_settings(relay);
	StartTransactionCommand();	/* hashing needs a resource owner */
	outbox_identity(relay->host);
	CommitTransactionCommand();
	pid = outbox_child_start(outbox_relay_frame, relay);
	SpinLockAcquire(&relay->entry->mutex);
	relay->entry->child_pid = pid;
	SpinLockRelease(&relay->entry->mutex);

	outbox_batch_init(relay);
	outbox_publish_init(relay);
	outbox_takeover(relay);
	outbox_parking_init(relay);
	outbox_retry_init(relay);
	outbox_jobs_init(relay);
	outbox_diagnosis_announce(relay);

	relay->last_floor_ms = outbox_monotonic_ms();
	outbox_switch_open_source(relay);
	outbox_state_set(relay->entry, OUTBOX_STATE_STREAMING, NULL);
	pqsignal(SIGTERM, outbox_closing_signal);
	stream(relay);
}

void
outbox_relay_main(Datum arg)
{
	Oid			database = DatumGetObjectId(arg);
	MemoryContext context;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	outbox_life_begin(&relay_data, database);
	context = AllocSetContextCreate(TopMemoryContext, "outbox relay",
									ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);

	PG_TRY();
	{
		run(&relay_data);
	}
	PG_CATCH();
	{
		LWLockReleaseAll();
		if (outbox_life_record_error(&relay_data, context))
			PG_RE_THROW();
		FlushErrorState();
		proc_exit(0);
	}
	PG_END_TRY();
}
