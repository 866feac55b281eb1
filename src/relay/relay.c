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
#include "compat.h"
#include "guc.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "relay/child.h"
#include "relay/relay.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/ps_status.h"
#include "utils/timestamp.h"

#define FIRST_BACKOFF	100		/* ms */
#define IDLE_POLL		100		/* ms between looks at WAL without a hint */
#define STEP_RECORDS	8192	/* WAL records between looks at the child */
#define FLOOR_INTERVAL	60000	/* ms between updates of the floor */
#define BATCH_AGE		1000	/* ms that a batch stays open in a backlog */
#define FLOOR_LOCK_TIMEOUT "100"	/* ms */

static OutboxRelay relay_data;
static char *settings_at_start;

static void
show_state(OutboxRelay *relay)
{
	static OutboxRelayState shown = (OutboxRelayState) -1;
	OutboxRelayState state = relay->entry->state;

	if (state == shown)
		return;
	shown = state;
	set_ps_display(outbox_state_name(state));
	pgstat_report_activity(state == OUTBOX_STATE_STREAMING ?
						   STATE_RUNNING : STATE_IDLE,
						   psprintf("outbox relay: %s",
									outbox_state_name(state)));
}

/* ---- leaving --------------------------------------------------------- */

static void
leave_entry(int code, Datum arg)
{
	OutboxRelayEntry *entry = relay_data.entry;

	SpinLockAcquire(&entry->mutex);
	if (entry->pid == MyProcPid)
	{
		entry->pid = 0;
		entry->child_pid = 0;
		entry->oldest_pending = 0;
		if (entry->state < OUTBOX_STATE_KAFKA_UNAVAILABLE)
			entry->state = OUTBOX_STATE_STOPPED;
	}
	SpinLockRelease(&entry->mutex);
	ConditionVariableBroadcast(&entry->progress);
	if (!LWLockHeldByMe(OutboxState->lock))
		outbox_state_wake_launcher();
}

/* Back-off for the next start; under the entry's mutex. */
static void
schedule_retry(OutboxRelayEntry *entry)
{
	int			delay = FIRST_BACKOFF << Min(entry->failures, 10);

	entry->failures++;
	entry->next_retry_at =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
									Min(delay, outbox_retry_max));
}

void
outbox_relay_stop(OutboxRelay *relay, OutboxRelayState state,
				  const OutboxResult *why)
{
	OutboxRelayEntry *entry = relay->entry;
	bool		news;

	if (state == OUTBOX_STATE_BLOCKED)
		outbox_batch_narrow(relay);
	SpinLockAcquire(&entry->mutex);
	news = strcmp(entry->last_error.message, why->message) != 0 ||
		entry->failures == 0;
	if (state >= OUTBOX_FIRST_REFUSING_STATE)
		entry->next_retry_at = DT_NOEND;
	else
		schedule_retry(entry);
	SpinLockRelease(&entry->mutex);
	outbox_state_set(entry, state, why);

	ereport(news ? LOG : DEBUG1,
			(errmsg("outbox relay stops in state \"%s\": %s",
					outbox_state_name(state), why->message)));
	proc_exit(0);
}

void
outbox_relay_refuse(OutboxRelay *relay, OutboxRelayState state,
					const char *fmt,...)
{
	OutboxResult why = {.class = OUTBOX_CONFIG};
	va_list		args;

	va_start(args, fmt);
	vsnprintf(why.message, sizeof(why.message), fmt, args);
	va_end(args);
	outbox_relay_stop(relay, state, &why);
}

/*
 * The extension is not (or no longer) in this database: drop the slot.  Not
 * while somebody creates the extension, or has just done so: that slot is
 * theirs, and the next relay will see.
 */
static void
leave_for_good(OutboxRelay *relay)
{
	OutboxRelayEntry *entry = relay->entry;

	outbox_slot_release();
	LWLockAcquire(OutboxState->lock, LW_EXCLUSIVE);
	if (!FullTransactionIdIsValid(entry->creator) &&
		outbox_slot_drop(MyDatabaseId))
	{
		leave_entry(0, 0);
		entry->database = InvalidOid;
	}
	else
	{
		SpinLockAcquire(&entry->mutex);
		schedule_retry(entry);
		SpinLockRelease(&entry->mutex);
	}
	LWLockRelease(OutboxState->lock);
	proc_exit(0);
}

/* ---- what others ask for --------------------------------------------- */

/* Read outbox.instance; does not return when the extension is not there. */
static void
load_instance(OutboxRelay *relay)
{
	MemoryContext old = CurrentMemoryContext;
	bool		present;
	bool		found = false;

	StartTransactionCommand();
	present = outbox_catalog_present();
	if (present)
		found = outbox_catalog_instance(&relay->instance);
	CommitTransactionCommand();
	MemoryContextSwitchTo(old);
	if (!present)
		leave_for_good(relay);
	if (!found)
		outbox_relay_refuse(relay, OUTBOX_STATE_MISCONFIGURED,
							"outbox.instance is empty; run SELECT outbox.new_identity()");
}

static char *
link_settings(void)
{
	return psprintf("%s\n%s\n%s\n%s\n%d\n%d", outbox_bootstrap_servers,
					outbox_kafka_config_file, outbox_kafka_program,
					outbox_host_identity, outbox_delivery, outbox_ring_size);
}

static void
reload_configuration(OutboxRelay *relay)
{
	char	   *now;

	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	now = link_settings();
	if (strcmp(now, settings_at_start) != 0)
	{
		SpinLockAcquire(&relay->entry->mutex);
		relay->entry->failures = 0;
		relay->entry->next_retry_at = 0;
		SpinLockRelease(&relay->entry->mutex);
		proc_exit(0);
	}
	pfree(now);
}

static void
obey(OutboxRelay *relay)
{
	uint32		asked = pg_atomic_exchange_u32(&relay->entry->asked, 0);

	if (asked & OUTBOX_ASK_LEAVE)
	{
		outbox_state_set(relay->entry, OUTBOX_STATE_STOPPED, NULL);
		proc_exit(0);
	}
	if (asked & OUTBOX_ASK_RESTART)
	{
		SpinLockAcquire(&relay->entry->mutex);
		relay->entry->failures = 0;
		relay->entry->next_retry_at = 0;
		SpinLockRelease(&relay->entry->mutex);
		proc_exit(0);
	}
	/* Not inside a transaction of ours: routes.c never waits. */
	if (asked & OUTBOX_ASK_RELOAD)
	{
		pg_uuid_t	before = relay->instance.id;

		load_instance(relay);
		if (memcmp(&before, &relay->instance.id, sizeof(before)) != 0)
			proc_exit(0);		/* dropped and created again */
	}
}

/* After every sleep. */
static void
look_around(OutboxRelay *relay)
{
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
		reload_configuration(relay);
	if (pg_atomic_read_u32(&relay->entry->asked) != 0)
		obey(relay);
}

void
outbox_relay_wait(OutboxRelay *relay, int timeout_ms)
{
	show_state(relay);
	(void) outbox_child_wait(timeout_ms);
	look_around(relay);
}

/* ---- streaming ------------------------------------------------------- */

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
 * Whoever holds the row or the table (an open transaction that has called
 * outbox.pause(), say) must not hold us: there will be another time.
 */
static void
update_floor(OutboxRelay *relay)
{
	MemoryContext old = CurrentMemoryContext;
	int64		now = outbox_monotonic_ms();
	XLogRecPtr	published = relay->recorded;

	if (now - relay->last_floor_ms < FLOOR_INTERVAL ||
		relay->position.event_end <= relay->floor)
		return;
	relay->last_floor_ms = now;
	PG_TRY();
	{
		StartTransactionCommand();
		(void) set_config_option("lock_timeout", FLOOR_LOCK_TIMEOUT,
								 PGC_SUSET, PGC_S_SESSION, GUC_ACTION_LOCAL,
								 true, 0, false);
		outbox_instance_set_floor(published, false);
		CommitTransactionCommand();
		relay->floor = published;
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
 * matters next, not a commit.
 */
static int
time_to_sleep(OutboxRelay *relay, bool paused, uint64 hint)
{
	if (paused || !outbox_batch_can_begin(relay))
		return IDLE_POLL;
	outbox_state_want_commit(relay->entry);
	return pg_atomic_read_u64(&relay->entry->commit_hint) == hint ?
		IDLE_POLL : 0;
}

static void
stream(OutboxRelay *relay)
{
	OutboxSource *source = relay->source;
	OutboxSourceProgress progress;
	bool		more;

	for (;;)
	{
		bool		paused = relay->instance.paused;
		uint64		hint = pg_atomic_read_u64(&relay->entry->commit_hint);

		more = false;
		if (!paused)
		{
			flush_hinted(relay);
			more = source->step(source, &relay->sink, STEP_RECORDS);
		}
		source->progress(source, &progress);
		if (relay->open->events > 0 &&
			(more ? open_for_long(relay) && outbox_batch_can_close(relay) :
			 outbox_batch_can_begin(relay)))
			outbox_batch_close(relay, &progress);
		share_progress(relay, &progress, !more && !paused);
		outbox_relay_heartbeat(relay, &progress);
		update_floor(relay);
		if (paused != (relay->entry->state == OUTBOX_STATE_PAUSED))
			outbox_state_set(relay->entry, paused ? OUTBOX_STATE_PAUSED :
							 OUTBOX_STATE_STREAMING, NULL);

		outbox_relay_wait(relay, more ? 0 : time_to_sleep(relay, paused, hint));
	}
}

/* ---- start ----------------------------------------------------------- */

static void
take_entry(Oid database)
{
	OutboxRelayEntry *entry = outbox_state_claim(database);
	bool		held;

	if (entry == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("more databases have the extension \"outbox\" than outbox.max_databases"),
				 errhint("Raise outbox.max_databases, now %d.",
						 OutboxState->max_databases)));
	SpinLockAcquire(&entry->mutex);
	if (entry->pid != 0 && entry->pid != MyProcPid)
	{
		SpinLockRelease(&entry->mutex);
		proc_exit(0);			/* another relay is at work */
	}
	entry->pid = MyProcPid;
	entry->procno = outbox_compat_my_procno();
	SpinLockRelease(&entry->mutex);
	relay_data.entry = entry;
	/* After the callbacks that release the slot: the next one needs it. */
	on_shmem_exit(leave_entry, 0);
	LWLockAcquire(OutboxState->lock, LW_EXCLUSIVE);
	entry->starting_until = 0;
	held = entry->hold_until > GetCurrentTimestamp();
	LWLockRelease(OutboxState->lock);
	pg_atomic_write_u32(&entry->asked, 0);

	/* Started just before somebody wanted the database for himself. */
	if (held)
		proc_exit(0);
}

/*
 * A copy made by CREATE DATABASE ... TEMPLATE is somebody new.  The slot comes
 * first, so that a death in between leaves somebody who will be renewed again,
 * not somebody new without a beginning; and it stays where it is then.
 */
static void
check_instance(OutboxRelay *relay)
{
	load_instance(relay);
	if (relay->instance.database != MyDatabaseId)
	{
		XLogRecPtr	restart;

		if (outbox_slot_acquire(MyDatabaseId, &restart) != OUTBOX_SLOT_OK)
			outbox_slot_create(MyDatabaseId);
		outbox_slot_release();
		StartTransactionCommand();
		outbox_instance_renew();
		CommitTransactionCommand();
		load_instance(relay);
	}
}

static void
wait_for_settings(OutboxRelay *relay)
{
	static uint32 wait_event = 0;
	OutboxResult why = {.class = OUTBOX_CONFIG};

	if (outbox_bootstrap_servers[0] != '\0')
		return;
	strlcpy(why.message, "outbox.bootstrap_servers is not set",
			sizeof(why.message));
	outbox_state_set(relay->entry, OUTBOX_STATE_MISCONFIGURED, &why);
	show_state(relay);
	for (;;)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH, 0,
						 outbox_compat_wait_event(&wait_event,
												  "OutboxRelaySettings"));
		ResetLatch(MyLatch);
		look_around(relay);
	}
}

static void
run(OutboxRelay *relay)
{
	pid_t		pid;

	check_instance(relay);
	wait_for_settings(relay);
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

	relay->last_floor_ms = outbox_monotonic_ms();
	relay->source = outbox_scanner_open(relay->position.restart,
										relay->position.scanned,
										MyDatabaseId, OUTBOX_WAL_PREFIX,
										(Size) outbox_scanner_memory * 1024);
	outbox_state_set(relay->entry, OUTBOX_STATE_STREAMING, NULL);
	stream(relay);
}

static OutboxRelayState
state_of_error(int sqlerrcode)
{
	switch (sqlerrcode)
	{
		case ERRCODE_UNDEFINED_FILE:
			return OUTBOX_STATE_GAP;
		case ERRCODE_CONFIG_FILE_ERROR:
			return OUTBOX_STATE_MISCONFIGURED;
		default:
			return OUTBOX_STATE_STOPPED;
	}
}

/*
 * Note an error for status(); the caller lets it end the process.  Returns
 * whether it is another one than the last time: only that is worth the log.
 */
static bool
record_error(OutboxRelay *relay, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	ErrorData  *error = CopyErrorData();
	OutboxRelayState state = state_of_error(error->sqlerrcode);
	OutboxResult why = {.class = OUTBOX_UNKNOWN};
	bool		news;

	snprintf(why.message, sizeof(why.message), error->hint ? "%s (%s)" : "%s",
			 error->message, error->hint);
	SpinLockAcquire(&relay->entry->mutex);
	news = strcmp(relay->entry->last_error.message, why.message) != 0 ||
		relay->entry->failures == 0;
	if (state >= OUTBOX_FIRST_REFUSING_STATE)
		relay->entry->next_retry_at = DT_NOEND;
	else
		schedule_retry(relay->entry);
	SpinLockRelease(&relay->entry->mutex);
	outbox_state_set(relay->entry, state, &why);
	MemoryContextSwitchTo(old);
	return news;
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
	take_entry(database);
	context = AllocSetContextCreate(TopMemoryContext, "outbox relay",
									ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	settings_at_start = link_settings();
	outbox_state_set(relay_data.entry, OUTBOX_STATE_STARTING, NULL);

	PG_TRY();
	{
		run(&relay_data);
	}
	PG_CATCH();
	{
		LWLockReleaseAll();
		if (record_error(&relay_data, context))
			PG_RE_THROW();
		FlushErrorState();
		proc_exit(0);
	}
	PG_END_TRY();
}
