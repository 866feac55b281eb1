/*-------------------------------------------------------------------------
 *
 * source.h
 *		Where committed transactions come from: a push interface.
 *
 * A source reads the WAL (scanner), logical decoding, or the event log, and
 * pushes each committed transaction of this database that carries messages of
 * ours into a sink: begin, message ..., commit, in commit order.  The sink may
 * wait inside any callback (gate, socket full); it services everything else
 * while it does.  The scanner holds no lock, transaction or snapshot then; the
 * decoder is outside of any in begin and commit, and inside one of its own,
 * with a historic snapshot, in message and change (needs_transaction).
 *
 * A place in the stream is (commit end LSN, ordinal in the transaction); an
 * LSN alone is not unique.
 *
 * Errors are thrown (ereport): the relay records them, exits, and is started
 * again.  ERRCODE_UNDEFINED_FILE from a source means that WAL it needs is gone,
 * OUTBOX_ERRCODE_BLOCKED that a person has to do something about one change.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_SOURCE_H
#define OUTBOX_SOURCE_H

#include "postgres.h"

#include "access/transam.h"
#include "access/xlogdefs.h"
#include "datatype/timestamp.h"
#include "record/wal_message.h"

#define OUTBOX_ERRCODE_BLOCKED	MAKE_SQLSTATE('O','B','0','0','1')

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
	bool		estimated;		/* that is a guess; none is possible, too */
} OutboxTxn;

typedef struct OutboxSink OutboxSink;
struct OutboxSink
{
	void		(*begin) (OutboxSink *sink, const OutboxTxn *txn);

	/* data is borrowed until return; lsn is the message's end LSN */
	void		(*message) (OutboxSink *sink, const OutboxTxn *txn,
							const char *data, Size len, XLogRecPtr lsn);
	void		(*commit) (OutboxSink *sink, const OutboxTxn *txn);

	/*
	 * A change that the source has made a message of itself: without a MAC,
	 * trusted; event id and ordinal are set.  Borrowed until return.
	 */
	void		(*change) (OutboxSink *sink, const OutboxTxn *txn,
						   OutboxWalMessage *msg, XLogRecPtr lsn);

	/* n messages of it that are not ours; by a source that uses change() */
	void		(*pass_over) (OutboxSink *sink, const OutboxTxn *txn, uint32 n);

	/*
	 * Asked by a source that is inside a database transaction, before each
	 * message (msg NULL) or change (data NULL): whether pushing it would need
	 * a transaction of the sink's own.  Then it, and all that follows in this
	 * one, is pushed after the source's transaction is over.
	 */
	bool		(*needs_transaction) (OutboxSink *sink, const OutboxTxn *txn,
									  const char *data, Size len,
									  const OutboxWalMessage *msg);
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
 * Logical decoding: the same messages, and the changes of captured tables in
 * commits after log_from.  The logical slot must be held, and confirmed up to
 * position at most.
 */
extern OutboxSource *outbox_decoder_open(XLogRecPtr restart,
										 XLogRecPtr position,
										 XLogRecPtr log_from,
										 Oid database, const char *prefix,
										 int memory_kb);

/*
 * The decoder leaves caches as of the place in WAL that it has come to.  To be
 * called before a transaction of one's own; does nothing without a decoder.
 */
extern void outbox_decoder_leave_history(void);

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

/*
 * Full transaction id of a transaction in our WAL: at most 2^31 older than the
 * next one (a slot cannot hold WAL that long: xids would run out first).
 */
extern FullTransactionId outbox_txn_full_xid(TransactionId xid);

/* Whether it has left the ProcArray: every new snapshot sees its end. */
extern bool outbox_txn_visible(FullTransactionId xid);

/*
 * Whether a message of that transaction is ours: known key, MAC fits, ordinal
 * greater than *last_ordinal, which becomes that then.  May open a transaction,
 * unless outbox_secret_known() (secret.c).
 */
extern bool outbox_secret_authentic(FullTransactionId xid,
									XLogRecPtr commit_end,
									const char *data, Size len,
									uint32 *last_ordinal);
extern bool outbox_secret_known(uint32 key_id, XLogRecPtr commit_end);

/* The physical slots "outbox_<dboid>" and "outbox_events_<dboid>" (slot.c). */
#define OUTBOX_SLOT_PREFIX "outbox_"

typedef enum OutboxSlotUse
{
	OUTBOX_SLOT_RELAY,
	OUTBOX_SLOT_EVENT_LOG
} OutboxSlotUse;

typedef enum OutboxSlotState
{
	OUTBOX_SLOT_OK,
	OUTBOX_SLOT_MISSING,
	OUTBOX_SLOT_NOT_PHYSICAL,	/* somebody made a logical slot of that name */
	OUTBOX_SLOT_INVALID			/* invalidated: its WAL may be gone */
} OutboxSlotState;

/* Create it with WAL reserved; an orphan of the same name is taken over. */
extern XLogRecPtr outbox_slot_create(OutboxSlotUse use, Oid database);

/* Acquire it for this process; error when it is in use. */
extern OutboxSlotState outbox_slot_acquire(OutboxSlotUse use, Oid database,
										   XLogRecPtr *restart);

/* Its restart LSN, seen from outside; invalid when there is none. */
extern XLogRecPtr outbox_slot_peek(OutboxSlotUse use, Oid database);

/* Move the acquired slot's restart LSN forward; never back; saved lazily. */
extern void outbox_slot_advance(XLogRecPtr restart);
extern void outbox_slot_release(void);

/* Set it anywhere, saved at once: a slot made again for WAL still here. */
extern void outbox_slot_set(XLogRecPtr restart);

/* Drop it if it is there and nobody holds it; true when it is gone. */
extern bool outbox_slot_drop(OutboxSlotUse use, Oid database);

/*
 * While this process holds a logical slot as well, the physical one is set
 * aside; the functions above work on it all the same.
 */
extern void outbox_slot_set_aside(void);
extern void outbox_slot_take_back(void);

/* Databases that have a relay's slot: fills up to max oids, returns count. */
extern int	outbox_slot_databases(Oid *databases, int max);

/* The logical slot "outbox_log_<dboid>" (log_slot.c). */
#define OUTBOX_PLUGIN "outbox"

typedef enum OutboxLogSlotState
{
	OUTBOX_LOG_SLOT_READY,
	OUTBOX_LOG_SLOT_MISSING,
	OUTBOX_LOG_SLOT_BUSY,		/* being built, or held by somebody */
	OUTBOX_LOG_SLOT_OTHER,		/* of another kind, plugin or database */
	OUTBOX_LOG_SLOT_INVALID		/* invalidated */
} OutboxLogSlotState;

extern void outbox_log_slot_name(Oid database, NameData *name);

/* How it is; *confirmed is where decoding can begin at the earliest. */
extern OutboxLogSlotState outbox_log_slot_look(Oid database,
											   XLogRecPtr *confirmed);

/*
 * Make it: waits until all transactions that are running now are over.  In a
 * process of its own, outside of a transaction.  Dead before the end: no slot.
 */
extern void outbox_log_slot_build(Oid database);

/* Hold it, beside the physical one; it must be READY. */
extern void outbox_log_slot_acquire(Oid database);
extern void outbox_log_slot_release(void);

/* All up to here is published; never back.  Nothing if it is not held. */
extern void outbox_log_slot_confirm(XLogRecPtr lsn);

/* As outbox_slot_drop(). */
extern bool outbox_log_slot_drop(Oid database);

#endif							/* OUTBOX_SOURCE_H */
