/*-------------------------------------------------------------------------
 *
 * merge.h
 *		The messages of one committed transaction in the order written.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_MERGE_H
#define OUTBOX_MERGE_H

#include "postgres.h"

#include "source/pending.h"

typedef struct OutboxMerge OutboxMerge;

/* Lives in the current memory context; close also after an error. */
extern OutboxMerge *outbox_merge_open(void);
extern void outbox_merge_close(OutboxMerge *merge);

/* Between transactions: release what only reading again needs. */
extern void outbox_merge_rest(OutboxMerge *merge);

/*
 * Use: clear, add each xid of the transaction that has messages, then take
 * messages until false.  Entries must stay as they are meanwhile; a message's
 * data is borrowed until the next call.
 */
extern void outbox_merge_clear(OutboxMerge *merge);
extern void outbox_merge_add(OutboxMerge *merge, OutboxPendingXid *entry);
extern bool outbox_merge_next(OutboxMerge *merge,
							  OutboxMessage *message);

/* What was added, in no particular order. */
extern uint64 outbox_merge_messages(const OutboxMerge *merge);
extern int	outbox_merge_count(const OutboxMerge *merge);
extern OutboxPendingXid *outbox_merge_entry(const OutboxMerge *merge, int i);

#endif							/* OUTBOX_MERGE_H */
