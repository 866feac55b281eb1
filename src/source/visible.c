/*-------------------------------------------------------------------------
 *
 * visible.c
 *		Whether a transaction that was read from WAL is over for everybody.
 *
 * A commit record in flushed WAL is not yet a visible commit: the backend leaves
 * the ProcArray after it.  Owns two remembered values of this process, which
 * only save work; needs no transaction, takes no snapshot.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "base/clock.h"
#include "source/source.h"
#include "storage/procarray.h"

#define XID_INTERVAL		60000	/* ms between looks at the next xid */

/* Every xid before this one is over. */
static FullTransactionId oldest_running;

/*
 * The next xid is read again now and then: others may use up xids for weeks
 * before this database has another event, and the comparison is modulo 2^32.
 */
FullTransactionId
outbox_txn_full_xid(TransactionId xid)
{
	static FullTransactionId next;
	static int64 read_ms;
	int64		now = outbox_monotonic_ms();
	uint64		age;

	if (!FullTransactionIdIsValid(next) || now - read_ms > XID_INTERVAL ||
		TransactionIdFollowsOrEquals(xid, XidFromFullTransactionId(next)))
	{
		next = ReadNextFullTransactionId();
		read_ms = now;
	}
	age = (uint32) (XidFromFullTransactionId(next) - xid);	/* modulo 2^32 */
	return FullTransactionIdFromU64(U64FromFullTransactionId(next) - age);
}

bool
outbox_txn_visible(FullTransactionId xid)
{
	if (FullTransactionIdPrecedes(xid, oldest_running))
		return true;
	oldest_running = outbox_txn_full_xid(GetOldestActiveTransactionId());
	return FullTransactionIdPrecedes(xid, oldest_running) ||
		!TransactionIdIsInProgress(XidFromFullTransactionId(xid));
}
