/*-------------------------------------------------------------------------
 *
 * launcher.c
 *		One worker per cluster that keeps a relay in every database that has
 *		the extension.
 *
 * It has no database of its own.  Which databases need a relay it learns from
 * the slots ("outbox_<oid>"), from the entries in shared memory, and once
 * after its own start from looking into every database (a relay that finds no
 * extension leaves at once).  It runs no SQL; it reads pg_database.
 *
 *	relay exits			the launcher is notified and starts another at
 *						entry->next_retry_at
 *	no worker slot		the state says so, and it is tried again every second
 *	database dropped	slot dropped here, entry freed
 *	launcher exits		relays go on; the postmaster starts another launcher,
 *						which finds the relays by their entries
 *
 * On a standby nothing is started: the launcher itself waits for the end of
 * recovery.  It also keeps outbox-http, see http.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "base/clock.h"
#include "catalog/pg_database.h"
#include "compat.h"
#include "guc.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "relay/budget.h"
#include "relay/http.h"
#include "relay/relay.h"
#include "replication/slot.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#define LOOK_INTERVAL	5000	/* ms between looks at the slots */
#define START_GRACE		10000	/* ms for a started relay to show up */
#define NO_SLOT_RETRY	1000	/* ms until another try to start one */
#define RATE_WINDOW		60.0	/* s over which WAL per second is smoothed */
#define RESTART_TIME	1		/* s, the launcher's own */

void
outbox_launcher_register(void)
{
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = RESTART_TIME;
	strlcpy(worker.bgw_library_name, "outbox", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "outbox_launcher_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "outbox launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "outbox launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

static void
leave(int code, Datum arg)
{
	LWLockAcquire(OutboxState->lock, LW_EXCLUSIVE);
	OutboxState->launcher_pid = 0;
	LWLockRelease(OutboxState->lock);
}

typedef enum DatabaseState
{
	DATABASE_GONE,
	DATABASE_CLOSED,			/* allows no connections at the moment */
	DATABASE_OPEN
} DatabaseState;

static DatabaseState
look_up_database(Oid database, NameData *name)
{
	HeapTuple	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
	Form_pg_database form;
	DatabaseState state;

	if (!HeapTupleIsValid(tuple))
		return DATABASE_GONE;
	form = (Form_pg_database) GETSTRUCT(tuple);
	*name = form->datname;
	state = form->datallowconn ? DATABASE_OPEN : DATABASE_CLOSED;
	ReleaseSysCache(tuple);
	return state;
}

/* Said once for each database, not at every look. */
static void
warn_no_entry(Oid database)
{
	static List *warned = NIL;
	MemoryContext old;

	if (list_member_oid(warned, database))
		return;
	ereport(WARNING,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("no relay for database %u: outbox.max_databases is %d",
					database, OutboxState->max_databases),
			 errhint("Raise outbox.max_databases and restart the server.")));
	old = MemoryContextSwitchTo(TopMemoryContext);
	warned = lappend_oid(warned, database);
	MemoryContextSwitchTo(old);
}

/* An entry for every database with a slot of ours. */
static void
look_at_slots(void)
{
	Oid		   *databases = palloc_array(Oid, max_replication_slots);
	int			n = outbox_slot_databases(databases, max_replication_slots);

	for (int i = 0; i < n; i++)
	{
		if (outbox_state_claim(databases[i]) == NULL)
			warn_no_entry(databases[i]);
	}
	pfree(databases);
}

/*
 * All of max_worker_processes are taken.  Nobody tells when one is given back,
 * so look again soon; said once, until a relay has run.
 */
static void
note_no_slot(OutboxRelayEntry *entry, const char *name)
{
	OutboxResult why = {.class = OUTBOX_CONFIG};
	TimestampTz next = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
												   NO_SLOT_RETRY);
	bool		news;

	strlcpy(why.message,
			"no free background worker slot: raise max_worker_processes",
			sizeof(why.message));
	SpinLockAcquire(&entry->mutex);
	news = entry->state != OUTBOX_STATE_MISCONFIGURED ||
		strcmp(entry->last_error.message, why.message) != 0;
	entry->next_retry_at = next;
	SpinLockRelease(&entry->mutex);
	LWLockAcquire(OutboxState->lock, LW_EXCLUSIVE);
	entry->starting_until = 0;
	LWLockRelease(OutboxState->lock);
	outbox_state_set(entry, OUTBOX_STATE_MISCONFIGURED, &why);
	if (news)
		ereport(LOG,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("could not start the relay of database \"%s\": no free background worker slot",
						name),
				 errhint("Raise max_worker_processes, now %d, and restart the server, or let another background worker end.",
						 max_worker_processes)));
}

/* The same of the log writer; the relay does without it. */
static void
note_no_log_slot(OutboxRelayEntry *entry, const char *name)
{
	OutboxLogState *log = &entry->log;
	bool		news;

	SpinLockAcquire(&entry->mutex);
	news = log->failures++ == 0;
	log->failing = true;
	strlcpy(log->last_error.message,
			"no free background worker slot: raise max_worker_processes",
			sizeof(log->last_error.message));
	log->last_error_at = GetCurrentTimestamp();
	log->next_retry_at = TimestampTzPlusMilliseconds(log->last_error_at,
													 LOOK_INTERVAL);
	SpinLockRelease(&entry->mutex);
	if (news)
		ereport(LOG,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("could not start the log writer of database \"%s\": no free background worker slot",
						name),
				 errhint("Raise max_worker_processes, now %d, and restart the server; or set outbox.event_log to off.",
						 max_worker_processes)));
}

static bool
start_worker(OutboxRelayEntry *entry, const char *function, const char *type,
			 const char *name)
{
	BackgroundWorker worker;
	BackgroundWorkerHandle *handle;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = ObjectIdGetDatum(entry->database);
	worker.bgw_notify_pid = MyProcPid;
	strlcpy(worker.bgw_library_name, "outbox", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, function, BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "%s %s", type, name);
	strlcpy(worker.bgw_type, type, BGW_MAXLEN);

	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
		return false;
	pfree(handle);
	return true;
}

static bool
start_relay(OutboxRelayEntry *entry, const char *name)
{
	if (start_worker(entry, "outbox_relay_main", "outbox relay", name))
		return true;
	note_no_slot(entry, name);
	return false;
}

/*
 * The log writer of a database, when it is to be started; once switched off, a
 * slot that one has left behind is dropped here.
 */
static void
look_at_log(OutboxRelayEntry *entry, const char *name, TimestampTz now,
			long *wait_ms)
{
	TimestampTz at;
	bool		wanted;

	SpinLockAcquire(&entry->mutex);
	wanted = entry->log.wanted && entry->log.pid == 0;
	at = entry->log.next_retry_at;
	SpinLockRelease(&entry->mutex);
	if (!outbox_event_log)
	{
		(void) outbox_slot_drop(OUTBOX_SLOT_EVENT_LOG, entry->database);
		return;
	}
	if (!wanted)
		return;
	LWLockAcquire(OutboxState->lock, LW_EXCLUSIVE);
	at = Max(at, Max(entry->hold_until, entry->log_starting_until));
	if (at <= now)
		entry->log_starting_until =
			TimestampTzPlusMilliseconds(now, START_GRACE);
	LWLockRelease(OutboxState->lock);
	if (at > now)
		*wait_ms = Min(*wait_ms, TimestampDifferenceMilliseconds(now, at) + 1);
	else if (!start_worker(entry, "outbox_log_writer_main",
						   "outbox log writer", name))
		note_no_log_slot(entry, name);
}

/* A relay sees to it itself; one that is just starting will. */
static void
look_at_budget(OutboxRelayEntry *entry)
{
	bool		running;

	SpinLockAcquire(&entry->mutex);
	running = entry->pid != 0;
	SpinLockRelease(&entry->mutex);
	LWLockAcquire(OutboxState->lock, LW_SHARED);
	running |= entry->starting_until != 0;
	LWLockRelease(OutboxState->lock);
	if (!running)
		outbox_budget_apply_idle(entry);
}

/*
 * Slot and entry of a database that is gone.  A slot is made by a session in
 * the database, so one that cannot be seen now was dropped, not just made.
 */
static void
collect(OutboxRelayEntry *entry, Oid database)
{
	bool		gone;

	SpinLockAcquire(&entry->mutex);
	gone = entry->pid == 0 && entry->log.pid == 0;
	SpinLockRelease(&entry->mutex);
	if (gone && outbox_slot_drop(OUTBOX_SLOT_EVENT_LOG, database) &&
		outbox_slot_drop(OUTBOX_SLOT_RELAY, database))
	{
		ereport(DEBUG1,
				(errmsg_internal("database %u is gone", database)));
		outbox_state_free(entry);
	}
}

/*
 * Whether the entry's relay is to be started now; else how long to wait at
 * most, in *wait_ms.
 */
static bool
due(OutboxRelayEntry *entry, TimestampTz now, long *wait_ms)
{
	TimestampTz at;
	pid_t		pid;
	bool		creating;

	SpinLockAcquire(&entry->mutex);
	pid = entry->pid;
	at = entry->next_retry_at;
	SpinLockRelease(&entry->mutex);

	LWLockAcquire(OutboxState->lock, LW_EXCLUSIVE);
	if (pid != 0)
		entry->starting_until = 0;
	at = Max(at, Max(entry->hold_until, entry->starting_until));
	creating = FullTransactionIdIsValid(entry->creator) &&
		TransactionIdIsInProgress(XidFromFullTransactionId(entry->creator));
	if (pid == 0 && !creating && at <= now)
	{
		/* A relay at work takes one set later for a sign: leave_for_good(). */
		entry->creator = InvalidFullTransactionId;
		entry->starting_until = TimestampTzPlusMilliseconds(now, START_GRACE);
	}
	LWLockRelease(OutboxState->lock);

	if (pid != 0 || creating || TIMESTAMP_NOT_FINITE(at))
		return false;
	if (at > now)
	{
		*wait_ms = Min(*wait_ms, TimestampDifferenceMilliseconds(now, at) + 1);
		return false;
	}
	return true;
}

/*
 * After a start: databases whose slot is gone (restored, promoted, dropped by
 * hand) show up only by looking into them.  There may be more databases than
 * entries; those wait until a relay that found no extension has left.
 */
static List *unexplored = NIL;

static void
explore_databases(void)
{
	while (unexplored != NIL &&
		   outbox_state_claim(linitial_oid(unexplored)) != NULL)
		unexplored = list_delete_first(unexplored);
}

static void
list_databases(void)
{
	MemoryContext old;
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;

	StartTransactionCommand();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database db = (Form_pg_database) GETSTRUCT(tuple);

		if (!db->datallowconn || db->datistemplate)
			continue;
		old = MemoryContextSwitchTo(TopMemoryContext);
		unexplored = lappend_oid(unexplored, db->oid);
		MemoryContextSwitchTo(old);
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
}

/* For status(): when the budget for WAL will be used up. */
static void
measure_wal(void)
{
	static int64 measured_ms = 0;
	static XLogRecPtr measured = InvalidXLogRecPtr;
	static double rate = 0;
	int64		now = outbox_monotonic_ms();
	double		elapsed = (now - measured_ms) / 1000.0;
	TimeLineID	tli;
	XLogRecPtr	flushed;

	if (elapsed < 1)
		return;
	flushed = outbox_source_flushed(&tli);
	if (measured != InvalidXLogRecPtr)
		rate += ((flushed - measured) / elapsed - rate) *
			Min(1.0, elapsed / RATE_WINDOW);
	measured = flushed;
	measured_ms = now;
	pg_atomic_write_u64(&OutboxState->wal_rate, (uint64) rate);
}

/* Look at every entry; returns how long nothing needs to be done, in ms. */
static long
look(void)
{
	TimestampTz now = GetCurrentTimestamp();
	long		wait_ms = LOOK_INTERVAL;

	measure_wal();
	StartTransactionCommand();
	look_at_slots();
	explore_databases();
	for (int i = 0; i < OutboxState->max_databases; i++)
	{
		OutboxRelayEntry *entry = &OutboxState->entries[i];
		Oid			database = entry->database;
		NameData	name;

		if (!OidIsValid(database))
			continue;
		switch (look_up_database(database, &name))
		{
			case DATABASE_OPEN:
				if (due(entry, now, &wait_ms) &&
					!start_relay(entry, NameStr(name)))
					wait_ms = Min(wait_ms, NO_SLOT_RETRY + 1);
				look_at_log(entry, NameStr(name), now, &wait_ms);
				look_at_budget(entry);
				break;
			case DATABASE_CLOSED:
				break;			/* looked at again by and by */
			case DATABASE_GONE:
				collect(entry, database);
				break;
		}
	}
	wait_ms = outbox_http_look(wait_ms);
	CommitTransactionCommand();
	return wait_ms;
}

/* New settings may be what a relay that keeps failing was waiting for. */
static void
retry_at_once(void)
{
	for (int i = 0; i < OutboxState->max_databases; i++)
	{
		OutboxRelayEntry *entry = &OutboxState->entries[i];

		SpinLockAcquire(&entry->mutex);
		if (entry->pid == 0 && entry->state < OUTBOX_FIRST_REFUSING_STATE)
		{
			entry->next_retry_at = 0;
			entry->failures = 0;
		}
		SpinLockRelease(&entry->mutex);
	}
}

void
outbox_launcher_main(Datum arg)
{
	static uint32 wait_event = 0;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	LWLockAcquire(OutboxState->lock, LW_EXCLUSIVE);
	OutboxState->launcher_pid = MyProcPid;
	OutboxState->launcher_procno = outbox_compat_my_procno();
	LWLockRelease(OutboxState->lock);
	before_shmem_exit(leave, 0);
	pgstat_report_activity(STATE_IDLE, "outbox launcher");

	list_databases();
	for (;;)
	{
		long		wait_ms = look();
		pgsocket	sock = outbox_http_socket();
		int			what = WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH;

		if (sock != PGINVALID_SOCKET)
			what |= WL_SOCKET_READABLE;
		what = WaitLatchOrSocket(MyLatch, what, sock, wait_ms,
								 outbox_compat_wait_event(&wait_event,
														  "OutboxLauncher"));
		if (what & WL_SOCKET_READABLE)
			outbox_http_receive();
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			retry_at_once();
			outbox_http_reload();
		}
	}
}
