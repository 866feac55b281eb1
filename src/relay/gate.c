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
 * Waiting happens in outbox_relay_wait(), which goes on serving the child.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "relay/relay.h"
#include "replication/syncrep.h"
#include "replication/walsender.h"
#include "replication/walsender_private.h"
#include "storage/procarray.h"

#define POLL_VISIBLE	1		/* ms; a commit leaves in microseconds */
#define POLL_STANDBY	2		/* ms */

/* Every xid before this one is over; only ever moves forward. */
static TransactionId oldest_running = InvalidTransactionId;

static bool
visible(TransactionId xid)
{
	if (TransactionIdIsValid(oldest_running) &&
		TransactionIdPrecedes(xid, oldest_running))
		return true;
	oldest_running = GetOldestActiveTransactionId();
	return TransactionIdPrecedes(xid, oldest_running) ||
		!TransactionIdIsInProgress(xid);
}

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

void
outbox_gate_pass(OutboxRelay *relay, const OutboxTxn *txn)
{
	while (!visible(txn->xid))
	{
		send_earlier(relay);
		outbox_relay_wait(relay, POLL_VISIBLE);
	}
	if (outbox_gate_replicated(txn->commit_end) >= txn->commit_end)
		return;

	outbox_state_set(relay->entry, OUTBOX_STATE_WAITING_FOR_STANDBY, NULL);
	while (outbox_gate_replicated(txn->commit_end) < txn->commit_end)
	{
		send_earlier(relay);
		outbox_relay_wait(relay, POLL_STANDBY);
	}
	outbox_state_set(relay->entry, OUTBOX_STATE_STREAMING, NULL);
}
