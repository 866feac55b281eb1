/*-------------------------------------------------------------------------
 *
 * state.c
 *		Shared memory of the extension: entries, wake-ups, asking.
 *
 * Owns the segment "outbox" and the named LWLock tranche of the same name.
 * The lock protects which database an entry belongs to; the entry's spinlock
 * protects its fields and is held for a few assignments only.  Nobody keeps a
 * pointer to another process's latch: a PGPROC number is looked up under the
 * mutex, and a latch set too much does no harm.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "guc.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "state/state.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#define UNHOLD_DELAY	300		/* ms; the statement is over, its commit may
								 * not be */

OutboxShared *OutboxState = NULL;

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

static const char *const state_names[] = {
	"stopped", "starting", "connecting", "taking_over", "streaming",
	"waiting_for_standby", "paused", "kafka_unavailable",
	"registry_unavailable", "registry_changed", "misconfigured", "blocked",
	"position_unreadable", "other_instance", "diverged", "gap", "kafka_lost",
	"clone", "fenced"
};

static Size
shared_size(void)
{
	return add_size(offsetof(OutboxShared, entries),
					mul_size(outbox_max_databases, sizeof(OutboxRelayEntry)));
}

static void
request_shmem(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	RequestAddinShmemSpace(shared_size());
	RequestNamedLWLockTranche("outbox", 1);
}

static void
startup_shmem(void)
{
	bool		found;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	OutboxState = ShmemInitStruct("outbox", shared_size(), &found);
	if (!found)
	{
		memset(OutboxState, 0, shared_size());
		OutboxState->lock = &GetNamedLWLockTranche("outbox")->lock;
		OutboxState->max_databases = outbox_max_databases;
		pg_atomic_init_u32(&OutboxState->decoders, 0);
		pg_atomic_init_u32(&OutboxState->http_serves, 0);
		pg_atomic_init_u64(&OutboxState->wal_rate, 0);
		for (int i = 0; i < OutboxState->max_databases; i++)
		{
			OutboxRelayEntry *entry = &OutboxState->entries[i];

			pg_atomic_init_u32(&entry->asked, 0);
			pg_atomic_init_u32(&entry->log_asked, 0);
			pg_atomic_init_u64(&entry->commit_hint, 0);
			pg_atomic_init_u32(&entry->wants_commit, 0);
			pg_atomic_init_u32(&entry->decoding, 0);
			pg_atomic_init_u32(&entry->written, 0);
			SpinLockInit(&entry->mutex);
			ConditionVariableInit(&entry->progress);
		}
	}
	LWLockRelease(AddinShmemInitLock);
}

void
outbox_state_init(void)
{
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shmem;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup_shmem;
}

const char *
outbox_state_name(OutboxRelayState state)
{
	return state_names[state];
}

static OutboxRelayEntry *
find_entry(Oid database)
{
	for (int i = 0; i < OutboxState->max_databases; i++)
	{
		if (OutboxState->entries[i].database == database)
			return &OutboxState->entries[i];
	}
	return NULL;
}

OutboxRelayEntry *
outbox_state_find(Oid database)
{
	OutboxRelayEntry *entry;

	if (OutboxState == NULL)
		return NULL;
	LWLockAcquire(OutboxState->lock, LW_SHARED);
	entry = find_entry(database);
	LWLockRelease(OutboxState->lock);
	return entry;
}

/* Everything but database, mutex and condition variable. */
static void
clear_entry(OutboxRelayEntry *entry)
{
	Size		from = offsetof(OutboxRelayEntry, pid);

	SpinLockAcquire(&entry->mutex);
	memset((char *) entry + from, 0,
		   offsetof(OutboxRelayEntry, progress) - from);
	SpinLockRelease(&entry->mutex);
	entry->creator = InvalidFullTransactionId;
	entry->hold_until = 0;
	entry->starting_until = 0;
	entry->log_starting_until = 0;
	entry->diagnosis.at = 0;
	entry->diagnosis.len = 0;
	pg_atomic_write_u32(&entry->asked, 0);
	pg_atomic_write_u32(&entry->log_asked, 0);
	pg_atomic_write_u64(&entry->commit_hint, 0);
	pg_atomic_write_u32(&entry->written, 0);
}

OutboxRelayEntry *
outbox_state_claim(Oid database)
{
	OutboxRelayEntry *entry;

	LWLockAcquire(OutboxState->lock, LW_EXCLUSIVE);
	entry = find_entry(database);
	if (entry == NULL && (entry = find_entry(InvalidOid)) != NULL)
	{
		clear_entry(entry);
		entry->state_since = GetCurrentTimestamp();
		entry->database = database;
	}
	LWLockRelease(OutboxState->lock);
	return entry;
}

void
outbox_state_free(OutboxRelayEntry *entry)
{
	LWLockAcquire(OutboxState->lock, LW_EXCLUSIVE);
	entry->database = InvalidOid;
	LWLockRelease(OutboxState->lock);
	ConditionVariableBroadcast(&entry->progress);
}

void
outbox_state_set_decoding(OutboxRelayEntry *entry, bool decoding)
{
	if (pg_atomic_exchange_u32(&entry->decoding, decoding) == decoding)
		return;
	if (decoding)
		pg_atomic_fetch_add_u32(&OutboxState->decoders, 1);
	else
		pg_atomic_fetch_sub_u32(&OutboxState->decoders, 1);
}

void
outbox_state_wake(OutboxRelayEntry *entry)
{
	int			procno = -1;

	SpinLockAcquire(&entry->mutex);
	if (entry->pid != 0)
		procno = entry->procno;
	SpinLockRelease(&entry->mutex);
	if (procno >= 0)
		SetLatch(&ProcGlobal->allProcs[procno].procLatch);
}

void
outbox_state_wake_log(OutboxRelayEntry *entry)
{
	int			procno = -1;

	SpinLockAcquire(&entry->mutex);
	if (entry->log.pid != 0)
		procno = entry->log.procno;
	SpinLockRelease(&entry->mutex);
	if (procno >= 0)
		SetLatch(&ProcGlobal->allProcs[procno].procLatch);
}

void
outbox_state_wake_launcher(void)
{
	int			procno = -1;

	LWLockAcquire(OutboxState->lock, LW_SHARED);
	if (OutboxState->launcher_pid != 0)
		procno = OutboxState->launcher_procno;
	LWLockRelease(OutboxState->lock);
	if (procno >= 0)
		SetLatch(&ProcGlobal->allProcs[procno].procLatch);
}

void
outbox_state_ask(OutboxRelayEntry *entry, uint32 what)
{
	pg_atomic_fetch_or_u32(&entry->asked, what);
	outbox_state_wake(entry);
}

void
outbox_state_ask_log(OutboxRelayEntry *entry, uint32 what)
{
	pg_atomic_fetch_or_u32(&entry->log_asked, what);
	outbox_state_wake_log(entry);
}

void
outbox_state_leave(Oid database, int timeout_ms, int hold_ms)
{
	OutboxRelayEntry *entry;
	static uint32 wait_event = 0;
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz end = TimestampTzPlusMilliseconds(now, timeout_ms);

	if (OutboxState == NULL)
		return;
	LWLockAcquire(OutboxState->lock, LW_EXCLUSIVE);
	entry = find_entry(database);
	if (entry != NULL)
		entry->hold_until = TimestampTzPlusMilliseconds(now, hold_ms);
	LWLockRelease(OutboxState->lock);
	if (entry == NULL)
		return;

	ConditionVariablePrepareToSleep(&entry->progress);
	for (;;)
	{
		bool		gone;

		SpinLockAcquire(&entry->mutex);
		gone = entry->pid == 0 && entry->log.pid == 0;
		SpinLockRelease(&entry->mutex);
		if (gone || entry->database != database ||
			GetCurrentTimestamp() >= end)
			break;
		outbox_state_ask(entry, OUTBOX_ASK_LEAVE);
		outbox_state_ask_log(entry, OUTBOX_ASK_LEAVE);
		ConditionVariableTimedSleep(&entry->progress, 100,
									outbox_compat_wait_event(&wait_event,
															 "OutboxRelayLeave"));
	}
	ConditionVariableCancelSleep();
}

void
outbox_state_unhold(Oid database)
{
	OutboxRelayEntry *entry;

	if (OutboxState == NULL)
		return;
	LWLockAcquire(OutboxState->lock, LW_EXCLUSIVE);
	entry = find_entry(database);
	if (entry != NULL && entry->hold_until != 0)
		entry->hold_until =
			TimestampTzPlusMilliseconds(GetCurrentTimestamp(), UNHOLD_DELAY);
	LWLockRelease(OutboxState->lock);
	outbox_state_wake_launcher();
}

void
outbox_state_set(OutboxRelayEntry *entry, OutboxRelayState state,
				 const OutboxResult *error)
{
	TimestampTz now = GetCurrentTimestamp();

	SpinLockAcquire(&entry->mutex);
	if (entry->state != state)
	{
		entry->state = state;
		entry->state_since = now;
	}
	if (state >= OUTBOX_FIRST_REFUSING_STATE)
		entry->refused = state;
	else if (state == OUTBOX_STATE_STREAMING || state == OUTBOX_STATE_PAUSED)
		entry->refused = OUTBOX_STATE_STOPPED;
	if (error != NULL)
	{
		entry->last_error = *error;
		entry->last_error_at = now;
	}
	SpinLockRelease(&entry->mutex);
	ConditionVariableBroadcast(&entry->progress);
}
