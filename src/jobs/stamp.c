/*-------------------------------------------------------------------------
 *
 * stamp.c
 *		A number that changes whenever a definition does.
 *
 * Made of the transactions that wrote a table's rows in pg_class and
 * pg_attribute, or a capture's row: DDL, TRUNCATE and rewrites give a table
 * another one.  So do a few harmless statements (GRANT), which costs a chunk
 * read again and nothing else.
 *
 * Read from the tables themselves, never from a cache: invalidations of a
 * commit arrive after everybody can see it, and a stamp that is behind would
 * be worse than none.
 *
 * Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/indexing.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "common/hashfn.h"
#include "jobs/stamp.h"
#include "utils/fmgroids.h"

#define CAPTURE_TABLE "capture_def"
#define CAPTURE_INDEX "capture_def_relation_key"
#define Anum_capture_def_relation 2

static uint64
mix(uint64 stamp, HeapTuple tuple)
{
	return hash_bytes_uint32_extended(HeapTupleHeaderGetRawXmin(tuple->t_data),
									  stamp) | 1;
}

static uint64
mix_rows(uint64 stamp, Oid catalog, Oid index, AttrNumber column, Oid relation)
{
	Relation	rel = table_open(catalog, AccessShareLock);
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;

	ScanKeyInit(&key, column, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relation));
	scan = systable_beginscan(rel, index, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		stamp = mix(stamp, tuple);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return stamp;
}

uint64
outbox_stamp_table(Oid relation)
{
	uint64		stamp = mix_rows(0, RelationRelationId, ClassOidIndexId,
								 Anum_pg_class_oid, relation);

	if (stamp == 0)
		return 0;
	return mix_rows(stamp, AttributeRelationId, AttributeRelidNumIndexId,
					Anum_pg_attribute_attrelid, relation);
}

uint64
outbox_stamp_capture(Oid relation)
{
	OutboxCatalogScan scan;
	ScanKeyData key;
	HeapTuple	tuple;
	uint64		stamp = 0;

	ScanKeyInit(&key, Anum_capture_def_relation, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(relation));
	outbox_catalog_scan_begin(&scan, CAPTURE_TABLE, CAPTURE_INDEX, 1, &key);
	tuple = outbox_catalog_scan_next(&scan);
	if (HeapTupleIsValid(tuple))
		stamp = mix(0, tuple);
	outbox_catalog_scan_end(&scan);
	return stamp;
}
