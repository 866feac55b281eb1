/*-------------------------------------------------------------------------
 *
 * gate.c
 *		Nothing is published before everybody can see it (promise G5).
 *
 * A commit record in flushed WAL is not yet a visible commit: between the two
 * the backend waits for synchronous standbys and leaves the ProcArray.  So,
 * for each transaction, in commit order:
 *
 *	visible		its xid is older than the oldest running one, or it has left
 *				the ProcArray itself.  It is never made to wait for another
 *				transaction: a prepared or idle one holds nobody up.
 *	replicated	with synchronous standbys, their flush position covers the
 *				commit record.  Visibility does not prove that: a backend
 *				whose wait was cancelled becomes visible unreplicated
 *				(SyncRepWaitForLSN, replication/syncrep.c).
 *
 * Waiting happens in outbox_relay_wait(), which goes on serving the child, and
 * heartbeats go on: a relay that waits for its standby is not dead.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "relay/relay.h"
#include "replication/syncrep.h"
#include "replication/walsender.h"
#include "replication/walsender_private.h"

#define FIRST_POLL		1		/* ms; a commit leaves in microseconds */
#define LONGEST_POLL	20		/* ms; the committing backend wakes us */

/* lsn, or less when synchronous standbys have not flushed that far. */
XLogRecPtr
outbox_gate_replicated(XLogRecPtr lsn)
{
	XLogRecPtr	flushed;

	if (max_wal_senders == 0 || SyncRepStandbyNames == NULL ||
		SyncRepStandbyNames[0] == '\0')
		return lsn;
	LWLockAcquire(SyncRepLock, LW_SHARED);
	flushed = WalSndCtl->lsn[SYNC_REP_WAIT_FLUSH];
	LWLockRelease(SyncRepLock);
	return Min(lsn, flushed);
}

/*
 * Before a long wait, let go what was gated before: it must not wait for this
 * transaction.
 */
static void
send_earlier(OutboxRelay *relay)
{
	OutboxSourceProgress progress;

	if (relay->open->events == 0)
		return;
	outbox_publish_flush(relay);
	if (!outbox_batch_can_close(relay))
		return;
	relay->source->progress(relay->source, &progress);
	outbox_batch_close(relay, &progress);
}

/* The commit waits for its standby: say so, without hiding other trouble. */
static void
show_wait(OutboxRelay *relay, bool waiting)
{
	OutboxRelayState from = waiting ? OUTBOX_STATE_STREAMING :
		OUTBOX_STATE_WAITING_FOR_STANDBY;

	if (relay->entry->state == from)
		outbox_state_set(relay->entry, waiting ?
						 OUTBOX_STATE_WAITING_FOR_STANDBY :
						 OUTBOX_STATE_STREAMING, NULL);
}

/*
 * A backend waits for its standbys before its commit becomes visible, so that
 * an invisible commit is nearly always one that is not replicated.
 */
void
outbox_gate_pass(OutboxRelay *relay, const OutboxTxn *txn)
{
	int			poll = FIRST_POLL;

	for (;;)
	{
		OutboxSourceProgress progress;
		bool		replicated = outbox_gate_replicated(txn->commit_end) >=
			txn->commit_end;

		if (replicated && outbox_txn_visible(relay->full_xid))
			break;
		show_wait(relay, !replicated);
		send_earlier(relay);
		relay->source->progress(relay->source, &progress);
		outbox_relay_heartbeat(relay, &progress);

		/* It leaves the ProcArray just before it would wake us. */
		outbox_state_want_commit(relay->entry);
		if (replicated && outbox_txn_visible(relay->full_xid))
			continue;
		outbox_relay_wait(relay, poll);
		poll = Min(poll * 2, LONGEST_POLL);
	}
	show_wait(relay, false);
}

/* Until the synchronous standbys have what is flushed here up to lsn. */
void
outbox_gate_wait(OutboxRelay *relay, XLogRecPtr lsn)
{
	while (outbox_gate_replicated(lsn) < lsn)
	{
		show_wait(relay, true);
		outbox_relay_wait(relay, LONGEST_POLL);
	}
	show_wait(relay, false);
}
