/*-------------------------------------------------------------------------
 *
 * scanner.c
 *		A source that reads WAL: committed transactions with messages of ours.
 *
 * wal_level=replica is enough.  Owns a WAL reader, the pending messages by xid
 * and a merger, all in one memory context; one process, no locks, no
 * transaction, no snapshot.
 *
 *	logical message		transactional, of our database and prefix: kept under
 *						its (sub)transaction's xid.  Not transactional: counted,
 *						as nothing of ours is; everything else ignored
 *	commit, commit		the top-level xid's and the listed subtransactions'
 *	prepared			messages are pushed, merged by WAL place; only then is
 *						the transaction forgotten.  A commit at or before the
 *						position is only forgotten
 *	abort, abort		forgotten: top-level transaction or subtransaction with
 *	prepared			its children
 *	prepare				marked: survives shutdown and crash
 *	running xacts		older xids are crash leftovers: forgotten
 *	shutdown, end of	whatever is not prepared is over: forgotten
 *	recovery
 *
 * Which database a commit is in is not asked: at wal_level=replica the record
 * does not always say, and an xid with messages of our database is in it.
 *
 * Crash: nothing here survives, and nothing needs to.  Opened again at any
 * (restart, position) ever reported, the scanner pushes exactly the commits
 * after the position, in WAL order: restart is at or before the first message
 * of each of them, so all their messages are collected again, and commits up
 * to the position clean up without being pushed.  Aborts and commits before
 * restart concern xids whose messages lie before it too.
 *
 * An error, the sink's or our own, leaves a transaction half pushed: then there
 * is nothing to do but close().
 *
 * While it re-reads what lies before the position, restart stays at or before
 * the reader: a transaction that starts between reader and position may commit
 * after it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/rmgr.h"
#include "access/xact.h"
#include "access/xlog_internal.h"
#include "access/xlogutils.h"
#include "catalog/pg_control.h"
#include "miscadmin.h"
#include "replication/message.h"
#include "storage/standbydefs.h"
#include "utils/memutils.h"

#include "source/merge.h"
#include "source/pending.h"
#include "source/source.h"
#include "source/trim.h"
#include "source/wal_reader.h"

#define SCAN_BUFFER		(16 * XLOG_BLCKSZ)
#define LARGE			(1024 * 1024)	/* bytes pending, worth a trim */

typedef struct OutboxScanner
{
	OutboxSource source;		/* first: what callers hold */
	MemoryContext context;
	OutboxWalReader *reader;
	OutboxPending *pending;
	OutboxMerge *merge;

	Oid			database;
	char	   *prefix;
	Size		prefix_size;	/* with its terminator */

	XLogRecPtr	position;		/* commits <= this are not pushed */
	XLogRecPtr	reached;		/* end of the last record dealt with */
	XLogRecPtr	commit_start;	/* last commit record <= reached */
	uint32		commit_crc;
	uint64		foreign;		/* messages with our prefix, not transactional */
	bool		was_large;		/* memory to give back once caught up */
} OutboxScanner;

/* A message with our prefix, of our database? */
static bool
has_our_prefix(const OutboxScanner *scanner, const DecodedXLogRecord *record)
{
	const xl_logical_message *body =
	(const xl_logical_message *) record->main_data;

	return (record->header.xl_info & ~XLR_INFO_MASK) == XLOG_LOGICAL_MESSAGE &&
		body->dbId == scanner->database &&
		body->prefix_size == scanner->prefix_size &&
		memcmp(body->message, scanner->prefix, scanner->prefix_size) == 0;
}

static void
collect_message(OutboxScanner *scanner, const DecodedXLogRecord *record)
{
	const xl_logical_message *body =
	(const xl_logical_message *) record->main_data;

	if (!has_our_prefix(scanner, record))
		return;
	if (!body->transactional)
	{
		if (record->next_lsn > scanner->position)
			scanner->foreign++;
		return;
	}
	outbox_pending_add(scanner->pending, record->header.xl_xid,
					   record->lsn, record->next_lsn,
					   body->message + body->prefix_size, body->message_size);
}

/* Cheap enough for every commit and step, not for every message. */
static void
note_large(OutboxScanner *scanner)
{
	if (outbox_pending_memory(scanner->pending) > LARGE)
		scanner->was_large = true;
}

/* Gather what a transaction's xids have written. */
static void
gather(OutboxScanner *scanner, TransactionId xid,
	   int nsubxacts, const TransactionId *subxacts)
{
	OutboxPendingXid *entry = outbox_pending_find(scanner->pending, xid);

	outbox_merge_clear(scanner->merge);
	if (entry != NULL)
		outbox_merge_add(scanner->merge, entry);
	for (int i = 0; i < nsubxacts; i++)
	{
		entry = outbox_pending_find(scanner->pending, subxacts[i]);
		if (entry != NULL)
			outbox_merge_add(scanner->merge, entry);
	}
}

static void
forget_gathered(OutboxScanner *scanner)
{
	int			n = outbox_merge_count(scanner->merge);

	for (int i = 0; i < n; i++)
		outbox_pending_forget(scanner->pending,
							  outbox_merge_entry(scanner->merge, i));
}

/*
 * Push what was gathered.  The sink may wait for minutes in any callback, and
 * may ask for progress: up to the last message the transaction counts as
 * pending, in commit() it is done with.
 */
static void
push_gathered(OutboxScanner *scanner, OutboxSink *sink, OutboxTxn *txn)
{
	OutboxMessage message;

	note_large(scanner);
	txn->messages = outbox_merge_messages(scanner->merge);
	sink->begin(sink, txn);
	while (outbox_merge_next(scanner->merge, &message))
	{
		CHECK_FOR_INTERRUPTS();
		sink->message(sink, txn, message.data, message.len, message.end);
	}
	forget_gathered(scanner);
}

static void
handle_commit(OutboxScanner *scanner, OutboxSink *sink,
			  const DecodedXLogRecord *record, bool prepared)
{
	bool		pushed = false;
	OutboxTxn	txn;

	if (outbox_pending_count(scanner->pending) > 0)
	{
		xl_xact_parsed_commit parsed;

		ParseCommitRecord(record->header.xl_info,
						  (xl_xact_commit *) record->main_data, &parsed);
		txn.xid = prepared ? parsed.twophase_xid : record->header.xl_xid;
		txn.commit_start = record->lsn;
		txn.commit_end = record->next_lsn;
		txn.commit_crc = record->header.xl_crc;
		txn.commit_time = parsed.xact_time;
		txn.prepared = prepared;
		txn.estimated = false;
		gather(scanner, txn.xid, parsed.nsubxacts, parsed.subxacts);
		if (record->next_lsn <= scanner->position)
			forget_gathered(scanner);
		else if (outbox_merge_count(scanner->merge) > 0)
		{
			push_gathered(scanner, sink, &txn);
			pushed = true;
		}
	}
	scanner->commit_start = record->lsn;
	scanner->commit_crc = record->header.xl_crc;
	scanner->reached = record->next_lsn;
	if (pushed)
		sink->commit(sink, &txn);
}

static void
handle_abort(OutboxScanner *scanner, const DecodedXLogRecord *record,
			 bool prepared)
{
	xl_xact_parsed_abort parsed;

	if (outbox_pending_count(scanner->pending) == 0)
		return;
	ParseAbortRecord(record->header.xl_info,
					 (xl_xact_abort *) record->main_data, &parsed);
	gather(scanner, prepared ? parsed.twophase_xid : record->header.xl_xid,
		   parsed.nsubxacts, parsed.subxacts);
	forget_gathered(scanner);
}

static void
handle_prepare(OutboxScanner *scanner, const DecodedXLogRecord *record)
{
	xl_xact_parsed_prepare parsed;

	if (outbox_pending_count(scanner->pending) == 0)
		return;
	ParsePrepareRecord(record->header.xl_info,
					   (xl_xact_prepare *) record->main_data, &parsed);
	gather(scanner, record->header.xl_xid, parsed.nsubxacts, parsed.subxacts);
	for (int i = 0; i < outbox_merge_count(scanner->merge); i++)
		outbox_merge_entry(scanner->merge, i)->prepared = true;
}

static void
handle_xact(OutboxScanner *scanner, OutboxSink *sink,
			const DecodedXLogRecord *record)
{
	switch (record->header.xl_info & XLOG_XACT_OPMASK)
	{
		case XLOG_XACT_COMMIT:
			handle_commit(scanner, sink, record, false);
			break;
		case XLOG_XACT_COMMIT_PREPARED:
			handle_commit(scanner, sink, record, true);
			break;
		case XLOG_XACT_ABORT:
			handle_abort(scanner, record, false);
			break;
		case XLOG_XACT_ABORT_PREPARED:
			handle_abort(scanner, record, true);
			break;
		case XLOG_XACT_PREPARE:
			handle_prepare(scanner, record);
			break;
		default:
			break;
	}
}

static void
handle_record(OutboxScanner *scanner, OutboxSink *sink,
			  const DecodedXLogRecord *record)
{
	uint8		info = record->header.xl_info & ~XLR_INFO_MASK;

	switch (record->header.xl_rmid)
	{
		case RM_LOGICALMSG_ID:
			collect_message(scanner, record);
			break;
		case RM_XACT_ID:
			handle_xact(scanner, sink, record);
			break;
		case RM_STANDBY_ID:
			if (info == XLOG_RUNNING_XACTS)
			{
				xl_running_xacts *running = (xl_running_xacts *) record->main_data;

				outbox_pending_forget_older(scanner->pending,
											running->oldestRunningXid);
			}
			break;
		case RM_XLOG_ID:
			if (info == XLOG_CHECKPOINT_SHUTDOWN || info == XLOG_END_OF_RECOVERY)
				outbox_pending_forget_unprepared(scanner->pending);
			break;
		default:
			break;
	}
	scanner->reached = record->next_lsn;
}

/* Nothing to read: give back what large transactions have left behind. */
static void
caught_up(OutboxScanner *scanner)
{
	outbox_merge_rest(scanner->merge);
	if (!scanner->was_large || outbox_pending_memory(scanner->pending) > LARGE)
		return;
	scanner->was_large = false;
	outbox_source_trim();
}

static bool
scanner_step(OutboxSource *source, OutboxSink *sink, int max_records)
{
	OutboxScanner *scanner = (OutboxScanner *) source;

	for (int i = 0; i < max_records; i++)
	{
		DecodedXLogRecord *record;

		CHECK_FOR_INTERRUPTS();
		record = outbox_wal_reader_next(scanner->reader);
		if (record == NULL)
		{
			caught_up(scanner);
			return false;
		}
		handle_record(scanner, sink, record);
	}
	note_large(scanner);
	return true;
}

static void
scanner_progress(OutboxSource *source, OutboxSourceProgress *out)
{
	OutboxScanner *scanner = (OutboxScanner *) source;
	XLogRecPtr	first = outbox_pending_first(scanner->pending);

	out->scanned = Max(scanner->reached, scanner->position);
	out->restart = first != InvalidXLogRecPtr ? first : scanner->reached;
	out->commit_start = scanner->commit_start;
	out->commit_crc = scanner->commit_crc;
	out->open_txns = outbox_pending_count(scanner->pending);
	out->memory = outbox_pending_memory(scanner->pending);
	out->spilled = outbox_pending_spilled(scanner->pending);
	out->foreign = scanner->foreign;
}

static void
scanner_close(OutboxSource *source)
{
	OutboxScanner *scanner = (OutboxScanner *) source;

	outbox_merge_close(scanner->merge);
	outbox_wal_reader_close(scanner->reader);
	MemoryContextDelete(scanner->context);
}

/*
 * The context hangs below TopMemoryContext, so that close() works whatever
 * contexts an error has reset meanwhile.
 */
OutboxSource *
outbox_scanner_open(XLogRecPtr restart, XLogRecPtr position, Oid database,
					const char *prefix, Size memory_limit)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext,
												  "outbox scanner",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	OutboxScanner *scanner = palloc0(sizeof(OutboxScanner));

	scanner->source.name = "scanner";
	scanner->source.step = scanner_step;
	scanner->source.progress = scanner_progress;
	scanner->source.close = scanner_close;
	scanner->context = context;
	scanner->database = database;
	scanner->prefix = pstrdup(prefix);
	scanner->prefix_size = strlen(prefix) + 1;
	scanner->position = position;
	scanner->reached = restart;
	scanner->pending = outbox_pending_create(memory_limit);
	scanner->merge = outbox_merge_open();
	scanner->reader = outbox_wal_reader_open(SCAN_BUFFER, false);
	outbox_wal_reader_begin(scanner->reader, restart);
	MemoryContextSwitchTo(old);
	return &scanner->source;
}

/* See source.h. */
bool
outbox_scanner_commit_crc(XLogRecPtr lsn, uint32 *crc)
{
	OutboxWalReader *volatile reader = NULL;
	volatile bool found = false;
	TimeLineID	timeline;

	/* Not even a place where a record can start, or not flushed. */
	if (!XRecOffIsValid(lsn) || lsn % MAXIMUM_ALIGNOF != 0 ||
		lsn >= outbox_source_flushed(&timeline))
		return false;

	reader = outbox_wal_reader_open(XLOG_BLCKSZ, true);
	PG_TRY();
	{
		DecodedXLogRecord *record;

		outbox_wal_reader_begin(reader, lsn);
		record = outbox_wal_reader_next(reader);
		if (record != NULL && record->lsn == lsn &&
			record->header.xl_rmid == RM_XACT_ID)
		{
			uint8		op = record->header.xl_info & XLOG_XACT_OPMASK;

			found = op == XLOG_XACT_COMMIT || op == XLOG_XACT_COMMIT_PREPARED;
			*crc = record->header.xl_crc;
		}
	}
	PG_FINALLY();
	{
		outbox_wal_reader_close(reader);
	}
	PG_END_TRY();
	return found;
}
