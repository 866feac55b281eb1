/*-------------------------------------------------------------------------
 *
 * log_source.c
 *		The event log as a source of committed transactions (source.h).
 *
 * Used when WAL behind the relay's position has been released or lost.  Pushes
 * the same messages, with the same number in the transaction, as the scanner
 * would: so the position in Kafka, also that of a split transaction, means the
 * same, and a relay that dies goes on from the log or from WAL, whichever there
 * is.
 *
 * One block at a time is in memory, and read in a short transaction of its own.
 * A block was checked when it was written: what is in it needs no MAC.  A place
 * to start reading WAL from is known at the end of each block only: in between,
 * progress says that of the block before, which is on the safe side.
 *
 * A damaged block is an error, and stays one until somebody deletes it: then
 * there is a gap.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "compat.h"
#include "eventlog/eventlog.h"
#include "eventlog/log_source.h"
#include "miscadmin.h"
#include "record/log_block.h"
#include "utils/memutils.h"

typedef struct LogSource
{
	OutboxSource source;		/* must be first */
	MemoryContext context;		/* of the source */
	MemoryContext block_context;
	XLogRecPtr	position;		/* commits up to here were published before */
	XLogRecPtr	limit;
	OutboxLogPlace read;		/* blocks were read up to here */
	XLogRecPtr	scanned;		/* commits up to here were pushed */
	XLogRecPtr	restart;		/* of the last whole block */
	XLogRecPtr	commit_start;
	uint32		commit_crc;
	bool		pushing;		/* between begin and commit of txn */
	bool		done;
	OutboxTxn	txn;
} LogSource;

/* Read the next block; false when there is none. */
static bool
read_block(LogSource *source, OutboxLogRow *row, OutboxLogReader *reader)
{
	MemoryContext old = CurrentMemoryContext;
	bytea	   *body = NULL;
	bytea	   *copy;
	bool		found;

	MemoryContextReset(source->block_context);
	StartTransactionCommand();
	found = outbox_log_read(&source->read, row, &body);
	if (found)
	{
		copy = MemoryContextAlloc(source->block_context, VARSIZE(body));
		memcpy(copy, body, VARSIZE(body));
		body = copy;
	}
	CommitTransactionCommand();
	MemoryContextSwitchTo(old);
	if (found && !outbox_log_reader_init(reader, VARDATA(body),
										 VARSIZE(body) - VARHDRSZ))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("block " INT64_FORMAT " of the event log is damaged",
						row->id),
				 errhint("Delete it from outbox.log; what it holds is lost then, and outbox.recover() goes on behind it.")));
	return found;
}

/* Whether all blocks up to a commit follow each other. */
typedef struct Whole
{
	OutboxLogPlace end;
	XLogRecPtr	commit_end;
	bool		whole;
} Whole;

static bool
visit_rest(void *arg, const OutboxLogRow *row)
{
	Whole	   *w = arg;

	if (row->to.lsn < w->end.lsn ||
		(row->to.lsn == w->end.lsn && row->to.part <= w->end.part))
		return true;
	if (row->from.lsn != w->end.lsn || row->from.part != w->end.part)
		return false;
	w->end = row->to;
	w->whole = row->to.lsn >= w->commit_end;
	return !w->whole;
}

/* Of a transaction that begins in this block: whether the log has all of it. */
static bool
is_whole(const OutboxLogRow *row, const OutboxLogTxn *item)
{
	MemoryContext old = CurrentMemoryContext;
	Whole		w = {row->to, item->commit_end, row->to.lsn >= item->commit_end};

	if (w.whole)
		return true;
	StartTransactionCommand();
	outbox_log_visit(row->to.lsn, visit_rest, &w);
	CommitTransactionCommand();
	MemoryContextSwitchTo(old);
	return w.whole;
}

/*
 * The transaction that comes next; one that was published before is left out,
 * and one of which the log has only a part.
 */
static void
begin_txn(LogSource *source, OutboxSink *sink, const OutboxLogRow *row,
		  const OutboxLogTxn *item)
{
	OutboxTxn  *txn = &source->txn;

	if (source->pushing && txn->commit_end == item->commit_end)
		return;					/* it goes on */
	if (item->commit_end <= source->position || item->earlier > 0 ||
		item->commit_end > source->limit || !is_whole(row, item))
		return;
	memset(txn, 0, sizeof(*txn));
	txn->xid = XidFromFullTransactionId(FullTransactionIdFromU64(item->full_xid));
	txn->commit_start = item->commit_start;
	txn->commit_end = item->commit_end;
	txn->commit_crc = item->commit_crc;
	txn->commit_time = item->commit_time;
	txn->prepared = item->prepared;
	txn->messages = item->messages;
	sink->begin(sink, txn);
	source->pushing = true;
}

static void
end_txn(LogSource *source, OutboxSink *sink)
{
	if (!source->pushing)
		return;
	source->scanned = source->txn.commit_end;
	source->commit_start = source->txn.commit_start;
	source->commit_crc = source->txn.commit_crc;
	sink->commit(sink, &source->txn);
	source->pushing = false;
}

static void
push_block(LogSource *source, OutboxSink *sink, const OutboxLogRow *row,
		   OutboxLogReader *reader)
{
	OutboxLogItem item;

	while ((item = outbox_log_reader_next(reader)) != OUTBOX_LOG_DONE)
	{
		switch (item)
		{
			case OUTBOX_LOG_TXN:
				begin_txn(source, sink, row, &reader->txn);
				break;
			case OUTBOX_LOG_MESSAGE:
				if (source->pushing)
					sink->change(sink, &source->txn, &reader->msg, reader->lsn);
				break;
			case OUTBOX_LOG_LEFT_OUT:
			case OUTBOX_LOG_FORGED:
				if (source->pushing)
					sink->pass_over(sink, &source->txn, reader->count);
				break;
			case OUTBOX_LOG_END:
				end_txn(source, sink);
				break;
			default:
				ereport(ERROR,
						(errcode(ERRCODE_DATA_CORRUPTED),
						 errmsg("a block of the event log has an item that is none")));
		}
	}
}

/* What was pushed is all up to here, but for the transaction that is cut. */
static void
end_block(LogSource *source, const OutboxLogRow *row)
{
	source->scanned = Max(source->scanned, row->to.lsn);
	if (row->commit_start > source->commit_start)
	{
		source->commit_start = row->commit_start;
		source->commit_crc = row->commit_crc;
	}
	source->done = row->to.lsn >= source->limit;
}

/* To the end of a transaction; records do not count here, blocks do. */
static bool
log_step(OutboxSource *base, OutboxSink *sink, int max_records)
{
	LogSource  *source = (LogSource *) base;

	do
	{
		OutboxLogRow row;
		OutboxLogReader reader;

		CHECK_FOR_INTERRUPTS();
		if (source->done)
			return false;
		if (!read_block(source, &row, &reader))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_FILE),
					 errmsg("the event log ends before %X/%X, up to where it had been",
							LSN_FORMAT_ARGS(source->limit))));
		push_block(source, sink, &row, &reader);
		source->read = row.to;
		source->restart = Max(source->restart, row.restart);
		if (!source->pushing)
			end_block(source, &row);
	} while (source->pushing);
	return !source->done;
}

static void
log_progress(OutboxSource *base, OutboxSourceProgress *out)
{
	LogSource  *source = (LogSource *) base;

	memset(out, 0, sizeof(*out));
	out->scanned = source->scanned;
	out->restart = source->restart;
	out->commit_start = source->commit_start;
	out->commit_crc = source->commit_crc;
}

static void
log_close(OutboxSource *base)
{
	MemoryContextDelete(((LogSource *) base)->context);
}

bool
outbox_log_source_done(const OutboxSource *base)
{
	return ((const LogSource *) base)->done;
}

OutboxSource *
outbox_log_source_open(XLogRecPtr restart, XLogRecPtr position,
					   XLogRecPtr limit)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext,
												  "outbox log source",
												  ALLOCSET_DEFAULT_SIZES);
	LogSource  *source = MemoryContextAllocZero(context, sizeof(LogSource));

	source->source.name = "event log";
	source->source.step = log_step;
	source->source.progress = log_progress;
	source->source.close = log_close;
	source->context = context;
	source->block_context = AllocSetContextCreate(context, "outbox log block",
												  ALLOCSET_DEFAULT_SIZES);
	source->position = source->scanned = source->read.lsn = position;
	source->restart = restart;
	source->limit = limit;
	return &source->source;
}
