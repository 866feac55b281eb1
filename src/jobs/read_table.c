/*-------------------------------------------------------------------------
 *
 * read_table.c
 *		One chunk of a captured table, read and encoded.
 *
 * As the table's owner in a security-restricted context.  No user code runs:
 * the index is scanned directly, row filters are restricted to built-in
 * functions, and output functions of types are a superuser's.  Row security
 * is not asked, as by the capture itself.
 *
 * The order matters:
 *
 *	1 lock the table (ACCESS SHARE)		its definition stands until we are done
 *	2 stamp and load the capture, stamp the table
 *	3 snapshot S
 *	4 barrier: a WAL record of ours, whose end is H.  A commit that S sees was
 *	  inserted before it left the ProcArray, so before S, so before H
 *	5 read
 *
 * The capture is loaded after it was stamped: should it change in between, the
 * stamp is the older one, and the relay, which compares, throws the chunk away.
 *
 * The caller flushes WAL up to H when the transaction is over, so that the
 * relay can read that far also when nobody else writes.  The barrier is not
 * transactional and has a prefix of its own: no source delivers it.
 *
 * A partitioned table is read one partition after the other, in the order of
 * their oids, so that a cursor means the same whatever is attached or detached
 * meanwhile.
 *
 * A table that has no key, or a partition without one, is read otherwise: see
 * pass.c.
 *
 * Owns nothing; a death here leaves nothing behind.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "compat.h"
#include "executor/tuptable.h"
#include "jobs/keyset.h"
#include "jobs/pass.h"
#include "jobs/read_table.h"
#include "jobs/stamp.h"
#include "miscadmin.h"
#include "replication/message.h"
#include "rowcodec/rowcodec.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#define BARRIER_PREFIX	"outbox.barrier"
#define SCAN_FACTOR		20		/* rows read for one that the filter lets pass */

/* ---- which table ------------------------------------------------------- */

Relation
outbox_read_open(Oid relation)
{
	Relation	rel = try_table_open(relation, AccessShareLock);

	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the table was dropped")));
	return rel;
}

static int
compare_oids(const ListCell *a, const ListCell *b)
{
	return lfirst_oid(a) < lfirst_oid(b) ? -1 : lfirst_oid(a) > lfirst_oid(b);
}

/* Tables with rows of their own, in the order in which they are read. */
static List *
list_leaves(Relation root)
{
	List	   *leaves = NIL;
	List	   *all;
	ListCell   *lc;

	if (root->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		return list_make1_oid(RelationGetRelid(root));
	all = find_all_inheritors(RelationGetRelid(root), NoLock, NULL);
	foreach(lc, all)
	{
		if (get_rel_relkind(lfirst_oid(lc)) == RELKIND_RELATION)
			leaves = lappend_oid(leaves, lfirst_oid(lc));
	}
	list_sort(leaves, compare_oids);
	return leaves;
}

/* Whether one of them cannot be read in the order of a key. */
static bool
lacks_key(List *leaves)
{
	bool		lacks = false;
	ListCell   *lc;

	foreach(lc, leaves)
	{
		Relation	rel = outbox_read_open(lfirst_oid(lc));

		lacks |= !OidIsValid(outbox_keyset_index(rel));
		table_close(rel, AccessShareLock);
	}
	return lacks;
}

/* The first one from this oid on; invalid at the end. */
static Oid
leaf_from(List *leaves, Oid from)
{
	ListCell   *lc;

	foreach(lc, leaves)
	{
		if (lfirst_oid(lc) >= from)
			return lfirst_oid(lc);
	}
	return InvalidOid;
}

static uint64
estimate_rows(List *leaves)
{
	double		sum = 0;
	ListCell   *lc;

	foreach(lc, leaves)
	{
		Relation	rel = try_table_open(lfirst_oid(lc), AccessShareLock);

		if (rel == NULL)
			continue;
		sum += Max(rel->rd_rel->reltuples, 0);
		table_close(rel, AccessShareLock);
	}
	return (uint64) sum;
}

/* ---- the capture ------------------------------------------------------- */

static OutboxCapture *
find_capture(Oid relation)
{
	OutboxCapture *capture = outbox_capture_find(relation);

	if (capture == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table \"%s\" is not captured any more",
						get_rel_name(relation))));
	return capture;
}

/* The stamp is that of the capture that is loaded, or of an earlier one. */
OutboxCapture *
outbox_read_capture(Oid relation, const char *filter, uint64 *stamp)
{
	OutboxCapture *capture = find_capture(relation);

	*stamp = outbox_stamp_capture(capture->relation);
	capture = find_capture(relation);
	if (filter != NULL)
		capture->row_filter = capture->row_filter == NULL ? pstrdup(filter) :
			psprintf("(%s) AND (%s)", capture->row_filter, filter);
	return capture;
}

static bool
has_mask(const OutboxCapture *capture, char *column)
{
	JsonbValue	key;

	if (capture->masks == NULL)
		return false;
	key.type = jbvString;
	key.val.string.val = column;
	key.val.string.len = strlen(column);
	return findJsonbValueFromContainer(&capture->masks->root, JB_FOBJECT,
									   &key) != NULL;
}

static bool
names_column(List *names, const char *column)
{
	ListCell   *lc;

	foreach(lc, names)
	{
		if (strcmp(lfirst(lc), column) == 0)
			return true;
	}
	return false;
}

/*
 * Whether messages with equal keys are about the same row, and say all of it:
 * their key has the columns that identify one, as they are, and no image lacks
 * a column.
 */
static bool
keys_identify(const OutboxCapture *capture, Relation rel)
{
	List	   *names = outbox_rowcodec_key_columns(capture, rel);
	Bitmapset  *columns = outbox_keyset_columns(rel);
	int			attnum = -1;

	if (columns == NULL || outbox_capture_partial(capture))
		return false;
	while ((attnum = bms_next_member(columns, attnum)) >= 0)
	{
		char	   *name = NameStr(TupleDescAttr(RelationGetDescr(rel),
												 attnum - 1)->attname);

		if (!names_column(names, name) || has_mask(capture, name))
			return false;
	}
	return true;
}

/* ---- reading ----------------------------------------------------------- */

static void
take_row(void *arg, OutboxWalMessage *msg)
{
	OutboxRowSink    *sink = arg;
	OutboxChunkRow row = {.msg = *msg};

	row.cursor = sink->cursor->data;
	row.cursor_len = sink->cursor->len;
	outbox_chunk_put_row(sink->rows, &row);
	sink->nrows++;
}

static int
xid_order(const void *a, const void *b)
{
	TransactionId left = *(const TransactionId *) a;
	TransactionId right = *(const TransactionId *) b;

	return left < right ? -1 : left > right;
}

void
outbox_read_describe(Snapshot snapshot, OutboxSeen *seen)
{
	seen->xmin = snapshot->xmin;
	seen->xmax = snapshot->xmax;
	seen->nxip = snapshot->xcnt;
	seen->xip = palloc((snapshot->xcnt + 1) * sizeof(TransactionId));
	memcpy(seen->xip, snapshot->xip, snapshot->xcnt * sizeof(TransactionId));
	qsort(seen->xip, seen->nxip, sizeof(TransactionId), xid_order);
}

XLogRecPtr
outbox_read_barrier(void)
{
	return outbox_compat_log_barrier(BARRIER_PREFIX);
}

void
outbox_read_encode(OutboxRowCodec *codec, TupleTableSlot *slot, OutboxRowSink *sink)
{
	OutboxChange change = {.op = OUTBOX_OP_READ};
	bool		should_free;

	change.after = ExecFetchSlotHeapTuple(slot, true, &should_free);
	outbox_rowcodec_change(codec, &change, take_row, sink);
	if (should_free)
		heap_freetuple(change.after);
}

/* Rows of one table behind the cursor.  True: that was the last. */
static bool
read_rows(Relation rel, OutboxRowCodec *codec, Snapshot snapshot,
		  const OutboxChunkRequest *request, const char *from, int32 from_len,
		  OutboxRowSink *sink, StringInfo cursor)
{
	OutboxKeyset *keyset = outbox_keyset_begin(rel, snapshot, from, from_len);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	MemoryContext per_row = AllocSetContextCreate(CurrentMemoryContext,
												  "outbox snapshot row",
												  ALLOCSET_DEFAULT_SIZES);
	uint64		limit = (uint64) request->max_rows * SCAN_FACTOR;
	bool		more = true;

	for (uint64 scanned = 0; sink->nrows < request->max_rows &&
		 scanned < limit && sink->rows->len < OUTBOX_CHUNK_BYTES; scanned++)
	{
		MemoryContext old;

		/* A scan keeps things between rows. */
		more = outbox_keyset_next(keyset, slot);
		if (!more)
			break;
		old = MemoryContextSwitchTo(per_row);
		resetStringInfo(cursor);
		outbox_put_u32(cursor, RelationGetRelid(rel));
		outbox_keyset_put_cursor(keyset, slot, cursor);
		outbox_read_encode(codec, slot, sink);
		MemoryContextSwitchTo(old);
		MemoryContextReset(per_row);
	}
	MemoryContextDelete(per_row);
	ExecDropSingleTupleTableSlot(slot);
	outbox_keyset_end(keyset);
	return !more;
}

/* Steps 3 to 5. */
static void
read_leaf(Relation leaf, const OutboxCapture *capture, List *leaves,
		  const OutboxChunkRequest *request, OutboxChunkHead *head,
		  StringInfo rows)
{
	OutboxRowCodec *codec = outbox_rowcodec_make(capture, leaf);
	StringInfoData cursor;
	OutboxRowSink		sink = {rows, 0, &cursor};
	const char *from = NULL;
	int32		from_len = 0;
	Snapshot	snapshot;
	Oid			next;

	initStringInfo(&cursor);
	outbox_put_u32(&cursor, RelationGetRelid(leaf));
	if (request->cursor_len > (int32) sizeof(uint32))
	{
		OutboxCursor c;

		outbox_cursor_init(&c, request->cursor, request->cursor_len);
		if (outbox_get_u32(&c) == RelationGetRelid(leaf))
		{
			from = (const char *) c.p;
			from_len = (int32) outbox_cursor_left(&c);
			resetStringInfo(&cursor);
			appendBinaryStringInfo(&cursor, request->cursor,
								   request->cursor_len);
		}
	}

	snapshot = RegisterSnapshot(GetLatestSnapshot());
	PushActiveSnapshot(snapshot);
	outbox_read_describe(snapshot, &head->seen);
	head->read_at = GetCurrentTimestamp();
	head->until = outbox_read_barrier();

	if (read_rows(leaf, codec, snapshot, request, from, from_len, &sink,
				  &cursor))
	{
		next = leaf_from(leaves, RelationGetRelid(leaf) + 1);
		head->finished = !OidIsValid(next);
		if (!head->finished)
		{
			resetStringInfo(&cursor);
			outbox_put_u32(&cursor, next);
		}
	}
	PopActiveSnapshot();
	UnregisterSnapshot(snapshot);
	head->nrows = sink.nrows;
	head->cursor = cursor.data;
	head->cursor_len = cursor.len;
}

/* A partitioned table without partitions, or none left. */
static void
read_nothing(OutboxChunkHead *head)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());

	outbox_read_describe(snapshot, &head->seen);
	head->read_at = GetCurrentTimestamp();
	head->until = outbox_read_barrier();
	head->identity = true;
	head->finished = true;
	UnregisterSnapshot(snapshot);
}

/* As of the cursor: the rest of the table that it names, or of the next one. */
static void
read_by_key(const OutboxChunkRequest *request, List *leaves,
			OutboxChunkHead *head, StringInfo rows)
{
	OutboxCursor c;
	Oid			table;
	OutboxCapture *capture;
	Relation	leaf;

	outbox_cursor_init(&c, request->cursor, Max(request->cursor_len, 0));
	table = leaf_from(leaves, request->cursor_len > 0 ? outbox_get_u32(&c) : 0);
	leaf = OidIsValid(table) ? outbox_read_open(table) : NULL;
	capture = outbox_read_capture(leaf != NULL ? table : request->relation,
								  request->filter, &head->capture_stamp);
	if (leaf == NULL)
		read_nothing(head);
	else
	{
		head->table = table;
		head->table_stamp = outbox_stamp_table(table);
		head->identity = keys_identify(capture, leaf);
		read_leaf(leaf, capture, leaves, request, head, rows);
		table_close(leaf, AccessShareLock);
	}
}

void
outbox_read_chunk(const OutboxChunkRequest *request, OutboxChunkHead *head,
				  StringInfo rows)
{
	Relation	root = outbox_read_open(request->relation);
	List	   *leaves = list_leaves(root);
	Oid			user;
	int			context;

	memset(head, 0, sizeof(*head));
	head->number = request->number;
	if (request->cursor_len <= 0)
		head->estimate = estimate_rows(leaves);

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(root->rd_rel->relowner,
						   context | SECURITY_RESTRICTED_OPERATION);
	if (request->cursor_len > 0 ?
		outbox_pass_of_cursor(request->cursor, request->cursor_len) > 0 :
		lacks_key(leaves))
		outbox_pass_read(request, leaves, head, rows);
	else
		read_by_key(request, leaves, head, rows);
	SetUserIdAndSecContext(user, context);
	table_close(root, AccessShareLock);
}
