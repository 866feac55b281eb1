/*-------------------------------------------------------------------------
 *
 * log_block.h
 *		What a block of the event log holds, format version 1.
 *
 * The body of a row of outbox.log: consecutive messages of committed
 * transactions in commit order, as they were pushed by a source (source.h).
 * Written by the log writer alone, into a table that nobody else may write, so
 * that what is read back is trusted as far as its CRC is right.
 *
 * Little-endian, no padding.  u8 version (1), then items:
 *
 *	'T'	transaction	u64 full transaction id, u64 commit start, u64 commit end,
 *					u32 CRC of the commit record, i64 commit time (us since
 *					2000), u8 prepared, u64 messages of it, and how many of
 *					them are in earlier blocks
 *	'M'	message		of the transaction before: u64 end LSN, bytes: the record of
 *					wal_message.h without its MAC
 *	'L'	left out	u32 count: that many messages of the transaction come next
 *					which are of types that are not logged
 *	'F'	forged		u32 count: the same, of messages that are not ours
 *	'E'	end			of the transaction: all its messages were given
 *
 * and u32 CRC-32C over all of it.  A transaction that does not fit goes on in
 * the next block, with a 'T' of its own; only its last piece has 'E'.  A block
 * may have no items.  All messages are counted: so the n-th message of a
 * transaction is the same here and in the relay's split_ordinal.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_LOG_BLOCK_H
#define OUTBOX_LOG_BLOCK_H

#include "base/base.h"
#include "base/cursor.h"
#include "record/wal_message.h"

#define OUTBOX_LOG_BLOCK_VERSION	1

/* A transaction, as far as a log must know it. */
typedef struct OutboxLogTxn
{
	uint64		full_xid;
	uint64		commit_start;	/* LSNs of its commit record */
	uint64		commit_end;
	uint32		commit_crc;
	int64		commit_time;	/* us since 2000-01-01, as TimestampTz */
	bool		prepared;
	uint64		messages;
	uint64		earlier;		/* messages of it in earlier blocks */
} OutboxLogTxn;

extern void outbox_log_block_begin(StringInfo buf);
extern void outbox_log_block_put_txn(StringInfo buf, const OutboxLogTxn *txn);

/* record is a whole WAL record, MAC included, which is left away. */
extern void outbox_log_block_put_record(StringInfo buf, uint64 lsn,
										const char *record, size_t len);

/* The same of a message that has no WAL record: one that a source has made. */
extern void outbox_log_block_put_message(StringInfo buf, uint64 lsn,
										 const OutboxWalMessage *msg);
extern void outbox_log_block_put_left_out(StringInfo buf, uint32 count);
extern void outbox_log_block_put_forged(StringInfo buf, uint32 count);
extern void outbox_log_block_put_end(StringInfo buf);
extern void outbox_log_block_finish(StringInfo buf);

typedef enum OutboxLogItem
{
	OUTBOX_LOG_DONE,			/* no item is left */
	OUTBOX_LOG_TXN,				/* txn is set */
	OUTBOX_LOG_MESSAGE,			/* msg, lsn and index are set */
	OUTBOX_LOG_LEFT_OUT,		/* count and index are set */
	OUTBOX_LOG_FORGED,			/* the same */
	OUTBOX_LOG_END,
	OUTBOX_LOG_DAMAGED			/* not a block, or none that we can read */
} OutboxLogItem;

typedef struct OutboxLogReader
{
	OutboxCursor c;				/* what is left */
	OutboxLogTxn txn;			/* the present one */
	OutboxWalMessage msg;		/* borrows from the block */
	uint64		lsn;
	uint64		index;			/* of the message in its transaction, from 0; of
								 * the first of those counted */
	uint32		count;
	uint64		next;			/* index of what comes next */
} OutboxLogReader;

/* False when CRC or version are not right.  The bytes must stay. */
extern bool outbox_log_reader_init(OutboxLogReader *reader,
								   const char *data, size_t len);
extern OutboxLogItem outbox_log_reader_next(OutboxLogReader *reader);

#endif							/* OUTBOX_LOG_BLOCK_H */
