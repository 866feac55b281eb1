/*-------------------------------------------------------------------------
 *
 * gap.c
 *		Rows of outbox.gap: commits that were given up.
 *
 * Owns no state.  Written by the relay alone, without SQL, in the transaction
 * that says that an adoption was carried out.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/indexing.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"

/* Columns, in the order of catalog.sql. */
enum
{
	Anum_gap_from_lsn = 1,
	Anum_gap_to_lsn,
	Anum_gap_noted_at,
	Natts_gap = Anum_gap_noted_at
};

void
outbox_catalog_note_gap(XLogRecPtr from, XLogRecPtr to)
{
	Relation	rel = table_open(outbox_catalog_relation("gap"),
								 RowExclusiveLock);
	Datum		values[Natts_gap];
	bool		nulls[Natts_gap] = {0};

	values[Anum_gap_from_lsn - 1] = LSNGetDatum(from);
	values[Anum_gap_to_lsn - 1] = LSNGetDatum(to);
	values[Anum_gap_noted_at - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
	CatalogTupleInsert(rel, heap_form_tuple(RelationGetDescr(rel), values,
											nulls));
	table_close(rel, NoLock);	/* to the end of the transaction */
}
