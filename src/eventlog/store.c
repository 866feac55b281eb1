/*-------------------------------------------------------------------------
 *
 * store.c
 *		Rows of outbox.log: add them, drop what has expired.
 *
 * Owns no state.  Rows are written by the log writer alone, one process per
 * database, without SQL, so that nothing of the database's runs in it; no
 * constraint is checked but the unique ones.  A row is never changed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/indexing.h"
#include "catalog/pg_type.h"
#include "eventlog/rows.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/pg_lsn.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* Columns of outbox.log_dropped, in the order of catalog.sql. */
enum
{
	Anum_dropped_route_id = 1,
	Anum_dropped_to_lsn,
	Anum_dropped_last_commit,
	Natts_dropped = Anum_dropped_last_commit
};

#define DROPPED_TABLE "log_dropped"
#define DROPPED_INDEX "log_dropped_pkey"

static Datum
int_array(const OutboxLogRow *row, uint32 (*get) (const OutboxLogCount *count))
{
	Datum	   *elements = palloc((row->ncounts + 1) * sizeof(Datum));

	for (int i = 0; i < row->ncounts; i++)
		elements[i] = Int32GetDatum((int32) get(&row->counts[i]));
	return PointerGetDatum(construct_array(elements, row->ncounts, INT4OID,
										   sizeof(int32), true, TYPALIGN_INT));
}

static uint32
get_route(const OutboxLogCount *count)
{
	return count->route_id;
}

static uint32
get_events(const OutboxLogCount *count)
{
	return count->events;
}

static uint32
get_bytes(const OutboxLogCount *count)
{
	return count->bytes;
}

static HeapTuple
form_row(Relation rel, const OutboxLogRow *row, const StringInfoData *body)
{
	Datum		values[Natts_log];
	bool		nulls[Natts_log] = {0};
	bytea	   *bytes = palloc(VARHDRSZ + body->len);

	SET_VARSIZE(bytes, VARHDRSZ + body->len);
	memcpy(VARDATA(bytes), body->data, body->len);
	values[Anum_log_id - 1] = Int64GetDatum(row->id);
	values[Anum_log_from_lsn - 1] = LSNGetDatum(row->from.lsn);
	values[Anum_log_from_part - 1] = Int64GetDatum((int64) row->from.part);
	values[Anum_log_to_lsn - 1] = LSNGetDatum(row->to.lsn);
	values[Anum_log_to_part - 1] = Int64GetDatum((int64) row->to.part);
	values[Anum_log_restart_lsn - 1] = LSNGetDatum(row->restart);
	values[Anum_log_commit_lsn - 1] = LSNGetDatum(row->commit_start);
	values[Anum_log_commit_crc - 1] = Int64GetDatum((int64) row->commit_crc);
	nulls[Anum_log_commit_lsn - 1] = nulls[Anum_log_commit_crc - 1] =
		row->commit_start == InvalidXLogRecPtr;
	values[Anum_log_first_commit - 1] = TimestampTzGetDatum(row->first_commit);
	values[Anum_log_last_commit - 1] = TimestampTzGetDatum(row->last_commit);
	nulls[Anum_log_first_commit - 1] = nulls[Anum_log_last_commit - 1] =
		row->first_commit == 0;
	values[Anum_log_transactions - 1] = Int32GetDatum((int32) row->transactions);
	values[Anum_log_events - 1] = Int32GetDatum((int32) row->events);
	values[Anum_log_left_out - 1] = Int64GetDatum((int64) row->left_out);
	values[Anum_log_raw_bytes - 1] = Int32GetDatum(body->len);
	values[Anum_log_routes - 1] = int_array(row, get_route);
	values[Anum_log_route_events - 1] = int_array(row, get_events);
	values[Anum_log_route_bytes - 1] = int_array(row, get_bytes);
	values[Anum_log_expires_at - 1] = TimestampTzGetDatum(row->expires_at);
	values[Anum_log_written_at - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[Anum_log_body - 1] = PointerGetDatum(bytes);
	return heap_form_tuple(RelationGetDescr(rel), values, nulls);
}

static void
delete_row(Relation rel, int64 id)
{
	Relation	index = index_open(get_relname_relid(OUTBOX_LOG_ID_INDEX,
													 RelationGetNamespace(rel)),
								   AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_log_id, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));
	scan = systable_beginscan_ordered(rel, index, NULL, 1, &key);
	tuple = systable_getnext_ordered(scan, ForwardScanDirection);
	if (HeapTupleIsValid(tuple))
		CatalogTupleDelete(rel, &tuple->t_self);
	systable_endscan_ordered(scan);
	index_close(index, AccessShareLock);
}

void
outbox_log_insert(const OutboxLogRow *row, const StringInfoData *body,
				  bool replaces_last)
{
	Relation	rel = table_open(outbox_catalog_relation(OUTBOX_LOG_TABLE),
								 RowExclusiveLock);

	PushActiveSnapshot(GetTransactionSnapshot());	/* for large values */
	if (replaces_last)
		delete_row(rel, row->id - 1);
	CatalogTupleInsert(rel, form_row(rel, row, body));
	PopActiveSnapshot();
	table_close(rel, NoLock);	/* to the end of the transaction */
}

/* ---- retention -------------------------------------------------------- */

static bool
is_newer(Relation rel, HeapTuple dropped, XLogRecPtr lsn)
{
	bool		isnull;

	return DatumGetLSN(heap_getattr(dropped, Anum_dropped_to_lsn,
									RelationGetDescr(rel), &isnull)) >= lsn;
}

static void
note_dropped(Relation rel, uint32 route_id, const OutboxLogRow *row)
{
	Relation	index = index_open(get_relname_relid(DROPPED_INDEX,
													 RelationGetNamespace(rel)),
								   AccessShareLock);
	Datum		values[Natts_dropped];
	bool		nulls[Natts_dropped] = {0};
	bool		replaces[Natts_dropped] = {false, true, true};
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	old;

	values[Anum_dropped_route_id - 1] = Int32GetDatum((int32) route_id);
	values[Anum_dropped_to_lsn - 1] = LSNGetDatum(row->to.lsn);
	values[Anum_dropped_last_commit - 1] = TimestampTzGetDatum(row->last_commit);
	ScanKeyInit(&key, Anum_dropped_route_id, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum((int32) route_id));
	scan = systable_beginscan_ordered(rel, index, NULL, 1, &key);
	old = systable_getnext_ordered(scan, ForwardScanDirection);
	if (HeapTupleIsValid(old) && is_newer(rel, old, row->to.lsn))
		;						/* nothing new */
	else if (HeapTupleIsValid(old))
	{
		HeapTuple	new = heap_modify_tuple(old, RelationGetDescr(rel), values,
											nulls, replaces);

		CatalogTupleUpdate(rel, &old->t_self, new);
	}
	else
		CatalogTupleInsert(rel, heap_form_tuple(RelationGetDescr(rel), values,
												nulls));
	systable_endscan_ordered(scan);
	index_close(index, AccessShareLock);
}

/* How far the events of one route go in what is being dropped. */
typedef struct Dropped
{
	uint32		route_id;		/* hash key */
	OutboxLogRow row;			/* the last one with any */
} Dropped;

static void
collect_routes(HTAB *dropped, OutboxLogScan *s, HeapTuple tuple,
			   const OutboxLogRow *row)
{
	bool		isnull;
	ArrayType  *routes = DatumGetArrayTypeP(heap_getattr(tuple, Anum_log_routes,
														RelationGetDescr(s->rel),
														&isnull));
	int			n = ArrayGetNItems(ARR_NDIM(routes), ARR_DIMS(routes));
	int32	   *ids = (int32 *) ARR_DATA_PTR(routes);

	for (int i = 0; i < n; i++)
	{
		bool		found;
		Dropped    *d = hash_search(dropped, &ids[i], HASH_ENTER, &found);

		if (!found || row->to.lsn > d->row.to.lsn)
			d->row = *row;
	}
}

static void
note_all_dropped(HTAB *dropped)
{
	Relation	rel = table_open(outbox_catalog_relation(DROPPED_TABLE),
								 RowExclusiveLock);
	HASH_SEQ_STATUS seq;
	Dropped    *d;

	hash_seq_init(&seq, dropped);
	while ((d = hash_seq_search(&seq)) != NULL)
		note_dropped(rel, d->route_id, &d->row);
	hash_destroy(dropped);
	table_close(rel, NoLock);
}

static HTAB *
create_dropped(void)
{
	HASHCTL		ctl;

	memset(&ctl, 0, sizeof(ctl));
	ctl.keysize = sizeof(uint32);
	ctl.entrysize = sizeof(Dropped);
	ctl.hcxt = CurrentMemoryContext;
	return hash_create("outbox dropped routes", 16, &ctl,
					   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/*
 * A transaction that is cut by the end of a row may go on being published from
 * its beginning: its first part stays, too.
 */
static bool
is_published(const OutboxLogRow *row, XLogRecPtr published)
{
	return row->to.lsn < published ||
		(row->to.lsn == published && row->to.part == 0);
}

int
outbox_log_expire(XLogRecPtr published, int64 keep, int max)
{
	OutboxLogScan s;
	ScanKeyData key;
	HTAB	   *dropped = create_dropped();
	HeapTuple	tuple;
	OutboxLogRow row;
	int			n = 0;

	ScanKeyInit(&key, Anum_log_expires_at, BTLessStrategyNumber, F_TIMESTAMPTZ_LT,
				TimestampTzGetDatum(GetCurrentTimestamp()));
	LockRelationOid(outbox_catalog_relation(OUTBOX_LOG_TABLE), RowExclusiveLock);
	PushActiveSnapshot(GetTransactionSnapshot());	/* for large values */
	outbox_log_scan_begin(&s, OUTBOX_LOG_EXPIRY_INDEX, NULL, 1, &key);
	while (n < max && (tuple = outbox_log_scan_next(&s, &row)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (row.id == keep || !is_published(&row, published))
			continue;
		collect_routes(dropped, &s, tuple, &row);
		CatalogTupleDelete(s.rel, &tuple->t_self);
		n++;
	}
	outbox_log_scan_end(&s);
	note_all_dropped(dropped);
	PopActiveSnapshot();
	return n;
}
