/*-------------------------------------------------------------------------
 *
 * rows.c
 *		Rows of outbox.log, read in the order of their places.
 *
 * Owns no state, checks no privilege.  The caller is in a transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/catalog.h"
#include "eventlog/rows.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/pg_lsn.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

void
outbox_log_scan_begin(OutboxLogScan *s, const char *index, Snapshot snapshot,
					  int nkeys, ScanKey key)
{
	s->rel = table_open(outbox_catalog_relation(OUTBOX_LOG_TABLE), AccessShareLock);
	s->index = index_open(get_relname_relid(index, RelationGetNamespace(s->rel)),
						  AccessShareLock);
	s->scan = systable_beginscan_ordered(s->rel, s->index, snapshot, nkeys, key);
}

void
outbox_log_scan_end(OutboxLogScan *s)
{
	systable_endscan_ordered(s->scan);
	index_close(s->index, AccessShareLock);
	table_close(s->rel, AccessShareLock);
}

static Datum
attr(const OutboxLogScan *s, HeapTuple tuple, int attnum, bool *isnull)
{
	return heap_getattr(tuple, attnum, RelationGetDescr(s->rel), isnull);
}

static int64
int8_attr(const OutboxLogScan *s, HeapTuple tuple, int attnum)
{
	bool		isnull;
	Datum		value = attr(s, tuple, attnum, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

static uint32
int4_attr(const OutboxLogScan *s, HeapTuple tuple, int attnum)
{
	bool		isnull;

	return (uint32) DatumGetInt32(attr(s, tuple, attnum, &isnull));
}

/* LSNs and times are 64 bit integers by value, too. */
static void
read_row(const OutboxLogScan *s, HeapTuple tuple, OutboxLogRow *row)
{
	memset(row, 0, sizeof(*row));
	row->id = int8_attr(s, tuple, Anum_log_id);
	row->from.lsn = (XLogRecPtr) int8_attr(s, tuple, Anum_log_from_lsn);
	row->from.part = (uint64) int8_attr(s, tuple, Anum_log_from_part);
	row->to.lsn = (XLogRecPtr) int8_attr(s, tuple, Anum_log_to_lsn);
	row->to.part = (uint64) int8_attr(s, tuple, Anum_log_to_part);
	row->restart = (XLogRecPtr) int8_attr(s, tuple, Anum_log_restart_lsn);
	row->commit_start = (XLogRecPtr) int8_attr(s, tuple, Anum_log_commit_lsn);
	row->commit_crc = (uint32) int8_attr(s, tuple, Anum_log_commit_crc);
	row->first_commit = int8_attr(s, tuple, Anum_log_first_commit);
	row->last_commit = int8_attr(s, tuple, Anum_log_last_commit);
	row->transactions = int4_attr(s, tuple, Anum_log_transactions);
	row->events = int4_attr(s, tuple, Anum_log_events);
	row->left_out = (uint64) int8_attr(s, tuple, Anum_log_left_out);
	row->raw_bytes = int4_attr(s, tuple, Anum_log_raw_bytes);
	row->expires_at = int8_attr(s, tuple, Anum_log_expires_at);
}

HeapTuple
outbox_log_scan_next(OutboxLogScan *s, OutboxLogRow *row)
{
	HeapTuple	tuple = systable_getnext_ordered(s->scan,
												 ForwardScanDirection);

	if (HeapTupleIsValid(tuple))
		read_row(s, tuple, row);
	return tuple;
}

bytea *
outbox_log_scan_body(OutboxLogScan *s, HeapTuple tuple)
{
	bool		isnull;

	return DatumGetByteaPCopy(attr(s, tuple, Anum_log_body, &isnull));
}

bool
outbox_log_last(OutboxLogRow *row)
{
	OutboxLogScan s;
	HeapTuple	tuple;

	outbox_log_scan_begin(&s, OUTBOX_LOG_ID_INDEX, NULL, 0, NULL);
	tuple = systable_getnext_ordered(s.scan, BackwardScanDirection);
	if (HeapTupleIsValid(tuple))
		read_row(&s, tuple, row);
	outbox_log_scan_end(&s);
	return HeapTupleIsValid(tuple);
}

/* Rows of one end have rising ids, and come in the order they were added. */
static void
begin_at(OutboxLogScan *s, XLogRecPtr lsn)
{
	ScanKeyData key;

	ScanKeyInit(&key, Anum_log_to_lsn, BTGreaterEqualStrategyNumber, F_PG_LSN_GE,
				LSNGetDatum(lsn));
	outbox_log_scan_begin(s, OUTBOX_LOG_PLACE_INDEX, NULL, 1, &key);
}

void
outbox_log_visit(XLogRecPtr lsn, OutboxLogVisit visit, void *arg)
{
	OutboxLogScan s;
	OutboxLogRow row;

	begin_at(&s, lsn);
	while (outbox_log_scan_next(&s, &row) != NULL && visit(arg, &row))
		CHECK_FOR_INTERRUPTS();
	outbox_log_scan_end(&s);
}

static bool
is_behind(const OutboxLogPlace *a, const OutboxLogPlace *b)
{
	return a->lsn > b->lsn || (a->lsn == b->lsn && a->part > b->part);
}

bool
outbox_log_read(const OutboxLogPlace *place, OutboxLogRow *row, bytea **body)
{
	OutboxLogScan s;
	HeapTuple	tuple;

	PushActiveSnapshot(GetTransactionSnapshot());	/* for large values */
	begin_at(&s, place->lsn);
	while ((tuple = outbox_log_scan_next(&s, row)) != NULL &&
		   !is_behind(&row->to, place))
		CHECK_FOR_INTERRUPTS();
	if (tuple != NULL)
		*body = outbox_log_scan_body(&s, tuple);
	outbox_log_scan_end(&s);
	PopActiveSnapshot();
	return HeapTupleIsValid(tuple);
}
