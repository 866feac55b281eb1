/*-------------------------------------------------------------------------
 *
 * parked_copy.c
 *		Rows of outbox.parked_event, as the dead-letter topic is told of them.
 *
 * Owns no state.  In a transaction of the caller, who is the relay.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/indexing.h"
#include "catalog/parked.h"
#include "catalog/parked_columns.h"
#include "utils/fmgroids.h"
#include "utils/pg_lsn.h"
#include "utils/snapmgr.h"

/* The row of a place; the caller ends the scan. */
static HeapTuple
find(OutboxCatalogScan *scan, const OutboxParkedPlace *place)
{
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], Anum_parked_commit_lsn, BTEqualStrategyNumber,
				F_PG_LSN_EQ, LSNGetDatum(place->commit_end));
	ScanKeyInit(&keys[1], Anum_parked_ordinal, BTEqualStrategyNumber,
				F_INT8EQ, Int64GetDatum((int64) place->ordinal));
	outbox_catalog_scan_begin(scan, OUTBOX_PARKED_TABLE,
							  OUTBOX_PARKED_PLACE_INDEX, lengthof(keys), keys);
	return outbox_catalog_scan_next(scan);
}

bool
outbox_parked_story(const OutboxParkedPlace *place, OutboxParkedStory *story)
{
	OutboxCatalogScan scan;
	HeapTuple	tuple = find(&scan, place);
	bool		found = HeapTupleIsValid(tuple);
	bool		isnull;
	Datum		value;

	memset(story, 0, sizeof(*story));
	if (found)
	{
		story->id = DatumGetInt64(outbox_catalog_attr(&scan, tuple,
													  Anum_parked_id, &isnull));
		value = outbox_catalog_attr(&scan, tuple, Anum_parked_blocked_by,
									&isnull);
		story->blocked_by = isnull ? 0 : DatumGetInt64(value);
		story->reason = outbox_catalog_text(&scan, tuple, Anum_parked_reason);
		value = outbox_catalog_attr(&scan, tuple, Anum_parked_code, &isnull);
		story->code = isnull ? 0 : DatumGetInt32(value);
		story->reduced =
			DatumGetBool(outbox_catalog_attr(&scan, tuple,
											 Anum_parked_copy_reduced,
											 &isnull));
	}
	outbox_catalog_scan_end(&scan);
	return found;
}

/* Who holds the row is waited for, but not for long: see the lock timeout. */
void
outbox_parked_reduce_copy(const OutboxParkedPlace *place)
{
	Relation	rel = table_open(outbox_catalog_relation(OUTBOX_PARKED_TABLE),
								 RowExclusiveLock);
	OutboxCatalogScan scan;
	HeapTuple	tuple = find(&scan, place);

	if (HeapTupleIsValid(tuple))
	{
		Datum		values[Natts_parked] = {0};
		bool		nulls[Natts_parked] = {0};
		bool		replace[Natts_parked] = {0};

		values[Anum_parked_copy_reduced - 1] = BoolGetDatum(true);
		replace[Anum_parked_copy_reduced - 1] = true;
		tuple = heap_modify_tuple(tuple, RelationGetDescr(rel), values, nulls,
								  replace);
		PushActiveSnapshot(GetTransactionSnapshot());
		CatalogTupleUpdate(rel, &tuple->t_self, tuple);
		PopActiveSnapshot();
	}
	outbox_catalog_scan_end(&scan);
	table_close(rel, NoLock);
}
