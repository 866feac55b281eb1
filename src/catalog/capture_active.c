/*-------------------------------------------------------------------------
 *
 * capture_active.c
 *		From where on captures with mode log are active: set by the relay.
 *
 * Owns no state.  What the decoder makes of a row does not depend on this
 * column, so nobody's cache needs to hear of it; it is for people, and for
 * snapshots, which must not begin before.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/capture_active.h"
#include "catalog/catalog.h"
#include "catalog/indexing.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"

typedef struct Columns
{
	AttrNumber	mode;
	AttrNumber	active_from;
} Columns;

static void
find_columns(Oid relid, Columns *columns)
{
	columns->mode = get_attnum(relid, "mode");
	columns->active_from = get_attnum(relid, "active_from");
}

static bool
is_log(OutboxCatalogScan *scan, HeapTuple tuple, const Columns *columns)
{
	return strcmp(outbox_catalog_text(scan, tuple, columns->mode), "log") == 0;
}

int
outbox_capture_count_log(int *pending)
{
	OutboxCatalogScan scan;
	Columns		columns;
	HeapTuple	tuple;
	int			count = 0;

	*pending = 0;
	outbox_catalog_scan_begin(&scan, "capture_def", NULL, 0, NULL);
	find_columns(RelationGetRelid(scan.rel), &columns);
	while (HeapTupleIsValid(tuple = outbox_catalog_scan_next(&scan)))
	{
		bool		isnull;

		if (!is_log(&scan, tuple, &columns))
			continue;
		count++;
		(void) outbox_catalog_attr(&scan, tuple, columns.active_from, &isnull);
		*pending += isnull;
	}
	outbox_catalog_scan_end(&scan);
	return count;
}

void
outbox_capture_activate(XLogRecPtr from, bool all)
{
	OutboxCatalogScan scan;
	Columns		columns;
	HeapTuple	tuple;

	outbox_catalog_scan_begin(&scan, "capture_def", NULL, 0, NULL);
	LockRelationOid(RelationGetRelid(scan.rel), RowExclusiveLock);
	find_columns(RelationGetRelid(scan.rel), &columns);
	while (HeapTupleIsValid(tuple = outbox_catalog_scan_next(&scan)))
	{
		int			natts = RelationGetNumberOfAttributes(scan.rel);
		Datum	   *values = palloc0(natts * sizeof(Datum));
		bool	   *nulls = palloc0(natts * sizeof(bool));
		bool	   *replace = palloc0(natts * sizeof(bool));
		bool		isnull;

		(void) outbox_catalog_attr(&scan, tuple, columns.active_from, &isnull);
		if (!is_log(&scan, tuple, &columns) || (!isnull && !all))
			continue;
		values[columns.active_from - 1] = LSNGetDatum(from);
		nulls[columns.active_from - 1] = from == InvalidXLogRecPtr;
		replace[columns.active_from - 1] = true;
		tuple = heap_modify_tuple(tuple, RelationGetDescr(scan.rel), values,
								  nulls, replace);
		CatalogTupleUpdate(scan.rel, &tuple->t_self, tuple);
	}
	outbox_catalog_scan_end(&scan);
}
