/*-------------------------------------------------------------------------
 *
 * sink.c
 *		What the source pushes becomes blocks of the event log.
 *
 * A block is written when it has 256 kB, which may be in the midst of a
 * transaction, or a second after its first event; each in a transaction of its
 * own that nobody waits for (synchronous_commit = off).  What it says of itself
 * is enough to go on behind it after a crash:
 *
 *	dies before the commit of a block	the last block stands, its restart_lsn is
 *					in WAL that the slot holds: all is read again
 *	commit not on disk at a crash		the same: the slot moves only behind
 *					blocks that are on disk (writer.c)
 *	cannot be written					a lock, a full disk: said, tried again; the
 *					writer waits in here, with one block in memory.  The relay does
 *					not notice.  WAL is held meanwhile, see writer.c
 *
 * Transactions come in when they are visible to everybody, so the log shows
 * nothing that a query cannot see; of a commit that waits for its synchronous
 * standby nothing is shown either.
 *
 * Messages that are not ours are counted, so that the n-th message is the same
 * one here and in the relay; events of types that are not logged likewise,
 * where the transaction has others.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "base/clock.h"
#include "eventlog/writer.h"
#include "guc.h"
#include "record/log_block.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define BLOCK_BYTES		(256 * 1024)
#define FIRST_POLL		1		/* ms until a commit is looked at again */
#define LONGEST_POLL	20
#define FIRST_RETRY		100		/* ms after a write that failed */
#define LONGEST_RETRY	4000
#define LOCK_TIMEOUT	"100"	/* ms */

/* Rows of outbox.route are immutable: remembered for good. */
typedef struct RouteRetention
{
	uint32		route_id;		/* hash key */
	int64		us;				/* as in OutboxRoute; 0 if there is no route */
} RouteRetention;

static HTAB *retentions = NULL;

static int64
read_retention(uint32 route_id)
{
	MemoryContext old = CurrentMemoryContext;
	OutboxRoute route;
	int64		us = 0;

	StartTransactionCommand();
	if (outbox_catalog_route(route_id, &route))
		us = route.retention_us;
	CommitTransactionCommand();
	MemoryContextSwitchTo(old);
	return us;
}

/* How long events of a route are kept, in us; 0 = not logged. */
static int64
retention_of(uint32 route_id)
{
	RouteRetention *entry;

	if (retentions == NULL)
	{
		HASHCTL		ctl;

		memset(&ctl, 0, sizeof(ctl));
		ctl.keysize = sizeof(uint32);
		ctl.entrysize = sizeof(RouteRetention);
		ctl.hcxt = TopMemoryContext;
		retentions = hash_create("outbox log retention", 64, &ctl,
								 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	entry = hash_search(retentions, &route_id, HASH_FIND, NULL);
	if (entry == NULL)
	{
		int64		us = read_retention(route_id);

		entry = hash_search(retentions, &route_id, HASH_ENTER, NULL);
		entry->us = us;
	}
	return entry->us >= 0 ? entry->us :
		outbox_log_retention * INT64CONST(60) * USECS_PER_SEC;
}

/* ---- a block ---------------------------------------------------------- */

static void
begin_block(OutboxLogWriter *writer)
{
	OutboxLogRow *row = &writer->row;
	OutboxLogCount *counts = row->counts;

	memset(row, 0, sizeof(*row));
	row->counts = counts;
	row->from = writer->last.to;
	outbox_log_block_begin(&writer->body);
	writer->begun = false;
}

/* The end of what it has: where the source is. */
static void
set_end(OutboxLogWriter *writer)
{
	OutboxLogRow *row = &writer->row;
	OutboxSourceProgress progress;

	writer->source->progress(writer->source, &progress);
	row->to.lsn = progress.scanned;
	row->to.part = writer->cut ? writer->seen : 0;
	row->restart = progress.restart;
	row->commit_start = progress.commit_start;
	row->commit_crc = progress.commit_crc;
	if (row->commit_start == InvalidXLogRecPtr)
	{
		row->commit_start = writer->last.commit_start;
		row->commit_crc = writer->last.commit_crc;
	}
	if (row->expires_at == 0)
		row->expires_at = GetCurrentTimestamp();
}

static bool
is_empty(const OutboxLogRow *row)
{
	return row->id != 0 && row->events == 0 && row->left_out == 0 &&
		row->transactions == 0 && row->to.part == 0;
}

/* True when it was written; else why says what it was. */
static bool
try_to_write(OutboxLogWriter *writer, bool replaces, OutboxResult *why)
{
	MemoryContext old = CurrentMemoryContext;
	volatile bool done = false;

	PG_TRY();
	{
		StartTransactionCommand();
		(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_SUSET,
								 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0,
								 false);
		outbox_log_insert(&writer->row, &writer->body, replaces);
		CommitTransactionCommand();
		done = true;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(writer->context);
		error = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
		memset(why, 0, sizeof(*why));
		why->class = OUTBOX_RETRY;
		strlcpy(why->message, error->message, sizeof(why->message));
		MemoryContextReset(writer->context);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	return done;
}

static void
note_written(OutboxLogWriter *writer)
{
	OutboxLogState *log = &writer->entry->log;
	OutboxLogMark mark = {
		.commit = XactLastCommitEnd,
		.to = writer->row.to.lsn,
		.restart = writer->row.restart
	};

	writer->newest = mark;
	if (writer->awaited.commit == InvalidXLogRecPtr)
		writer->awaited = mark;
	SpinLockAcquire(&writer->entry->mutex);
	log->blocks++;
	log->events += writer->row.events;
	log->bytes += writer->body.len;
	log->left_out += writer->row.left_out;
	log->last_written_at = GetCurrentTimestamp();
	SpinLockRelease(&writer->entry->mutex);
}

void
outbox_log_close_block(OutboxLogWriter *writer)
{
	OutboxLogRow *row = &writer->row;
	int			retry = FIRST_RETRY;
	bool		replaces;
	OutboxResult why;

	set_end(writer);
	row->id = writer->last.id + 1;
	replaces = is_empty(row) && is_empty(&writer->last);
	if (replaces)
		row->from = writer->last.from;
	outbox_log_block_finish(&writer->body);
	while (!try_to_write(writer, replaces, &why))
	{
		outbox_log_note(writer, &why);
		outbox_log_rest(writer, retry);
		retry = Min(retry * 2, LONGEST_RETRY);
	}
	outbox_log_note(writer, NULL);
	note_written(writer);
	outbox_log_release_note(row, writer->last.restart);
	writer->last = *row;
	begin_block(writer);
}

/* ---- items ------------------------------------------------------------ */

static void
begin_txn_item(OutboxLogWriter *writer, const OutboxTxn *txn, uint64 earlier)
{
	OutboxLogTxn item = {
		.full_xid = U64FromFullTransactionId(writer->full_xid),
		.commit_start = txn->commit_start,
		.commit_end = txn->commit_end,
		.commit_crc = txn->commit_crc,
		.commit_time = txn->commit_time,
		.prepared = txn->prepared,
		.messages = txn->messages,
		.earlier = earlier
	};

	if (writer->begun)
		return;
	outbox_log_block_put_txn(&writer->body, &item);
	writer->begun = writer->has_items = true;
}

/* What was only counted before message "seen", as items. */
static void
put_counted(OutboxLogWriter *writer, const OutboxTxn *txn)
{
	uint32		n = writer->left_out + writer->forged;

	begin_txn_item(writer, txn, writer->seen - n);
	if (writer->left_out > 0)
		outbox_log_block_put_left_out(&writer->body, writer->left_out);
	if (writer->forged > 0)
		outbox_log_block_put_forged(&writer->body, writer->forged);
	writer->left_out = writer->forged = 0;
}

static void
count_event(OutboxLogWriter *writer, const OutboxTxn *txn, uint32 route_id,
			Size len, int64 kept_us)
{
	OutboxLogRow *row = &writer->row;
	TimestampTz expires = txn->commit_time + kept_us;
	int			i;

	for (i = 0; i < row->ncounts && row->counts[i].route_id != route_id; i++)
		 /* there are few */ ;
	if (i == row->ncounts)
	{
		if (i == writer->counts_size)
		{
			writer->counts_size += 16;
			row->counts = repalloc(row->counts, writer->counts_size *
								   sizeof(OutboxLogCount));
		}
		memset(&row->counts[i], 0, sizeof(OutboxLogCount));
		row->counts[i].route_id = route_id;
		row->ncounts++;
	}
	row->counts[i].events++;
	row->counts[i].bytes += len;
	if (row->events++ == 0)
		writer->first_event_ms = outbox_monotonic_ms();
	if (row->first_commit == 0)
		row->first_commit = txn->commit_time;
	row->first_commit = Min(row->first_commit, txn->commit_time);
	row->last_commit = Max(row->last_commit, txn->commit_time);
	row->expires_at = Max(row->expires_at, expires);
}

/* ---- the sink --------------------------------------------------------- */

static void
log_begin(OutboxSink *sink, const OutboxTxn *txn)
{
	OutboxLogWriter *writer = (OutboxLogWriter *) sink;
	int			poll = FIRST_POLL;

	writer->full_xid = outbox_txn_full_xid(txn->xid);
	while (!outbox_txn_visible(writer->full_xid))
	{
		outbox_log_rest(writer, poll);
		poll = Min(poll * 2, LONGEST_POLL);
	}
	writer->last_ordinal = 0;
	writer->seen = 0;
	writer->skip = writer->resume_part;
	writer->resume_part = 0;
	writer->has_items = writer->skip > 0;
	writer->begun = false;
	writer->left_out = writer->forged = 0;
}

/* Close a block within a transaction, if it is full. */
static void
cut_if_full(OutboxLogWriter *writer)
{
	if (writer->body.len < BLOCK_BYTES)
		return;
	writer->cut = true;
	outbox_log_close_block(writer);
	writer->cut = false;
}

static void
log_message(OutboxSink *sink, const OutboxTxn *txn, const char *data, Size len,
			XLogRecPtr lsn)
{
	OutboxLogWriter *writer = (OutboxLogWriter *) sink;
	bool		authentic = outbox_secret_authentic(writer->full_xid,
													txn->commit_end, data, len,
													&writer->last_ordinal);
	OutboxWalMessage msg;
	int64		kept_us;

	if (writer->seen < writer->skip)
	{
		writer->seen++;
		return;
	}
	if (!authentic)
	{
		if (writer->left_out > 0)
			put_counted(writer, txn);
		writer->forged++;
		writer->seen++;
		return;
	}
	if (outbox_wal_message_read(data, len, &msg) != OUTBOX_WAL_OK)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("message at %X/%X was written by a later version of outbox",
						LSN_FORMAT_ARGS(lsn))));
	kept_us = retention_of(msg.route_id);
	if (kept_us == 0)
	{
		if (writer->forged > 0)
			put_counted(writer, txn);
		writer->left_out++;
		writer->row.left_out++;
		writer->seen++;
		return;
	}
	put_counted(writer, txn);
	outbox_log_block_put_record(&writer->body, lsn, data, len);
	count_event(writer, txn, msg.route_id, len, kept_us);
	writer->seen++;
	cut_if_full(writer);
}

/*
 * A transaction without any event that is logged has no items; what is left out
 * of it is counted in the row.
 */
static void
log_commit(OutboxSink *sink, const OutboxTxn *txn)
{
	OutboxLogWriter *writer = (OutboxLogWriter *) sink;

	if (writer->has_items)
	{
		put_counted(writer, txn);
		outbox_log_block_put_end(&writer->body);
		writer->row.transactions++;
	}
	writer->begun = false;
	if (writer->body.len >= BLOCK_BYTES)
		outbox_log_close_block(writer);
}

void
outbox_log_sink_init(OutboxLogWriter *writer)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	writer->sink.begin = log_begin;
	writer->sink.message = log_message;
	writer->sink.commit = log_commit;
	writer->counts_size = 16;
	writer->row.counts = palloc(writer->counts_size * sizeof(OutboxLogCount));
	initStringInfo(&writer->body);
	writer->context = AllocSetContextCreate(TopMemoryContext,
											"outbox log writer",
											ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(old);
	begin_block(writer);
}
