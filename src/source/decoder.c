/*-------------------------------------------------------------------------
 *
 * decoder.c
 *		A source that decodes WAL logically: messages of ours and the rows of
 *		captured tables, transaction by transaction.
 *
 * Used instead of the scanner while a table is captured with mode log.  It
 * pushes the same messages in the same order, so a position reached with one
 * source is right for the other; between them come the changes that it has
 * made of rows.  Owns the decoding context with its reorder buffer, the WAL
 * reader below it, and the cache of captured tables, all in one memory
 * context; one process, no locks.  The logical slot is the caller's.
 *
 * Each record is looked at before logical decoding gets it:
 *
 *	commit, commit	after the position, of this database, with messages of ours or
 *	prepared		rows that may be of a captured table: sink->begin(), then the
 *					replay of the transaction, which pushes, then
 *					sink->commit().  Any other one is left to logical decoding,
 *					which skips what begins before the position
 *	all others		left to logical decoding
 *
 * Replay runs in a transaction of its own, which ends up aborted, under a
 * historic snapshot: catalogs, outbox.capture_def and outbox.schema look as at
 * the place in WAL.  begin() and commit(), where the sink gates and settles, are
 * outside of it.  In between the sink waits at most for room in the socket, as
 * a walsender does: no snapshot is registered then and no lock held.  What the
 * sink can do in a transaction of its own only (needs_transaction()) waits in
 * the spool for the end of the replay.
 *
 * Caches are as of WAL's place while replaying and as of now in transactions of
 * the relay's own.  Between the two they are emptied: before a step if there
 * was such a transaction, and before such a transaction if anything was
 * replayed (outbox_decoder_leave_history()).
 *
 * Crash: nothing here survives, and nothing needs to.  Opened again at any
 * position that was reported, it decodes from the slot's restart point and
 * pushes exactly the commits after the position, with the same messages in the
 * same order and the same ids: they depend on WAL alone.  That holds for the
 * choice of log_from too, as it is durable before the first change is pushed.
 *
 * An error, the sink's or our own, leaves a transaction half replayed: then
 * there is nothing to do but to leave the process.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/rmgr.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "base/siphash.h"
#include "miscadmin.h"
#include "replication/decode.h"
#include "replication/logical.h"
#include "replication/slot.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"

#include "source/decoder.h"
#include "source/trim.h"

#define READ_BUFFER		(16 * XLOG_BLCKSZ)
#define LARGE			(1024 * 1024)	/* bytes pending, worth a trim */
#define CHANGE_ORDINAL	0x80000000	/* of a transaction's first change, - 1 */

/* One of a process, for the callback of transactions. */
static OutboxDecoder *decoder_here = NULL;
static bool caches_of_now = false;	/* a transaction of now has filled them */
static bool caches_of_then = false; /* a replay has */
static bool was_large = false;	/* memory to give back once caught up */

/* ---- caches ------------------------------------------------------------ */

static void
note_transaction(XactEvent event, void *arg)
{
	if (decoder_here != NULL && !decoder_here->replaying)
		caches_of_now = true;
}

void
outbox_decoder_leave_history(void)
{
	if (!caches_of_then || (decoder_here != NULL && decoder_here->replaying))
		return;
	InvalidateSystemCaches();
	caches_of_then = false;
}

static void
enter_history(void)
{
	if (caches_of_now)
		InvalidateSystemCaches();
	caches_of_now = false;
	caches_of_then = true;
}

/* ---- pushing ------------------------------------------------------------ */

/*
 * RFC 9562 version 8: made of the change's place, so that whoever decodes it
 * again gives it the same id.
 */
static void
make_event_id(const OutboxDecoder *decoder, uint8 id[OUTBOX_EVENT_ID_SIZE])
{
	static const uint8 key[OUTBOX_SIPHASH_KEY_SIZE + 1] = "outbox change id";
	uint64		place[4] = {GetSystemIdentifier(), decoder->database,
		decoder->txn.commit_end, decoder->changes};

	for (int half = 0; half < 2; half++)
	{
		OutboxSipHash hash;
		uint64		value;

		outbox_siphash_init(&hash, key);
		outbox_siphash_update(&hash, &half, sizeof(half));
		outbox_siphash_update(&hash, place, sizeof(place));
		value = outbox_siphash_final(&hash);
		memcpy(id + half * sizeof(value), &value, sizeof(value));
	}
	id[6] = (id[6] & 0x0F) | 0x80;
	id[8] = (id[8] & 0x3F) | 0x80;
}

/* Whether it has to wait for the end of the replay. */
static bool
must_wait(OutboxDecoder *decoder, const char *data, Size len,
		  const OutboxWalMessage *msg)
{
	OutboxSink *sink = decoder->sink;

	return !outbox_spool_is_empty(decoder->spool) ||
		sink->needs_transaction(sink, &decoder->txn, data, len, msg);
}

void
outbox_decoder_message(OutboxDecoder *decoder, XLogRecPtr lsn,
					   bool transactional, const char *prefix, Size len,
					   const char *data)
{
	OutboxSpooled item = {.lsn = lsn,.len = len,.data = data};
	MemoryContext old;

	if (strcmp(prefix, decoder->prefix) != 0)
		return;
	if (!transactional)
	{
		decoder->foreign++;
		return;
	}
	if (!decoder->pushing)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("a message at %X/%X was passed over",
						LSN_FORMAT_ARGS(lsn))));
	CHECK_FOR_INTERRUPTS();
	old = MemoryContextSwitchTo(decoder->change_context);
	if (must_wait(decoder, data, len, NULL))
		outbox_spool_add(decoder->spool, &item);
	else
		decoder->sink->message(decoder->sink, &decoder->txn, data, len, lsn);
	MemoryContextSwitchTo(old);
	MemoryContextReset(decoder->change_context);
}

void
outbox_decoder_change(OutboxDecoder *decoder, OutboxWalMessage *msg,
					  XLogRecPtr lsn)
{
	if (decoder->changes == PG_INT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("transaction %u has more than %u changes of captured tables",
						decoder->txn.xid, (uint32) PG_INT32_MAX)));
	decoder->changes++;
	msg->ordinal = CHANGE_ORDINAL + decoder->changes;
	make_event_id(decoder, msg->event_id);

	if (must_wait(decoder, NULL, 0, msg))
	{
		static const uint8 no_key[OUTBOX_SIPHASH_KEY_SIZE];
		OutboxMacContext context = {0};
		OutboxSpooled item = {.change = true,.lsn = lsn};
		StringInfoData buf;

		initStringInfo(&buf);
		outbox_wal_message_write(&buf, msg, no_key, &context);
		item.data = buf.data;
		item.len = buf.len;
		outbox_spool_add(decoder->spool, &item);
		pfree(buf.data);
	}
	else
		decoder->sink->change(decoder->sink, &decoder->txn, msg, lsn);
}

/* After the replay: what had to wait for its end. */
static void
push_spooled(OutboxDecoder *decoder)
{
	OutboxSink *sink = decoder->sink;
	OutboxSpooled item;
	OutboxWalMessage msg;

	if (outbox_spool_is_empty(decoder->spool))
		return;
	while (outbox_spool_next(decoder->spool, &item))
	{
		CHECK_FOR_INTERRUPTS();
		if (!item.change)
			sink->message(sink, &decoder->txn, item.data, item.len, item.lsn);
		else if (outbox_wal_message_read(item.data, item.len, &msg) == OUTBOX_WAL_OK)
			sink->change(sink, &decoder->txn, &msg, item.lsn);
		else
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("could not read a change of transaction %u back from a temporary file",
							decoder->txn.xid)));
	}
}

/* ---- commits ------------------------------------------------------------ */

/*
 * What the reorder buffer has of a top-level transaction, NULL: nothing that
 * would be replayed.
 */
static ReorderBufferTXN *
find_buffered(const OutboxDecoder *decoder, TransactionId xid)
{
	dlist_iter	iter;

	dlist_foreach(iter, &decoder->logical->reorder->toplevel_by_lsn)
	{
		ReorderBufferTXN *buffered = dlist_container(ReorderBufferTXN, node,
													 iter.cur);

		if (buffered->xid == xid)
			return buffered->base_snapshot != NULL ? buffered : NULL;
	}
	return NULL;
}

/*
 * Full id of a transaction in our WAL: at most 2^31 older than the next one.
 */
static FullTransactionId
full_xid(TransactionId xid)
{
	FullTransactionId next = ReadNextFullTransactionId();
	uint32		age = XidFromFullTransactionId(next) - xid;	/* modulo 2^32 */

	return FullTransactionIdFromU64(U64FromFullTransactionId(next) - age);
}

/*
 * How many messages it may be.  Rows of tables that are not captured are
 * among what is counted.
 */
static uint64
estimate(ReorderBufferTXN *buffered)
{
	uint64		n = buffered->nentries;
	dlist_iter	iter;

	dlist_foreach(iter, &buffered->subtxns)
		n += dlist_container(ReorderBufferTXN, node, iter.cur)->nentries;
	return n;
}

/* Whether one of the changes may make a message; what was spilled is not read. */
static bool
has_concern(OutboxDecoder *decoder, ReorderBufferTXN *buffered)
{
	dlist_iter	iter;

	if (rbtxn_is_serialized(buffered) || rbtxn_has_catalog_changes(buffered))
		return true;
	dlist_foreach(iter, &buffered->changes)
	{
		ReorderBufferChange *change = dlist_container(ReorderBufferChange,
													  node, iter.cur);

		switch (change->action)
		{
			case REORDER_BUFFER_CHANGE_INSERT:
			case REORDER_BUFFER_CHANGE_UPDATE:
			case REORDER_BUFFER_CHANGE_DELETE:
			case REORDER_BUFFER_CHANGE_INTERNAL_SPEC_INSERT:
				if (decoder->with_changes &&
					!outbox_decoded_tables_ignored(decoder->tables,
												   &outbox_compat_change_locator(change)))
					return true;
				break;
			case REORDER_BUFFER_CHANGE_MESSAGE:
				if (strcmp(change->data.msg.prefix, decoder->prefix) == 0)
					return true;
				break;
			case REORDER_BUFFER_CHANGE_INTERNAL_COMMAND_ID:
			case REORDER_BUFFER_CHANGE_INTERNAL_TUPLECID:
			case REORDER_BUFFER_CHANGE_INTERNAL_SPEC_CONFIRM:
			case REORDER_BUFFER_CHANGE_INTERNAL_SPEC_ABORT:
				break;
			default:
				return true;
		}
	}
	return false;
}

/*
 * Transactions that write other tables only need not pass the gate, nor end a
 * batch.  They are replayed all the same, for what they say about catalogs.
 */
static bool
may_concern_us(OutboxDecoder *decoder, ReorderBufferTXN *buffered)
{
	dlist_iter	iter;

	if (has_concern(decoder, buffered))
		return true;
	dlist_foreach(iter, &buffered->subtxns)
	{
		if (has_concern(decoder, dlist_container(ReorderBufferTXN, node,
												 iter.cur)))
			return true;
	}
	return false;
}

/* Fill in decoder->txn; false when nothing of the transaction is to be pushed. */
static bool
look_at_commit(OutboxDecoder *decoder, const DecodedXLogRecord *record,
			   bool prepared)
{
	OutboxTxn  *txn = &decoder->txn;
	xl_xact_parsed_commit parsed;
	ReorderBufferTXN *buffered;

	if (record->lsn < decoder->position)
		return false;
	ParseCommitRecord(record->header.xl_info,
					  (xl_xact_commit *) record->main_data, &parsed);
	if (OidIsValid(parsed.dbId) && parsed.dbId != decoder->database)
		return false;
	memset(txn, 0, sizeof(*txn));
	txn->xid = prepared ? parsed.twophase_xid : record->header.xl_xid;
	buffered = find_buffered(decoder, txn->xid);
	decoder->with_changes = record->next_lsn > decoder->log_from;
	if (buffered == NULL || !may_concern_us(decoder, buffered))
		return false;
	txn->commit_start = record->lsn;
	txn->commit_end = record->next_lsn;
	txn->commit_crc = record->header.xl_crc;
	txn->commit_time = parsed.xact_time;
	txn->prepared = prepared;
	txn->messages = estimate(buffered);
	txn->estimated = true;
	decoder->full_xid = full_xid(txn->xid);
	decoder->changes = 0;
	return true;
}

/* Let logical decoding have the record just read. */
static void
decode(OutboxDecoder *decoder)
{
	MemoryContext old = MemoryContextSwitchTo(decoder->record_context);

	LogicalDecodingProcessRecord(decoder->logical, decoder->logical->reader);
	MemoryContextSwitchTo(old);
	MemoryContextReset(decoder->record_context);
}

static void
handle_commit(OutboxDecoder *decoder, const DecodedXLogRecord *record,
			  bool prepared)
{
	bool		push = look_at_commit(decoder, record, prepared);

	if (push)
		decoder->sink->begin(decoder->sink, &decoder->txn);
	if (decoder->logical->reorder->size > LARGE)
		was_large = true;
	enter_history();
	decoder->replaying = true;
	decoder->pushing = push;
	decode(decoder);
	decoder->replaying = decoder->pushing = false;
	if (push)
		push_spooled(decoder);
	decoder->commit_start = record->lsn;
	decoder->commit_crc = record->header.xl_crc;
	decoder->reached = record->next_lsn;
	if (push)
		decoder->sink->commit(decoder->sink, &decoder->txn);
}

static void
handle_record(OutboxDecoder *decoder, const DecodedXLogRecord *record)
{
	uint8		op = record->header.xl_info & XLOG_XACT_OPMASK;

	if (record->header.xl_rmid == RM_XACT_ID &&
		(op == XLOG_XACT_COMMIT || op == XLOG_XACT_COMMIT_PREPARED))
		handle_commit(decoder, record, op == XLOG_XACT_COMMIT_PREPARED);
	else
	{
		decode(decoder);
		decoder->reached = record->next_lsn;
	}
}

/* ---- the source ---------------------------------------------------------- */

static void
caught_up(OutboxDecoder *decoder)
{
	if (!was_large || decoder->logical->reorder->size > LARGE)
		return;
	was_large = false;
	outbox_source_trim();
}

static bool
decoder_step(OutboxSource *source, OutboxSink *sink, int max_records)
{
	OutboxDecoder *decoder = (OutboxDecoder *) source;

	decoder->sink = sink;
	for (int i = 0; i < max_records; i++)
	{
		DecodedXLogRecord *record;

		CHECK_FOR_INTERRUPTS();
		record = outbox_wal_reader_next(decoder->reader);
		if (record == NULL)
		{
			caught_up(decoder);
			return false;
		}
		handle_record(decoder, record);
	}
	return true;
}

/*
 * The reorder buffer knows every transaction that has begun and not ended, of
 * any database, since where the slot made it begin to read.
 */
static void
decoder_progress(OutboxSource *source, OutboxSourceProgress *out)
{
	OutboxDecoder *decoder = (OutboxDecoder *) source;
	ReorderBuffer *buffer = decoder->logical->reorder;
	XLogRecPtr	restart = decoder->reached;

	if (!dlist_is_empty(&buffer->toplevel_by_lsn))
		restart = Min(restart,
					  dlist_head_element(ReorderBufferTXN, node,
										 &buffer->toplevel_by_lsn)->first_lsn);
	out->scanned = Max(decoder->reached, decoder->position);
	out->restart = Max(restart, decoder->floor);
	out->commit_start = decoder->commit_start;
	out->commit_crc = decoder->commit_crc;
	out->open_txns = hash_get_num_entries(buffer->by_txn);
	out->memory = buffer->size;
	out->spilled = decoder->spilled;
	out->foreign = decoder->foreign;
}

static void
decoder_close(OutboxSource *source)
{
	OutboxDecoder *decoder = (OutboxDecoder *) source;

	decoder_here = NULL;
	outbox_spool_close(decoder->spool);
	outbox_decoded_tables_close(decoder->tables);
	outbox_wal_reader_close(decoder->reader);
	FreeDecodingContext(decoder->logical);
	MemoryContextDelete(decoder->context);
	outbox_decoder_leave_history();
}

/* The decoding context, reading from the slot's restart point. */
static void
open_logical(OutboxDecoder *decoder)
{
	XLogReaderRoutine routine;

	outbox_plugin_permit(true);
	decoder->reader = outbox_wal_reader_prepare(READ_BUFFER, &routine);
	decoder->logical = CreateDecodingContext(decoder->position, NIL, false,
											 &routine, NULL, NULL, NULL);
	outbox_plugin_permit(false);
	decoder->logical->output_writer_private = decoder;
	outbox_wal_reader_attach(decoder->reader, decoder->logical->reader);
	decoder->reached = MyReplicationSlot->data.restart_lsn;
	outbox_wal_reader_begin(decoder->reader, decoder->reached);
}

/*
 * Memory beyond the limit spills to files below pg_replslot.  The setting is
 * this process's: nobody else decodes here.
 */
static void
limit_memory(int memory_kb)
{
	SetConfigOption("logical_decoding_work_mem", psprintf("%d", memory_kb),
					PGC_SUSET, PGC_S_OVERRIDE);
}

OutboxSource *
outbox_decoder_open(XLogRecPtr restart, XLogRecPtr position,
					XLogRecPtr log_from, Oid database, const char *prefix,
					int memory_kb)
{
	static bool registered = false;
	MemoryContext context = AllocSetContextCreate(TopMemoryContext,
												  "outbox decoder",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	OutboxDecoder *decoder = palloc0(sizeof(OutboxDecoder));

	Assert(decoder_here == NULL);
	if (!registered)
		RegisterXactCallback(note_transaction, NULL);
	registered = true;
	decoder->source.name = "decoder";
	decoder->source.step = decoder_step;
	decoder->source.progress = decoder_progress;
	decoder->source.close = decoder_close;
	decoder->context = context;
	decoder->record_context = AllocSetContextCreate(context,
													"outbox decoded record",
													ALLOCSET_SMALL_SIZES);
	decoder->change_context = AllocSetContextCreate(context,
													"outbox decoded change",
													ALLOCSET_DEFAULT_SIZES);
	decoder->database = database;
	decoder->prefix = pstrdup(prefix);
	decoder->floor = restart;
	decoder->position = position;
	decoder->log_from = log_from;
	decoder->spool = outbox_spool_open();
	decoder->tables = outbox_decoded_tables_create(context);
	limit_memory(memory_kb);
	open_logical(decoder);
	MemoryContextSwitchTo(old);

	/* Emptied before the first replay. */
	caches_of_now = true;
	decoder_here = decoder;
	return &decoder->source;
}
