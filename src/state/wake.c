/*-------------------------------------------------------------------------
 *
 * wake.c
 *		What a committing backend does for the relay: one store, and SetLatch
 *		when the relay waits for a commit.
 *
 * A relay that is busy, paused, or has as many Kafka transactions in flight as
 * it may, looks at WAL by itself when it can go on; to wake it for each commit
 * would cost the writers a signal and the machine a process switch.  Both sides
 * write before they look: the backend the hint and then the wish, the relay the
 * wish and then the hint, so one of the two sees the other.
 *
 * With log captures, rows of other tables than ours are read too; then every
 * commit with a transaction id does this.
 *
 * The transaction callback runs after the transaction has left the ProcArray
 * and, with synchronous standbys, after the wait for them (CommitTransaction,
 * access/transam/xact.c).  It is only a hint: a commit whose hint is lost
 * (crash, cancelled wait) is found by the relay's next look at WAL, a fraction
 * of a second later.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "state/state.h"

/* Of the current top-level transaction; reset at its end. */
static bool carries_message = false;
static bool touches_extension = false;
static Oid	new_database = InvalidOid;

void
outbox_state_note_message(void)
{
	carries_message = true;
}

void
outbox_state_note_extension(void)
{
	touches_extension = true;
}

void
outbox_state_note_database(Oid database)
{
	new_database = database;
}

static void
hint_commit(OutboxRelayEntry *entry)
{
	uint64		seen = pg_atomic_read_u64(&entry->commit_hint);

	while (seen < XactLastCommitEnd &&
		   !pg_atomic_compare_exchange_u64(&entry->commit_hint, &seen,
										   XactLastCommitEnd))
		 /* seen was refreshed */ ;
	pg_memory_barrier();
	if (pg_atomic_read_u32(&entry->wants_commit) != 0 &&
		pg_atomic_exchange_u32(&entry->wants_commit, 0) != 0)
		outbox_state_wake(entry);
}

void
outbox_state_want_commit(OutboxRelayEntry *entry)
{
	pg_atomic_write_u32(&entry->wants_commit, 1);
	pg_memory_barrier();
}

/*
 * The entry of this database, remembered: an entry of another database costs
 * nothing but a relay woken in vain.
 */
static OutboxRelayEntry *
my_entry(void)
{
	static OutboxRelayEntry *entry = NULL;

	if (entry == NULL || entry->database != MyDatabaseId)
		entry = outbox_state_find(MyDatabaseId);
	return entry;
}

/* Without an entry nobody remembers: then it is not known. */
bool
outbox_state_written(void)
{
	OutboxRelayEntry *entry = OutboxState == NULL ? NULL : my_entry();

	return entry != NULL && pg_atomic_read_u32(&entry->written) != 0;
}

void
outbox_state_set_written(void)
{
	OutboxRelayEntry *entry = OutboxState == NULL ? NULL : my_entry();

	if (entry != NULL)
		pg_atomic_write_u32(&entry->written, 1);
}

/*
 * While rows are decoded every commit that wrote something counts: nobody knows
 * here whose rows they are.
 */
static bool
may_be_decoded(XactEvent event)
{
	OutboxRelayEntry *entry;

	if (event != XACT_EVENT_COMMIT || OutboxState == NULL ||
		pg_atomic_read_u32(&OutboxState->decoders) == 0 ||
		!TransactionIdIsValid(GetTopTransactionIdIfAny()))
		return false;
	entry = my_entry();
	return entry != NULL && pg_atomic_read_u32(&entry->decoding) != 0;
}

static void
xact_callback(XactEvent event, void *arg)
{
	OutboxRelayEntry *entry;

	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT &&
		event != XACT_EVENT_PREPARE)
		return;
	if (OidIsValid(new_database) && event == XACT_EVENT_COMMIT)
	{
		(void) outbox_state_claim(new_database);
		outbox_state_wake_launcher();
	}
	new_database = InvalidOid;
	if (may_be_decoded(event))
		carries_message = true;
	if (!carries_message && !touches_extension)
		return;

	entry = my_entry();
	if (entry != NULL && carries_message && event == XACT_EVENT_COMMIT)
		hint_commit(entry);
	if (touches_extension && OutboxState != NULL)
	{
		if (entry != NULL)
		{
			/*
			 * Also a relay that waits for its next try, or for adopt(); asked
			 * first, so that one that is just leaving sees either.
			 */
			outbox_state_ask(entry, OUTBOX_ASK_RELOAD);
			outbox_state_ask_log(entry, OUTBOX_ASK_RELOAD);
			SpinLockAcquire(&entry->mutex);
			entry->next_retry_at = 0;
			entry->failures = 0;
			SpinLockRelease(&entry->mutex);
		}
		outbox_state_wake_launcher();
	}
	carries_message = false;
	touches_extension = false;
}

void
outbox_state_wake_init(void)
{
	RegisterXactCallback(xact_callback, NULL);
}
