/*-------------------------------------------------------------------------
 *
 * switch.c
 *		Which source the relay reads from, and the change from one to the other.
 *
 * The scanner needs no logical slot and no wal_level = logical; so the decoder
 * is used only while a table is captured with mode log.  What decides at a start
 * is outbox.instance.log_from: null, scanner; else decoder, with the changes of
 * commits after that place.  Both sources push the same messages of the same
 * commits in the same order, so the position and the number of messages sent of
 * a split transaction mean the same for both.
 *
 * To the decoder, when a log capture is there:
 *	1 a process of its own builds the logical slot; the scanner goes on.  That
 *	  waits for transactions that are running, for as long as they take
 *	2 until a position record beyond the slot's beginning is in Kafka, the
 *	  scanner goes on
 *	3 at a transaction boundary X: log_from = X and active_from = X of the
 *	  captures, in one transaction, flushed here and by synchronous standbys
 *	4 the scanner is closed, the decoder opened at X
 * Dead before 3: the next process begins with the scanner, at 1 or 2.  After 3:
 * it begins with the decoder at the position in Kafka, which is not before the
 * slot's beginning because of 2; of commits up to X it pushes messages only, as
 * the scanner has done.
 *
 * Back to the scanner, when none is there any more:
 *	1 until the position in Kafka is beyond the place where that was seen, so
 *	  that all changes made before are published
 *	2 at a transaction boundary: log_from = null, flushed as above
 *	3 the decoder is closed, the slot dropped, the scanner opened
 * Dead before 2: the decoder again.  After 2: the scanner at a position beyond
 * all captured changes; a slot that is left over is dropped by it, or used when
 * there is a capture again (it is older than it need be, not younger).
 *
 * Slot gone, invalidated, or moved beyond the position: changes are lost, state
 * "gap" with the place.  Nobody but this file makes such a slot, so one made by
 * others in its stead is younger than the position and found out.  After
 * outbox.adopt(): log_from = null, and it all begins again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "base/clock.h"
#include "catalog/capture_active.h"
#include "catalog/instance.h"
#include "guc.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "relay/switch.h"
#include "state/log_settings.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#define LOOK_INTERVAL	250		/* ms between looks while a change is due */
#define BUILD_RETRY		5000	/* ms until another try to build a slot */
#define LOCK_TIMEOUT	"100"	/* ms */

static BackgroundWorkerHandle *builder = NULL;
static int64 last_build_ms = -BUILD_RETRY;

/* ---- what is wanted ------------------------------------------------------ */

void
outbox_switch_read_captures(OutboxRelay *relay)
{
	int			pending;

	relay->captures_as_of = GetXLogInsertRecPtr();
	relay->log_captures = outbox_capture_count_log(&pending) > 0;
	relay->log_pending = pending > 0;
}

/* For status(): why a change does not come about, without another state. */
static void
say(OutboxRelay *relay, const char *message, const char *hint)
{
	OutboxResult why = {.class = OUTBOX_CONFIG};
	bool		news;

	snprintf(why.message, sizeof(why.message), "%s (%s)", message, hint);
	news = strcmp(relay->entry->last_error.message, why.message) != 0;
	outbox_state_set(relay->entry, relay->entry->state, &why);
	if (news)
		ereport(LOG,
				(errmsg("captures with mode \"log\" wait: %s", message),
				 errhint("%s", hint)));
}

/* ---- what is noted durably ------------------------------------------------ */

/*
 * log_from, and active_from of the captures: those that have none, or all.
 * False when somebody holds a table of ours: later then.  It is there for good
 * on return, also on synchronous standbys.
 */
static bool
note(OutboxRelay *relay, XLogRecPtr log_from, XLogRecPtr active_from, bool all)
{
	MemoryContext old = CurrentMemoryContext;
	volatile bool done = false;

	PG_TRY();
	{
		outbox_relay_begin_transaction();
		(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_SUSET,
								 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0,
								 false);
		(void) set_config_option("synchronous_commit", "local", PGC_SUSET,
								 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0,
								 false);
		if (log_from != relay->instance.log_from)
			outbox_instance_set_log_from(log_from);
		outbox_capture_activate(active_from, all);
		CommitTransactionCommand();
		done = true;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(old);
		FlushErrorState();
		AbortCurrentTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	if (!done)
		return false;
	outbox_gate_wait(relay, XactLastCommitEnd);
	relay->instance.log_from = log_from;
	return true;
}

/* ---- the process that builds the slot --------------------------------------- */

void
outbox_log_slot_main(Datum arg)
{
	Oid			database = DatumGetObjectId(arg);

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	pgstat_report_activity(STATE_RUNNING,
						   "outbox: waits for running transactions to build a logical slot");
	outbox_log_slot_build(database);
}

void
outbox_switch_end_builder(void)
{
	if (builder == NULL)
		return;
	TerminateBackgroundWorker(builder);
	(void) WaitForBackgroundWorkerShutdown(builder);
	pfree(builder);
	builder = NULL;
}

/* At exit nobody waits. */
static void
terminate_builder(int code, Datum arg)
{
	if (builder != NULL)
		TerminateBackgroundWorker(builder);
}

static void
start_builder(OutboxRelay *relay)
{
	static bool registered = false;
	BackgroundWorker worker;
	MemoryContext old;
	bool		started;

	last_build_ms = outbox_monotonic_ms();
	if (!registered)
		before_shmem_exit(terminate_builder, 0);
	registered = true;
	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = ObjectIdGetDatum(MyDatabaseId);
	worker.bgw_notify_pid = MyProcPid;
	strlcpy(worker.bgw_library_name, "outbox", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "outbox_log_slot_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "outbox logical slot", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "outbox logical slot", BGW_MAXLEN);

	old = MemoryContextSwitchTo(TopMemoryContext);
	started = RegisterDynamicBackgroundWorker(&worker, &builder);
	MemoryContextSwitchTo(old);
	if (!started)
	{
		builder = NULL;
		say(relay, "no free background worker slot to build a logical slot",
			"Raise max_worker_processes.");
	}
}

/* Whether one is at work; looks after one that has ended. */
static bool
building(OutboxRelay *relay)
{
	pid_t		pid;

	if (builder == NULL)
		return false;
	if (GetBackgroundWorkerPid(builder, &pid) != BGWH_STOPPED)
		return true;
	pfree(builder);
	builder = NULL;
	return false;
}

static void
build_slot(OutboxRelay *relay)
{
	const char *message,
			   *hint;

	if (building(relay) ||
		outbox_monotonic_ms() - last_build_ms < BUILD_RETRY)
		return;
	if (outbox_log_settings_missing(&message, &hint))
	{
		last_build_ms = outbox_monotonic_ms();
		say(relay, message, hint);
		return;
	}
	start_builder(relay);
}

/* ---- sources ------------------------------------------------------------------ */

static void
open_scanner(OutboxRelay *relay, XLogRecPtr restart, XLogRecPtr position)
{
	relay->source = outbox_scanner_open(restart, position, MyDatabaseId,
										OUTBOX_WAL_PREFIX,
										(Size) outbox_scanner_memory * 1024);
	relay->decoding = false;
	relay->foreign = 0;
	outbox_state_set_decoding(relay->entry, false);
}

static void
open_decoder(OutboxRelay *relay, XLogRecPtr restart, XLogRecPtr position)
{
	outbox_log_slot_acquire(MyDatabaseId);
	relay->source = outbox_decoder_open(restart, position,
										relay->instance.log_from,
										MyDatabaseId, OUTBOX_WAL_PREFIX,
										outbox_decoder_memory);
	relay->decoding = true;
	relay->foreign = 0;
	outbox_state_set_decoding(relay->entry, true);
	ereport(LOG,
			(errmsg("outbox relay decodes changes of commits after %X/%X",
					LSN_FORMAT_ARGS(relay->instance.log_from))));
}

/* WAL was released or lost: first what the event log has. */
static void
open_log(OutboxRelay *relay, XLogRecPtr restart, XLogRecPtr position)
{
	relay->source = outbox_log_source_open(restart, position,
										   relay->log_limit);
	relay->decoding = false;
	relay->foreign = 0;
	outbox_state_set_decoding(relay->entry, false);
	ereport(LOG,
			(errmsg("outbox relay publishes commits from %X/%X to %X/%X from the event log",
					LSN_FORMAT_ARGS(position),
					LSN_FORMAT_ARGS(relay->log_limit))));
}

/* Dead here: the position says where to go on, from the log or from WAL. */
bool
outbox_switch_leave_log(OutboxRelay *relay)
{
	if (!relay->from_log || !outbox_log_source_done(relay->source))
		return false;
	relay->source->close(relay->source);
	relay->from_log = false;
	open_scanner(relay, relay->wal_restart, relay->wal_position);
	ereport(LOG,
			(errmsg("outbox relay reads WAL again, from %X/%X",
					LSN_FORMAT_ARGS(relay->wal_restart))));
	return true;
}

void
outbox_switch_open_source(OutboxRelay *relay)
{
	const OutboxPosition *pos = &relay->position;

	if (relay->from_log)
		open_log(relay, pos->restart, pos->scanned);
	else if (relay->instance.log_from == InvalidXLogRecPtr)
		open_scanner(relay, pos->restart, pos->scanned);
	else
		open_decoder(relay, pos->restart, pos->scanned);
}

/* ---- at a start ------------------------------------------------------------------ */

/* Whether what the slot has lost is more than nothing; says what. */
static bool
has_gap(OutboxRelay *relay, OutboxResult *why)
{
	XLogRecPtr	position = relay->position.scanned;
	XLogRecPtr	confirmed;
	NameData	name;

	outbox_log_slot_name(MyDatabaseId, &name);
	why->class = OUTBOX_CONFIG;
	switch (outbox_log_slot_look(MyDatabaseId, &confirmed))
	{
		case OUTBOX_LOG_SLOT_READY:
			if (confirmed <= position)
				return false;
			snprintf(why->message, sizeof(why->message),
					 "replication slot \"%s\" begins at %X/%X: changes of captured tables from %X/%X to there are lost; somebody has moved it or made it again",
					 NameStr(name), LSN_FORMAT_ARGS(confirmed),
					 LSN_FORMAT_ARGS(position));
			return true;
		case OUTBOX_LOG_SLOT_BUSY:
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_IN_USE),
					 errmsg("replication slot \"%s\" is held by another process",
							NameStr(name))));
			return true;
		case OUTBOX_LOG_SLOT_INVALID:
			snprintf(why->message, sizeof(why->message),
					 "replication slot \"%s\" was invalidated: changes of captured tables from %X/%X on are lost",
					 NameStr(name), LSN_FORMAT_ARGS(position));
			return true;
		default:
			snprintf(why->message, sizeof(why->message),
					 "replication slot \"%s\" is missing: changes of captured tables from %X/%X to %X/%X are lost; it was dropped, or a failover did not bring it",
					 NameStr(name), LSN_FORMAT_ARGS(position),
					 LSN_FORMAT_ARGS(GetFlushRecPtr(NULL)));
			return true;
	}
}

void
outbox_switch_check_slot(OutboxRelay *relay)
{
	OutboxResult why = {0};
	const char *message,
			   *hint;

	if (relay->instance.log_from == InvalidXLogRecPtr)
		return;
	if (has_gap(relay, &why))
	{
		if (!relay->instance.adopt_pending)
			outbox_relay_stop(relay, OUTBOX_STATE_GAP, &why);
		ereport(LOG,
				(errmsg("outbox adopts state \"gap\": %s", why.message)));
		if (!outbox_log_slot_drop(MyDatabaseId) ||
			!note(relay, InvalidXLogRecPtr, InvalidXLogRecPtr, true))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_IN_USE),
					 errmsg("could not give up what logical decoding has lost: tables of outbox or its logical slot are in use")));
		return;
	}
	if (outbox_log_settings_missing(&message, &hint))
		outbox_relay_refuse(relay, OUTBOX_STATE_MISCONFIGURED, "%s (%s)",
							message, hint);
}

/* ---- while at work ----------------------------------------------------------------- */

/* A position record soon, however long the heartbeat's interval is. */
static void
hurry_record(OutboxRelay *relay)
{
	relay->last_record_ms = outbox_monotonic_ms() - outbox_heartbeat_interval;
}

static void
begin_decoding(OutboxRelay *relay, const OutboxSourceProgress *progress)
{
	if (!note(relay, progress->scanned, progress->scanned, true))
		return;
	relay->log_pending = false;
	relay->source->close(relay->source);
	relay->source = NULL;
	open_decoder(relay, progress->restart, progress->scanned);
}

static void
toward_decoder(OutboxRelay *relay, const OutboxSourceProgress *progress)
{
	XLogRecPtr	confirmed;
	NameData	name;

	switch (outbox_log_slot_look(MyDatabaseId, &confirmed))
	{
		case OUTBOX_LOG_SLOT_READY:
			if (building(relay))
				break;			/* it is about to end */
			if (confirmed > relay->recorded)
				hurry_record(relay);
			else
				begin_decoding(relay, progress);
			break;
		case OUTBOX_LOG_SLOT_BUSY:
			(void) building(relay);
			break;
		case OUTBOX_LOG_SLOT_MISSING:
			build_slot(relay);
			break;
		case OUTBOX_LOG_SLOT_INVALID:
			(void) outbox_log_slot_drop(MyDatabaseId);
			break;
		case OUTBOX_LOG_SLOT_OTHER:
			outbox_log_slot_name(MyDatabaseId, &name);
			say(relay, psprintf("replication slot \"%s\" is not outbox's",
								NameStr(name)),
				"Drop it; captures with mode \"log\" need that name.");
			break;
	}
}

/* Captures that came while others are active: decoded since their commit. */
static void
activate_more(OutboxRelay *relay)
{
	if (note(relay, relay->instance.log_from, relay->captures_as_of, false))
		relay->log_pending = false;
}

static void
toward_scanner(OutboxRelay *relay, const OutboxSourceProgress *progress)
{
	if (relay->recorded < relay->captures_as_of)
	{
		hurry_record(relay);
		return;
	}
	if (!note(relay, InvalidXLogRecPtr, InvalidXLogRecPtr, true))
		return;
	relay->source->close(relay->source);
	relay->source = NULL;
	outbox_log_slot_release();
	open_scanner(relay, progress->restart, progress->scanned);
	(void) outbox_log_slot_drop(MyDatabaseId);
	ereport(LOG,
			(errmsg("outbox relay scans WAL from %X/%X on: no table is captured with mode \"log\"",
					LSN_FORMAT_ARGS(progress->scanned))));
}

/* Once in a process, without captures: what a dead one has left. */
static void
drop_left_over(void)
{
	static bool done = false;
	XLogRecPtr	confirmed;

	if (done)
		return;
	done = true;
	if (outbox_log_slot_look(MyDatabaseId, &confirmed) != OUTBOX_LOG_SLOT_BUSY)
		(void) outbox_log_slot_drop(MyDatabaseId);
}

void
outbox_switch_look(OutboxRelay *relay, const OutboxSourceProgress *progress)
{
	static int64 looked_ms = -LOOK_INTERVAL;
	int64		now = outbox_monotonic_ms();
	bool		due = relay->decoding ?
		!relay->log_captures || relay->log_pending :
		relay->log_captures || builder != NULL;

	if (!due && !relay->decoding)
		drop_left_over();
	/* From the event log it goes to the scanner first. */
	if (!due || relay->instance.paused || relay->from_log ||
		now - looked_ms < LOOK_INTERVAL)
		return;
	looked_ms = now;
	if (!relay->decoding && relay->log_captures)
		toward_decoder(relay, progress);
	else if (!relay->decoding)
	{
		outbox_switch_end_builder();
		(void) outbox_log_slot_drop(MyDatabaseId);
	}
	else if (!relay->log_captures)
		toward_scanner(relay, progress);
	else
		activate_more(relay);
}
