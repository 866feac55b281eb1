/*-------------------------------------------------------------------------
 *
 * pending.h
 *		Messages of transactions that have neither committed nor aborted.
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

typedef struct OutboxPending OutboxPending;
typedef struct OutboxPendingChunk OutboxPendingChunk;

/* What one xid has written. */
typedef struct OutboxPendingXid
{
	TransactionId xid;
	bool		prepared;		/* its PREPARE TRANSACTION was seen */
	bool		spilled;		/* places only, contents given up */
	uint8		size_class;		/* which list by_size is in */
	uint64		messages;
	XLogRecPtr	first;			/* start of its first message */
	XLogRecPtr	last;			/* start of its latest */
	Size		content;		/* bytes of chunks with contents */
	OutboxPendingChunk *head;	/* contents, or places when spilled */
	OutboxPendingChunk *tail;
	struct OutboxPendingXid *next_in_bucket;	/* or in the free list */
	dlist_node	by_start;		/* all xids, by their first message */
	dlist_node	by_size;		/* xids with contents, by size class */
} OutboxPendingXid;

/* One message, as read back; data is NULL when its xid is spilled. */
typedef struct OutboxPendingMessage
{
	XLogRecPtr	start;			/* of its WAL record */
	XLogRecPtr	end;			/* invalid when spilled */
	const char *data;
	Size		len;
} OutboxPendingMessage;

typedef struct OutboxPendingCursor
{
	const OutboxPendingXid *owner;
	const OutboxPendingChunk *chunk;
	Size		offset;			/* in chunk */
	uint64		left;			/* messages not yet given out */
	OutboxPendingMessage message;
} OutboxPendingCursor;

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

/* Messages of one xid in WAL order; next is false after the last. */
extern void outbox_pending_open_cursor(OutboxPendingCursor *cursor,
									   const OutboxPendingXid *entry);
extern bool outbox_pending_next(OutboxPendingCursor *cursor);

#endif							/* OUTBOX_PENDING_H */
