/*-------------------------------------------------------------------------
 *
 * registry_id.c
 *		What the relay tells an external schema registry, and what it was
 *		told: outbox.schema and outbox.registry_id.
 *
 * Owns no state.  Rows of outbox.registry_id are added by the relay alone, one
 * process per database, and never changed: an id that events carry is for
 * ever.  Written without SQL, so that nothing of the database's runs in the
 * relay; the primary key still holds against whoever else inserts (then the
 * relay's transaction fails and is tried again).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/indexing.h"
#include "catalog/registry_id.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

/* Columns, in the order of catalog.sql. */
enum
{
	Anum_schema_id = 1,
	Anum_schema_definition = 2,
	Anum_schema_refs = 4,
	Anum_schema_resolved = 5,
	Anum_registry_id_registry = 1,
	Anum_registry_id_subject = 2,
	Anum_registry_id_schema_id = 3,
	Anum_registry_id_external_id = 4,
	Anum_registry_id_registered_at = 5,
	Natts_registry_id = 5
};

static char *
to_utf8(char *text)
{
	return text == NULL ? NULL :
		pg_server_to_any(text, strlen(text), PG_UTF8);
}

bool
outbox_schema_texts(uint32 id, OutboxSchemaTexts *texts)
{
	OutboxCatalogScan scan;
	ScanKeyData key;
	HeapTuple	tuple;

	memset(texts, 0, sizeof(*texts));
	ScanKeyInit(&key, Anum_schema_id, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum((int32) id));
	outbox_catalog_scan_begin(&scan, "schema", "schema_pkey", 1, &key);
	tuple = outbox_catalog_scan_next(&scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		Datum		refs = outbox_catalog_attr(&scan, tuple, Anum_schema_refs,
											   &isnull);

		if (!isnull)
			texts->references =
				to_utf8(DatumGetCString(DirectFunctionCall1(jsonb_out, refs)));
		texts->definition =
			to_utf8(outbox_catalog_text(&scan, tuple, Anum_schema_definition));
		texts->resolved =
			to_utf8(outbox_catalog_text(&scan, tuple, Anum_schema_resolved));
	}
	outbox_catalog_scan_end(&scan);
	return texts->definition != NULL;
}

uint32
outbox_registry_id_find(const char *registry, const char *subject,
						uint32 schema_id)
{
	OutboxCatalogScan scan;
	ScanKeyData keys[3];
	HeapTuple	tuple;
	uint32		id = 0;

	ScanKeyInit(&keys[0], Anum_registry_id_registry, BTEqualStrategyNumber,
				F_TEXTEQ, CStringGetTextDatum(registry));
	ScanKeyInit(&keys[1], Anum_registry_id_subject, BTEqualStrategyNumber,
				F_TEXTEQ, CStringGetTextDatum(subject));
	ScanKeyInit(&keys[2], Anum_registry_id_schema_id, BTEqualStrategyNumber,
				F_INT4EQ, Int32GetDatum((int32) schema_id));
	outbox_catalog_scan_begin(&scan, "registry_id", "registry_id_pkey",
							  lengthof(keys), keys);
	tuple = outbox_catalog_scan_next(&scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;

		id = DatumGetInt32(outbox_catalog_attr(&scan, tuple,
											   Anum_registry_id_external_id,
											   &isnull));
	}
	outbox_catalog_scan_end(&scan);
	return id;
}

uint32
outbox_registry_id_keep(const char *registry, const char *subject,
						uint32 schema_id, uint32 external_id)
{
	Relation	rel = table_open(outbox_catalog_relation("registry_id"),
								 RowExclusiveLock);
	uint32		id = outbox_registry_id_find(registry, subject, schema_id);

	if (id == 0)
	{
		Datum		values[Natts_registry_id];
		bool		nulls[Natts_registry_id] = {0};

		values[Anum_registry_id_registry - 1] = CStringGetTextDatum(registry);
		values[Anum_registry_id_subject - 1] = CStringGetTextDatum(subject);
		values[Anum_registry_id_schema_id - 1] = Int32GetDatum((int32) schema_id);
		values[Anum_registry_id_external_id - 1] = Int32GetDatum((int32) external_id);
		values[Anum_registry_id_registered_at - 1] =
			TimestampTzGetDatum(GetCurrentTimestamp());
		CatalogTupleInsert(rel, heap_form_tuple(RelationGetDescr(rel), values,
												nulls));
		id = external_id;
	}
	table_close(rel, NoLock);	/* to the end of the transaction */
	return id;
}
