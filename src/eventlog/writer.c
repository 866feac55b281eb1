/*-------------------------------------------------------------------------
 *
 * writer.c
 *		The background worker that writes one database's event log.
 *
 * A scanner of its own over the same WAL that the relay reads, held by a slot of
 * its own, "outbox_events_<database oid>": so the log goes on while the relay
 * waits for Kafka, is paused or stands refused, and whatever holds up the log
 * never holds up the relay.  The applications do nothing for it.
 *
 * Life cycle
 *	CREATE EXTENSION	the launcher starts it when a relay has looked around
 *						there and found an instance of its own
 *	first start			from where nothing has been published yet, else from the
 *						relay's position
 *	later starts		behind the last block
 *	WAL is gone there	(slot lost, failover) from the relay's position: a hole in
 *						the log, said and counted
 *	outbox.event_log off	drops its slot and leaves; the log stays
 *	DROP EXTENSION, DROP DATABASE, new_identity()	leaves; the slot is dropped
 *						with the relay's
 *	failure				recorded, process exits, launcher starts another after a
 *						back-off
 *	crash				see sink.c
 *
 * The slot follows blocks that are on disk.  While there is nothing to log, an
 * empty block is written every 64 MB of WAL, in the place of the last one if
 * that is empty, so that WAL written by others is not held; the block itself is
 * far less, and an idle server writes none.
 *
 * When the log cannot be written, or not as fast as others write, and WAL has come
 * to outbox.max_retained_wal, the log gives way: it goes on from where the relay is, with a hole.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "base/clock.h"
#include "compat.h"
#include "eventlog/writer.h"
#include "guc.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define POLL			250		/* ms between looks at WAL */
#define STEP_RECORDS	8192	/* WAL records between looks around */
#define BLOCK_AGE		1000	/* ms that a block with events stays open */
#define IDLE_WAL		(UINT64CONST(64) * 1024 * 1024)
#define TIDY_INTERVAL	10000	/* ms between looks at what has expired */
#define EXPIRE_MAX		256		/* rows in one transaction */
#define MEMORY_SHARE	4		/* of outbox.scanner_memory */
#define FIRST_BACKOFF	100		/* ms */
#define LONGEST_BACKOFF	10000

static OutboxLogWriter writer_data;

/* ---- leaving ---------------------------------------------------------- */

static void
leave_entry(int code, Datum arg)
{
	OutboxRelayEntry *entry = writer_data.entry;

	SpinLockAcquire(&entry->mutex);
	if (entry->log.pid == MyProcPid)
		entry->log.pid = 0;
	SpinLockRelease(&entry->mutex);
	ConditionVariableBroadcast(&entry->progress);
	outbox_state_wake_launcher();
}

static void
schedule_retry(OutboxLogState *log)
{
	int			delay = FIRST_BACKOFF << Min(log->failures, 10);

	log->failures++;
	log->next_retry_at =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
									Min(delay, LONGEST_BACKOFF));
}

/* Note the error being handled; whether it is news, worth the log. */
static bool
record_error(OutboxLogWriter *writer, MemoryContext context)
{
	OutboxLogState *log = &writer->entry->log;
	ErrorData  *error;
	bool		news;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	SpinLockAcquire(&writer->entry->mutex);
	news = strcmp(log->last_error.message, error->message) != 0 ||
		log->failures == 0;
	log->last_error.class = OUTBOX_RETRY;
	strlcpy(log->last_error.message, error->message,
			sizeof(log->last_error.message));
	log->last_error_at = GetCurrentTimestamp();
	log->failing = true;
	schedule_retry(log);
	SpinLockRelease(&writer->entry->mutex);
	return news;
}

void
outbox_log_note(OutboxLogWriter *writer, const OutboxResult *why)
{
	OutboxLogState *log = &writer->entry->log;
	bool		news;

	SpinLockAcquire(&writer->entry->mutex);
	news = log->failing != (why != NULL);
	log->failing = why != NULL;
	if (why != NULL)
	{
		log->last_error = *why;
		log->last_error_at = GetCurrentTimestamp();
	}
	else
		log->failures = 0;
	SpinLockRelease(&writer->entry->mutex);
	if (news && why != NULL)
		ereport(LOG,
				(errmsg("could not write the event log: %s", why->message),
				 errdetail("Events are published all the same; it is tried again.")));
	else if (news)
		ereport(LOG,
				(errmsg("the event log is being written again")));
}

/* ---- what others ask for ---------------------------------------------- */

static bool
load_instance(OutboxLogWriter *writer)
{
	MemoryContext old = CurrentMemoryContext;
	bool		found;

	StartTransactionCommand();
	found = outbox_catalog_present() &&
		outbox_catalog_instance(&writer->instance) &&
		writer->instance.database == MyDatabaseId;
	CommitTransactionCommand();
	MemoryContextSwitchTo(old);
	return found;
}

static void
reload_instance(OutboxLogWriter *writer)
{
	pg_uuid_t	before = writer->instance.id;

	if (!load_instance(writer) ||
		memcmp(&before, &writer->instance.id, sizeof(before)) != 0)
		proc_exit(0);
}

/* Switched off: WAL is not held for the log any more. */
static void
end_log(void)
{
	outbox_slot_release();
	(void) outbox_slot_drop(OUTBOX_SLOT_EVENT_LOG, MyDatabaseId);
	proc_exit(0);
}

static void
give_way(OutboxLogWriter *writer)
{
	OutboxRelayEntry *entry = writer->entry;
	XLogRecPtr	held = outbox_slot_peek(OUTBOX_SLOT_EVENT_LOG, MyDatabaseId);
	uint64		budget = (uint64) outbox_max_retained_wal * 1024 * 1024;
	XLogRecPtr	flushed;
	XLogRecPtr	relay;
	TimeLineID	tli;
	bool		hopeless;

	flushed = outbox_source_flushed(&tli);
	SpinLockAcquire(&entry->mutex);
	hopeless = entry->log.failing ||
		(entry->log.scanned < flushed && flushed - entry->log.scanned >= budget);
	relay = entry->recorded != InvalidXLogRecPtr ? entry->restart :
		InvalidXLogRecPtr;
	SpinLockRelease(&entry->mutex);
	if (outbox_max_retained_wal < 0 || !hopeless || relay <= held ||
		flushed - held < budget)
		return;
	ereport(LOG,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("the event log gives WAL up, at %X/%X: outbox.max_retained_wal is reached",
					LSN_FORMAT_ARGS(held)),
			 errdetail("Events up to %X/%X are published, but cannot be replayed.",
					   LSN_FORMAT_ARGS(relay))));
	outbox_slot_set(relay);
	proc_exit(0);
}

void
outbox_log_rest(OutboxLogWriter *writer, int timeout_ms)
{
	static uint32 wait_event = 0;
	uint32		asked;

	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 timeout_ms,
					 outbox_compat_wait_event(&wait_event, "OutboxLogWriter"));
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	asked = pg_atomic_exchange_u32(&writer->entry->log_asked, 0);
	if (asked & OUTBOX_ASK_LEAVE)
		proc_exit(0);
	if (!outbox_event_log)
		end_log();
	if (asked & OUTBOX_ASK_RELOAD)
		reload_instance(writer);
	if (writer->source != NULL)
		give_way(writer);
}

/* ---- start ------------------------------------------------------------ */

static void
begin(OutboxLogWriter *writer, Oid database)
{
	OutboxRelayEntry *entry = outbox_state_find(database);
	bool		held;

	if (entry == NULL)
		proc_exit(0);			/* the extension was dropped meanwhile */
	SpinLockAcquire(&entry->mutex);
	if (entry->log.pid != 0)
	{
		SpinLockRelease(&entry->mutex);
		proc_exit(0);			/* another one is at work */
	}
	entry->log.pid = MyProcPid;
	entry->log.procno = outbox_compat_my_procno();
	SpinLockRelease(&entry->mutex);
	writer->entry = entry;
	on_shmem_exit(leave_entry, 0);
	LWLockAcquire(OutboxState->lock, LW_EXCLUSIVE);
	entry->log_starting_until = 0;
	held = entry->hold_until > GetCurrentTimestamp() || !entry->log.wanted;
	LWLockRelease(OutboxState->lock);
	pg_atomic_write_u32(&entry->log_asked, 0);
	if (held || !load_instance(writer))
		proc_exit(0);
}

/* Where the relay is; false while that is not known. */
static bool
relay_place(OutboxLogWriter *writer, XLogRecPtr *restart, OutboxLogPlace *place)
{
	OutboxRelayEntry *entry = writer->entry;

	place->part = 0;
	SpinLockAcquire(&entry->mutex);
	place->lsn = entry->recorded;
	*restart = entry->restart;
	SpinLockRelease(&entry->mutex);
	if (place->lsn == InvalidXLogRecPtr && !writer->instance.has_floor)
		place->lsn = *restart = outbox_slot_peek(OUTBOX_SLOT_RELAY,
												 MyDatabaseId);
	return place->lsn != InvalidXLogRecPtr;
}

/*
 * Where to go on reading, in *restart, and behind what, in last.to.  False while
 * that is not known.
 */
static bool
find_start(OutboxLogWriter *writer, XLogRecPtr *restart)
{
	OutboxLogState *log = &writer->entry->log;
	XLogRecPtr	held = outbox_slot_peek(OUTBOX_SLOT_EVENT_LOG, MyDatabaseId);
	XLogRecPtr	oldest = outbox_source_oldest();
	OutboxLogRow *last = &writer->last;
	OutboxLogPlace place;

	*restart = last->restart;
	if (last->id != 0 && last->restart >= oldest && held <= last->restart)
		return true;
	if (!relay_place(writer, restart, &place) || *restart < oldest)
		return false;
	if (last->id != 0 && place.lsn > last->to.lsn)
	{
		SpinLockAcquire(&writer->entry->mutex);
		log->holes++;
		SpinLockRelease(&writer->entry->mutex);
		ereport(LOG,
				(errmsg("the event log has a hole from %X/%X to %X/%X: that WAL is gone",
						LSN_FORMAT_ARGS(last->to.lsn),
						LSN_FORMAT_ARGS(place.lsn))));
	}
	if (place.lsn > last->to.lsn)
		last->to = place;
	last->restart = *restart;
	return true;
}

/* Hold WAL from restart on; false when it went away meanwhile. */
static bool
hold_wal(XLogRecPtr restart)
{
	XLogRecPtr	held;
	OutboxSlotState state = outbox_slot_acquire(OUTBOX_SLOT_EVENT_LOG,
												MyDatabaseId, &held);

	if (state != OUTBOX_SLOT_OK)
	{
		if (state == OUTBOX_SLOT_INVALID)
			(void) outbox_slot_drop(OUTBOX_SLOT_EVENT_LOG, MyDatabaseId);
		(void) outbox_slot_create(OUTBOX_SLOT_EVENT_LOG, MyDatabaseId);
		state = outbox_slot_acquire(OUTBOX_SLOT_EVENT_LOG, MyDatabaseId, &held);
	}
	if (state != OUTBOX_SLOT_OK)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("could not acquire the event log's replication slot")));
	outbox_slot_set(restart);
	return outbox_source_oldest() <= restart;
}

static void
open_source(OutboxLogWriter *writer)
{
	Size		memory = (Size) outbox_scanner_memory * 1024 / MEMORY_SHARE;
	XLogRecPtr	restart;

	StartTransactionCommand();
	if (!outbox_log_last(&writer->last))
		memset(&writer->last, 0, sizeof(writer->last));
	outbox_log_release_init(writer);
	CommitTransactionCommand();
	while (!find_start(writer, &restart))
	{
		outbox_log_rest(writer, POLL);
		reload_instance(writer);
	}
	if (!hold_wal(restart))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FILE),
				 errmsg("WAL from %X/%X on went away before the event log could hold it",
						LSN_FORMAT_ARGS(restart))));
	writer->resume_part = writer->last.to.part;
	outbox_log_sink_init(writer);
	writer->source = outbox_scanner_open(restart, writer->last.to.lsn,
										 MyDatabaseId, OUTBOX_WAL_PREFIX,
										 memory);
	writer->awaited.to = writer->last.to.lsn;
	writer->awaited.restart = restart;
	writer->awaited.commit = GetXLogInsertRecPtr();
	writer->newest = writer->awaited;
}

/* ---- at work ---------------------------------------------------------- */

/* The slot follows blocks that are on disk; others may know of those. */
static void
follow_disk(OutboxLogWriter *writer)
{
	OutboxLogState *log = &writer->entry->log;
	TimeLineID	tli;
	OutboxLogMark *awaited = &writer->awaited;

	if (awaited->commit == InvalidXLogRecPtr ||
		outbox_source_flushed(&tli) < awaited->commit)
		return;
	SpinLockAcquire(&writer->entry->mutex);
	log->written = awaited->to;
	log->restart = awaited->restart;
	SpinLockRelease(&writer->entry->mutex);
	outbox_slot_advance(awaited->restart);
	if (writer->newest.commit > awaited->commit)
		*awaited = writer->newest;
	else
		awaited->commit = InvalidXLogRecPtr;
}

/* Whatever hinders, there will be another time. */
static int
try_to_expire(OutboxLogWriter *writer, XLogRecPtr published)
{
	MemoryContext old = CurrentMemoryContext;
	volatile int n = 0;

	PG_TRY();
	{
		StartTransactionCommand();
		(void) set_config_option("lock_timeout", "100", PGC_SUSET,
								 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0,
								 false);
		n = outbox_log_expire(published, writer->last.id, EXPIRE_MAX);
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(old);
		FlushErrorState();
		AbortCurrentTransaction();
		n = 0;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	return n;
}

static void
tidy(OutboxLogWriter *writer)
{
	static int64 done_ms = 0;
	OutboxRelayEntry *entry = writer->entry;
	int64		now = outbox_monotonic_ms();
	XLogRecPtr	published;
	int			n;

	if (now - done_ms < TIDY_INTERVAL)
		return;
	done_ms = now;
	reload_instance(writer);
	SpinLockAcquire(&entry->mutex);
	published = entry->recorded;
	SpinLockRelease(&entry->mutex);
	if (published == InvalidXLogRecPtr)
		return;
	n = try_to_expire(writer, published);
	if (n == EXPIRE_MAX)
		done_ms = 0;
	SpinLockAcquire(&entry->mutex);
	entry->log.dropped += n;
	SpinLockRelease(&entry->mutex);
}

/* A small part of the budget, if that is small. */
static uint64
idle_wal(void)
{
	uint64		part = (uint64) outbox_max_retained_wal * 1024 * 1024 / 8;

	return outbox_max_retained_wal < 0 ? IDLE_WAL : Min(part, IDLE_WAL);
}

static void
write_log(OutboxLogWriter *writer)
{
	for (;;)
	{
		OutboxSourceProgress progress;
		bool		more = writer->source->step(writer->source, &writer->sink,
												STEP_RECORDS);

		writer->source->progress(writer->source, &progress);
		SpinLockAcquire(&writer->entry->mutex);
		writer->entry->log.scanned = progress.scanned;
		SpinLockRelease(&writer->entry->mutex);
		if (writer->row.events > 0 ?
			outbox_monotonic_ms() - writer->first_event_ms >= BLOCK_AGE :
			progress.scanned - writer->last.to.lsn >= idle_wal())
			outbox_log_close_block(writer);
		follow_disk(writer);
		outbox_log_release_share(writer, writer->entry->log.restart);
		tidy(writer);
		outbox_log_rest(writer, more ? 0 : POLL);
	}
}

void
outbox_log_writer_main(Datum arg)
{
	MemoryContext context;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(arg), InvalidOid,
											  0);
	SetConfigOption("synchronous_commit", "off", PGC_SUSET, PGC_S_OVERRIDE);
	begin(&writer_data, DatumGetObjectId(arg));
	pgstat_report_activity(STATE_IDLE, "outbox log writer");
	context = AllocSetContextCreate(TopMemoryContext, "outbox log errors",
									ALLOCSET_SMALL_SIZES);

	PG_TRY();
	{
		if (!outbox_event_log)
			end_log();
		open_source(&writer_data);
		write_log(&writer_data);
	}
	PG_CATCH();
	{
		LWLockReleaseAll();
		if (record_error(&writer_data, context))
			PG_RE_THROW();
		FlushErrorState();
		proc_exit(0);
	}
	PG_END_TRY();
}
