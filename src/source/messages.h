/*-------------------------------------------------------------------------
 *
 * messages.h
 *		The messages of one xid: in memory, or only where they are in WAL.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_MESSAGES_H
#define OUTBOX_MESSAGES_H

#include "postgres.h"

#include "access/xlogdefs.h"

typedef struct OutboxChunk OutboxChunk;

/* Where the chunks of many xids come from; zeroed but for the context. */
typedef struct OutboxChunkPool
{
	MemoryContext context;
	Size		content;		/* bytes of chunks with contents */
	Size		places;			/* bytes of chunks with places */
	OutboxChunk *unused;		/* small ones, kept for the next */
	int			nunused;
} OutboxChunkPool;

/* Zeroed = none. */
typedef struct OutboxMessages
{
	bool		spilled;		/* places only, contents given up */
	uint64		count;
	XLogRecPtr	first;			/* start of the first message's record */
	XLogRecPtr	last;			/* start of the latest one's */
	Size		content;		/* bytes of chunks with contents */
	OutboxChunk *head;			/* contents, or places when spilled */
	OutboxChunk *tail;
} OutboxMessages;

/* One message, as read back; spilled: end and data are not known. */
typedef struct OutboxMessage
{
	XLogRecPtr	start;			/* of its WAL record */
	XLogRecPtr	end;
	const char *data;
	Size		len;
} OutboxMessage;

typedef struct OutboxMessageCursor
{
	const OutboxMessages *messages;
	const OutboxChunk *chunk;
	Size		offset;			/* in chunk */
	uint64		left;			/* messages not yet given out */
	OutboxMessage message;		/* the one given out last */
} OutboxMessageCursor;

/* Bytes that keeping one more message's contents would allocate. */
extern Size outbox_messages_growth(const OutboxMessages *messages, Size len);

/* Messages come in WAL order; start and end are the record's.  Not spilled. */
extern void outbox_messages_add(OutboxChunkPool *pool,
								OutboxMessages *messages,
								XLogRecPtr start, XLogRecPtr end,
								const char *data, Size len);

/* Note one more message's place.  Spilled. */
extern void outbox_messages_add_place(OutboxChunkPool *pool,
									  OutboxMessages *messages,
									  XLogRecPtr start);

/* Give up the contents, keep the places. */
extern void outbox_messages_spill(OutboxChunkPool *pool,
								  OutboxMessages *messages);
extern void outbox_messages_free(OutboxChunkPool *pool,
								 OutboxMessages *messages);

/* In WAL order; next is false after the last. */
extern void outbox_messages_open(OutboxMessageCursor *cursor,
								 const OutboxMessages *messages);
extern bool outbox_messages_next(OutboxMessageCursor *cursor);

#endif							/* OUTBOX_MESSAGES_H */
