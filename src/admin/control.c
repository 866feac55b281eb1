/*-------------------------------------------------------------------------
 *
 * control.c
 *		SQL functions that tell the relay what to do, or wait for it.
 *
 * What must survive a restart (paused, adopt) is a column of outbox.instance,
 * changed by the SQL functions of admin.sql; these here tell the relay at the
 * transaction's commit.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "commands/extension.h"
#include "compat.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "source/source.h"
#include "state/state.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(outbox_create_instance_slot);
PG_FUNCTION_INFO_V1(outbox_notify_relay);
PG_FUNCTION_INFO_V1(outbox_restart);
PG_FUNCTION_INFO_V1(outbox_refused_state);
PG_FUNCTION_INFO_V1(outbox_published_lsn);
PG_FUNCTION_INFO_V1(outbox_wait_published);

#define LEAVE_TIMEOUT	5000	/* ms */

static void
require_preload(void)
{
	if (OutboxState == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("outbox is not in shared_preload_libraries"),
				 errhint("Add outbox to shared_preload_libraries and restart the server.")));
}

static OutboxRelayEntry *
my_entry(void)
{
	OutboxRelayEntry *entry;

	require_preload();
	entry = outbox_state_find(MyDatabaseId);
	if (entry == NULL)
		entry = outbox_state_claim(MyDatabaseId);
	if (entry == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("more databases have the extension \"outbox\" than outbox.max_databases"),
				 errhint("Raise outbox.max_databases, now %d, and restart the server.",
						 OutboxState->max_databases)));
	return entry;
}

/* From here on no relay drops the slot, and none is started. */
static void
note_creator(void)
{
	FullTransactionId xid = GetTopFullTransactionId();
	bool		noted = false;

	while (!noted)
	{
		OutboxRelayEntry *entry = my_entry();

		/* A leaving relay may have freed it in between. */
		LWLockAcquire(OutboxState->lock, LW_EXCLUSIVE);
		noted = entry->database == MyDatabaseId;
		if (noted)
		{
			entry->creator = xid;
			pg_atomic_write_u32(&entry->written, 0);
		}
		LWLockRelease(OutboxState->lock);
	}
}

/*
 * Called by the install script.  The slot is not transactional: should CREATE
 * EXTENSION roll back, the relay that the launcher starts finds no extension
 * and drops it; as long as the creating transaction runs, none is started.
 *
 * A new slot holds WAL from the last checkpoint on; what is wanted begins here.
 * In between may be events of a dropped extension of the same database.
 */
Datum
outbox_create_instance_slot(PG_FUNCTION_ARGS)
{
	XLogRecPtr	restart;

	if (!creating_extension)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("outbox.create_instance_slot() is for CREATE EXTENSION only")));
	require_preload();
	if (wal_level < WAL_LEVEL_REPLICA)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("outbox needs wal_level replica or logical"),
				 errhint("Set wal_level = replica and restart the server.")));
	note_creator();
	outbox_state_note_extension();

	/* The relay of an extension dropped just now may still hold the slot. */
	outbox_state_leave(MyDatabaseId, LEAVE_TIMEOUT, LEAVE_TIMEOUT);
	outbox_state_unhold(MyDatabaseId);
	outbox_slot_create(OUTBOX_SLOT_RELAY, MyDatabaseId);
	if (outbox_slot_acquire(OUTBOX_SLOT_RELAY, MyDatabaseId,
							&restart) == OUTBOX_SLOT_OK)
	{
		restart = GetXLogInsertRecPtr();
		outbox_slot_set(restart);
		outbox_slot_release();
	}
	PG_RETURN_LSN(restart);
}

/* At commit of this transaction the relay reads outbox.instance again. */
Datum
outbox_notify_relay(PG_FUNCTION_ARGS)
{
	(void) my_entry();
	outbox_state_note_extension();
	PG_RETURN_VOID();
}

Datum
outbox_restart(PG_FUNCTION_ARGS)
{
	OutboxRelayEntry *entry = my_entry();

	SpinLockAcquire(&entry->mutex);
	entry->failures = 0;
	entry->next_retry_at = 0;
	SpinLockRelease(&entry->mutex);
	outbox_state_ask(entry, OUTBOX_ASK_RESTART);
	outbox_state_wake_launcher();
	PG_RETURN_VOID();
}

Datum
outbox_refused_state(PG_FUNCTION_ARGS)
{
	OutboxRelayEntry *entry = my_entry();
	OutboxRelayState refused;

	SpinLockAcquire(&entry->mutex);
	refused = entry->refused;
	SpinLockRelease(&entry->mutex);
	if (refused < OUTBOX_FIRST_REFUSING_STATE)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(outbox_state_name(refused)));
}

static XLogRecPtr
published(OutboxRelayEntry *entry)
{
	XLogRecPtr	lsn;

	SpinLockAcquire(&entry->mutex);
	lsn = entry->published;
	SpinLockRelease(&entry->mutex);
	return lsn;
}

Datum
outbox_published_lsn(PG_FUNCTION_ARGS)
{
	XLogRecPtr	lsn = published(my_entry());

	if (lsn == InvalidXLogRecPtr)
		PG_RETURN_NULL();
	PG_RETURN_LSN(lsn);
}

/*
 * Wait until everything that this session has committed is in Kafka.
 * XactLastCommitEnd is the session's last commit, except for COMMIT PREPARED;
 * that one flushes its record before it returns, so the flush pointer covers
 * it (and perhaps commits of others: waiting a moment longer does no harm).
 */
Datum
outbox_wait_published(PG_FUNCTION_ARGS)
{
	static uint32 wait_event = 0;
	OutboxRelayEntry *entry = my_entry();
	XLogRecPtr	target;
	TimestampTz end = DT_NOEND;
	bool		done;

	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("recovery is in progress"),
				 errhint("A standby does not publish; its primary does.")));
	target = Max(XactLastCommitEnd, GetFlushRecPtr(NULL));
	if (!PG_ARGISNULL(0))
	{
		Interval   *timeout = PG_GETARG_INTERVAL_P(0);

		end = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
													  TimestampTzGetDatum(GetCurrentTimestamp()),
													  IntervalPGetDatum(timeout)));
	}
	outbox_state_wake(entry);
	ConditionVariablePrepareToSleep(&entry->progress);
	while (!(done = published(entry) >= target))
	{
		long		wait_ms = 1000;

		if (!TIMESTAMP_NOT_FINITE(end))
		{
			wait_ms = Min(wait_ms,
						  TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
														  end));
			if (wait_ms <= 0)
				break;
		}
		(void) ConditionVariableTimedSleep(&entry->progress, wait_ms,
										   outbox_compat_wait_event(&wait_event,
																	"OutboxPublished"));
	}
	ConditionVariableCancelSleep();
	PG_RETURN_BOOL(done);
}
