/*-------------------------------------------------------------------------
 *
 * source.h
 *		Where committed transactions come from: a push interface.
 *
 * A source reads the WAL (scanner), logical decoding, or the event log, and
 * pushes each committed transaction of this database that carries messages of
 * ours into a sink: begin, message ..., commit, in commit order.  The sink may
 * wait inside any callback (gate, socket full); it services everything else
 * while it does.  The source holds no lock, transaction or snapshot then.
 *
 * A place in the stream is (commit end LSN, ordinal in the transaction); an
 * LSN alone is not unique.
 *
 * Errors are thrown (ereport): the relay records them, exits, and is started
 * again.  ERRCODE_UNDEFINED_FILE from a source means that WAL it needs is gone.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_SOURCE_H
#define OUTBOX_SOURCE_H

#include "postgres.h"

#include "access/transam.h"
#include "access/xlogdefs.h"
#include "datatype/timestamp.h"

/* One committed transaction; valid during begin .. commit. */
typedef struct OutboxTxn
{
	TransactionId xid;			/* top level; COMMIT PREPARED: the prepared one */
	XLogRecPtr	commit_start;	/* start of its commit record */
	XLogRecPtr	commit_end;		/* end of it: the transaction's place */
	uint32		commit_crc;		/* xl_crc of that record */
	TimestampTz commit_time;
	bool		prepared;		/* COMMIT PREPARED */
	uint64		messages;		/* how many will be pushed */
} OutboxTxn;

typedef struct OutboxSink OutboxSink;
struct OutboxSink
{
	void		(*begin) (OutboxSink *sink, const OutboxTxn *txn);

	/* data is borrowed until return; lsn is the message's end LSN */
	void		(*message) (OutboxSink *sink, const OutboxTxn *txn,
							const char *data, Size len, XLogRecPtr lsn);
	void		(*commit) (OutboxSink *sink, const OutboxTxn *txn);
};

/* How far a source has come, at a transaction boundary. */
typedef struct OutboxSourceProgress
{
	XLogRecPtr	scanned;		/* every commit <= this was pushed (P) */
	XLogRecPtr	restart;		/* first message of any transaction not yet
								 * pushed, else = scanned (R) */
	XLogRecPtr	commit_start;	/* last commit record <= scanned, of any kind
								 * and database; 0 = none seen (C) */
	uint32		commit_crc;
	uint64		open_txns;		/* transactions being collected */
	uint64		memory;			/* bytes held for them */
	uint64		spilled;		/* transactions whose bytes were given up and
								 * are read again from WAL, since start */
	uint64		foreign;		/* messages with our prefix that are not
								 * transactional, so nobody's of ours: not
								 * pushed, since start */
} OutboxSourceProgress;

typedef struct OutboxSource OutboxSource;
struct OutboxSource
{
	const char *name;			/* "scanner", ... */

	/*
	 * Read up to max_records more records of flushed WAL and push what
	 * commits.  True when there may be more at once, false when caught up.
	 */
	bool		(*step) (OutboxSource *source, OutboxSink *sink,
						 int max_records);

	/*
	 * Progress.  Inside sink->commit() the transaction being committed counts
	 * as pushed; inside begin/message it does not, and its own first message
	 * is covered by restart.
	 */
	void		(*progress) (OutboxSource *source, OutboxSourceProgress *out);

	/* Release everything; safe after an error. */
	void		(*close) (OutboxSource *source);
};

/*
 * The WAL scanner.  Begins reading at restart (R; a record start or a record
 * end) and pushes only transactions whose commit end is > position (P).
 * memory_limit bytes of message contents are kept; beyond it a transaction
 * keeps LSNs only.  prefix filters logical messages; database filters commits.
 */
extern OutboxSource *outbox_scanner_open(XLogRecPtr restart,
										 XLogRecPtr position,
										 Oid database, const char *prefix,
										 Size memory_limit);

/*
 * xl_crc of the record that starts at lsn, for checking a position record
 * against our own WAL.  False when that WAL is not here any more (or not yet),
 * or no valid commit record starts there.
 */
extern bool outbox_scanner_commit_crc(XLogRecPtr lsn, uint32 *crc);

/*
 * Flushed WAL up to which a source may read: the flush pointer, on a standby
 * the replay pointer.  *tli receives the timeline.
 */
extern XLogRecPtr outbox_source_flushed(TimeLineID *tli);

/*
 * Start of the oldest WAL segment in pg_wal, and the first whole record at or
 * after a place, which need not be a record's start.
 */
extern XLogRecPtr outbox_source_oldest(void);
extern XLogRecPtr outbox_source_first_record(XLogRecPtr lsn);

/* The physical slot "outbox_<dboid>" (slot.c). */
#define OUTBOX_SLOT_PREFIX "outbox_"

typedef enum OutboxSlotState
{
	OUTBOX_SLOT_OK,
	OUTBOX_SLOT_MISSING,
	OUTBOX_SLOT_NOT_PHYSICAL,	/* somebody made a logical slot of that name */
	OUTBOX_SLOT_INVALID			/* invalidated: its WAL may be gone */
} OutboxSlotState;

/* Create it with WAL reserved; an orphan of the same name is taken over. */
extern XLogRecPtr outbox_slot_create(Oid database);

/* Acquire it for this process; error when it is in use. */
extern OutboxSlotState outbox_slot_acquire(Oid database, XLogRecPtr *restart);

/* Move the acquired slot's restart LSN forward; never back; saved lazily. */
extern void outbox_slot_advance(XLogRecPtr restart);
extern void outbox_slot_release(void);

/* Set it anywhere, saved at once: a slot made again for WAL still here. */
extern void outbox_slot_set(XLogRecPtr restart);

/* Drop it if it is there and nobody holds it; true when it is gone. */
extern bool outbox_slot_drop(Oid database);

/* Databases that have a slot of ours: fills up to max oids, returns count. */
extern int	outbox_slot_databases(Oid *databases, int max);

#endif							/* OUTBOX_SOURCE_H */
