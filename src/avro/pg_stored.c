/*-------------------------------------------------------------------------
 *
 * pg_stored.c
 *		The text of a schema by its id, from table outbox.schema.
 *
 * For decode(framed) alone; it stands here because avro/ lies below catalog/,
 * which has the typed reads for everybody else.  Columns are found by name.
 * Like those reads it checks no privilege (a schema is what every consumer of
 * the topic sees) and uses the catalog snapshot.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "avro/pg_model.h"
#include "catalog/namespace.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

char *
avro_stored_schema(uint32 id)
{
	Oid			nsp = get_namespace_oid("outbox", false);
	Oid			relid = get_relname_relid("schema", nsp);
	Relation	rel;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	char	   *definition = NULL;

	if (id > PG_INT32_MAX || !OidIsValid(relid))
		return NULL;
	rel = table_open(relid, AccessShareLock);
	ScanKeyInit(&key, get_attnum(relid, "id"), BTEqualStrategyNumber,
				F_INT4EQ, Int32GetDatum((int32) id));
	scan = systable_beginscan(rel, get_relname_relid("schema_pkey", nsp), true,
							  NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, get_attnum(relid, "resolved"),
										 RelationGetDescr(rel), &isnull);

		/* null: it refers to no other schema */
		if (isnull)
			value = heap_getattr(tuple, get_attnum(relid, "definition"),
								 RelationGetDescr(rel), &isnull);
		if (!isnull)
			definition = TextDatumGetCString(value);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return definition;
}
