/*-------------------------------------------------------------------------
 *
 * pending.h
 *		Transactions that have neither committed nor aborted, by xid.
 *
 * Collected per xid as WAL names it, which is the subtransaction's; only the
 * commit record says which xids belong together.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_PENDING_H
#define OUTBOX_PENDING_H

#include "postgres.h"

#include "access/transam.h"
#include "access/xlogdefs.h"
#include "lib/ilist.h"

#include "source/messages.h"

typedef struct OutboxPending OutboxPending;

/* What one xid has written. */
typedef struct OutboxPendingXid
{
	TransactionId xid;
	bool		prepared;		/* its PREPARE TRANSACTION was seen */
	uint8		size_class;		/* which list by_size is in */
	OutboxMessages messages;	/* at least one */
	struct OutboxPendingXid *next_in_bucket;	/* or in the list of unused */
	dlist_node	by_start;		/* all xids, by their first message */
	dlist_node	by_size;		/* xids with contents, by size class */
} OutboxPendingXid;

/* limit: bytes of contents; allocated in the current memory context. */
extern OutboxPending *outbox_pending_create(Size limit);

/* Messages arrive in WAL order; start and end are the record's. */
extern void outbox_pending_add(OutboxPending *pending, TransactionId xid,
							   XLogRecPtr start, XLogRecPtr end,
							   const char *data, Size len);

extern OutboxPendingXid *outbox_pending_find(OutboxPending *pending,
											 TransactionId xid);
extern void outbox_pending_forget(OutboxPending *pending,
								  OutboxPendingXid *entry);

/* Crash leftovers; see the functions. */
extern void outbox_pending_forget_older(OutboxPending *pending,
										TransactionId oldest_running);
extern void outbox_pending_forget_unprepared(OutboxPending *pending);

extern uint64 outbox_pending_count(const OutboxPending *pending);
extern uint64 outbox_pending_spilled(const OutboxPending *pending);
extern Size outbox_pending_memory(const OutboxPending *pending);

/* Start of the first message held, invalid when there is none. */
extern XLogRecPtr outbox_pending_first(const OutboxPending *pending);

#endif							/* OUTBOX_PENDING_H */
