/*-------------------------------------------------------------------------
 *
 * pass.c
 *		A table without a key, read in one go.
 *
 * Rows that have no name cannot be told to be older than what the stream has
 * carried meanwhile, nor is there an order to go on in after a restart.  So all
 * of them are read under one snapshot S, whose place in WAL is known exactly:
 *
 *	1 lock the tables against writers (SHARE), for as long as steps 2 and 3 take
 *	2 snapshot S
 *	3 barrier: a WAL record of ours, whose end is H
 *	4 let the writers go on, and read, in chunks, in this one transaction
 *
 * No transaction that has written to the tables is open at H.  So each of their
 * changes lies either in front of H and is in the rows, or behind it and is not,
 * and who has both H (source.lsn of every row) and a change's LSN knows which.
 * The relay sends no row before the stream has passed H.
 *
 * The tables stay locked (ACCESS SHARE) and the snapshot stays open to the end:
 * vacuum cannot remove what it sees, and DDL and TRUNCATE wait.
 *
 * If the reader dies, or with it the relay or the server, the pass is lost, and
 * so is the place: the next request begins another, with a later H and the next
 * number.  Rows that are in Kafka by then are published again.  The same when
 * the capture was changed, or the job paused.
 *
 * Owns the pass under way, in a memory context of its own.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "compat.h"
#include "jobs/pass.h"
#include "jobs/read_table.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define LOCK_TIMEOUT	"500"	/* ms that writers are made to wait, at most */
#define SCAN_FACTOR		20		/* rows read for one that the filter lets pass */

static struct
{
	MemoryContext context;		/* NULL: no pass is under way */
	uint32		number;
	uint64		rows;			/* read */
	List	   *leaves;			/* that are left; the first one is open */
	Relation	rel;
	OutboxRowCodec *codec;
	TableScanDesc scan;
	TupleTableSlot *slot;
	Snapshot	snapshot;
	OutboxSeen	seen;
	XLogRecPtr	until;			/* H */
	TimestampTz read_at;
	uint64		capture_stamp;
}			pass;

uint32
outbox_pass_of_cursor(const char *cursor, int32 len)
{
	OutboxCursor c;
	uint32		number;

	if (len <= 0)
		return 0;
	outbox_cursor_init(&c, cursor, len);
	if (outbox_get_u32(&c) != InvalidOid)
		return 0;
	number = outbox_get_u32(&c);
	return c.failed ? 0 : number;
}

bool
outbox_pass_is_open(void)
{
	return pass.context != NULL;
}

void
outbox_pass_forget(void)
{
	if (pass.context != NULL)
		MemoryContextDelete(pass.context);
	memset(&pass, 0, sizeof(pass));
}

static void
put_cursor(StringInfo out)
{
	resetStringInfo(out);
	outbox_put_u32(out, InvalidOid);
	outbox_put_u32(out, pass.number);
	outbox_put_u64(out, pass.rows);
}

/* ---- tables ---------------------------------------------------------------- */

static void
open_leaf(const OutboxChunkRequest *request)
{
	OutboxCapture *capture;
	uint64		stamp;

	pass.rel = table_open(linitial_oid(pass.leaves), NoLock);
	capture = outbox_read_capture(RelationGetRelid(pass.rel), request->filter,
								  &stamp);
	if (pass.capture_stamp == 0)	/* another one is found out by the relay */
		pass.capture_stamp = stamp;
	pass.codec = outbox_rowcodec_make(capture, pass.rel);
	pass.slot = table_slot_create(pass.rel, NULL);
	pass.scan = table_beginscan_strat(pass.rel, pass.snapshot, 0, NULL, true,
									  false);
}

static void
close_leaf(void)
{
	table_endscan(pass.scan);
	ExecDropSingleTupleTableSlot(pass.slot);
	table_close(pass.rel, NoLock);	/* locked to the end */
	pass.rel = NULL;
	pass.leaves = list_delete_first(pass.leaves);
}

/* Steps 1 to 3. */
static void
take_snapshot(List *leaves)
{
	ListCell   *lc;

	(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_SUSET,
							 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
	foreach(lc, leaves)
	{
		Relation	rel = outbox_read_open(lfirst_oid(lc));

		table_close(rel, NoLock);
		LockRelationOid(lfirst_oid(lc), ShareLock);
	}
	pass.snapshot = RegisterSnapshot(GetLatestSnapshot());
	PushActiveSnapshot(pass.snapshot);
	outbox_read_describe(pass.snapshot, &pass.seen);
	pass.read_at = GetCurrentTimestamp();
	pass.until = outbox_read_barrier();
	foreach(lc, leaves)
		UnlockRelationOid(lfirst_oid(lc), ShareLock);
}

static void
begin_pass(const OutboxChunkRequest *request, List *leaves)
{
	MemoryContext old;

	pass.context = AllocSetContextCreate(TopMemoryContext, "outbox pass",
										 ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(pass.context);
	pass.number = outbox_pass_of_cursor(request->cursor,
										request->cursor_len) + 1;
	pass.leaves = list_copy(leaves);
	take_snapshot(leaves);
	if (pass.leaves != NIL)
		open_leaf(request);
	MemoryContextSwitchTo(old);
}

static void
end_pass(void)
{
	PopActiveSnapshot();
	UnregisterSnapshot(pass.snapshot);
	outbox_pass_forget();
}

/* Whether the cursor is where the pass under way has come to. */
static bool
goes_on(const OutboxChunkRequest *request)
{
	OutboxCursor c;

	if (pass.context == NULL || request->cursor_len <= 0)
		return false;
	outbox_cursor_init(&c, request->cursor, request->cursor_len);
	return outbox_get_u32(&c) == InvalidOid &&
		outbox_get_u32(&c) == pass.number && outbox_get_u64(&c) == pass.rows;
}

/* ---- rows ------------------------------------------------------------------ */

static void
read_rows(const OutboxChunkRequest *request, OutboxRowSink *sink,
		  StringInfo cursor)
{
	MemoryContext per_row = AllocSetContextCreate(CurrentMemoryContext,
												  "outbox pass row",
												  ALLOCSET_DEFAULT_SIZES);
	uint64		limit = (uint64) request->max_rows * SCAN_FACTOR;

	for (uint64 scanned = 0; pass.leaves != NIL &&
		 sink->nrows < request->max_rows && scanned < limit &&
		 sink->rows->len < OUTBOX_CHUNK_BYTES; scanned++)
	{
		MemoryContext old = MemoryContextSwitchTo(pass.context);
		bool		found = table_scan_getnextslot(pass.scan,
												   ForwardScanDirection,
												   pass.slot);

		CHECK_FOR_INTERRUPTS();
		if (!found)
		{
			close_leaf();
			if (pass.leaves != NIL)
				open_leaf(request);
			MemoryContextSwitchTo(old);
			continue;
		}
		pass.rows++;
		MemoryContextSwitchTo(per_row);
		put_cursor(cursor);
		outbox_read_encode(pass.codec, pass.slot, sink);
		MemoryContextSwitchTo(old);
		MemoryContextReset(per_row);
	}
	MemoryContextDelete(per_row);
}

void
outbox_pass_read(const OutboxChunkRequest *request, List *leaves,
				 OutboxChunkHead *head, StringInfo rows)
{
	StringInfoData cursor;
	OutboxRowSink sink = {rows, 0, &cursor};

	if (!goes_on(request))
	{
		if (pass.context != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("what was read of a table without a key is worth nothing any more")));
		begin_pass(request, leaves);
	}
	initStringInfo(&cursor);
	read_rows(request, &sink, &cursor);
	put_cursor(&cursor);
	head->capture_stamp = pass.capture_stamp;
	head->seen = pass.seen;
	head->seen.xip = memcpy(palloc((pass.seen.nxip + 1) * sizeof(TransactionId)),
							pass.seen.xip,
							pass.seen.nxip * sizeof(TransactionId));
	head->read_at = pass.read_at;
	head->until = pass.until;
	head->pass = pass.number;
	head->nrows = sink.nrows;
	head->cursor = cursor.data;
	head->cursor_len = cursor.len;
	head->finished = pass.leaves == NIL;
	if (head->finished)
		end_pass();
}
