/*-------------------------------------------------------------------------
 *
 * outbox_table_map.c
 *		Which column of an attached table is what.
 *
 * Owns a hash of maps by relation for the backend's lifetime, valid for one
 * catalog generation; the same scheme as event_type_cache.c (entries that
 * leave belong to the current transaction).  Because the generation says
 * nothing about the application's table, every use compares name and type of
 * the mapped columns with the relation's descriptor, and builds the map again
 * when they differ; a column that has gone is then an error.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/catalog.h"
#include "catalog/partition.h"
#include "catalog/pg_type.h"
#include "emit/outbox_table.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

/* Column numbers, in the order of catalog.sql. */
enum
{
	Anum_attached_relation = 1,
	Anum_attached_columns = 2,
	Anum_attached_headers = 3
};

const char *const outbox_column_roles[OUTBOX_COLUMN_ROLES] = {
	"id", "aggregatetype", "aggregateid", "type", "payload",
	"headers", "timestamp", "partition"
};

typedef struct MapEntry
{
	Oid			relation;		/* hash key */
	OutboxTableMap *map;
} MapEntry;

static HTAB *maps = NULL;
static uint64 maps_generation = 0;

static void
release(MapEntry *entry)
{
	MemoryContextSetParent(entry->map->context, TopTransactionContext);
	hash_search(maps, &entry->relation, HASH_REMOVE, NULL);
}

static void
prepare_cache(void)
{
	HASH_SEQ_STATUS seq;
	MapEntry   *entry;

	AcceptInvalidationMessages();
	if (maps == NULL)
	{
		HASHCTL		ctl = {
			.keysize = sizeof(Oid),
			.entrysize = sizeof(MapEntry),
			.hcxt = CacheMemoryContext
		};

		maps = hash_create("outbox tables", 16, &ctl,
						   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	if (maps_generation == outbox_catalog_generation())
		return;
	hash_seq_init(&seq, maps);
	while ((entry = hash_seq_search(&seq)) != NULL)
		release(entry);
	maps_generation = outbox_catalog_generation();
}

static void
resolve_column(OutboxTableColumn *column, Relation rel, const char *name)
{
	TupleDesc	desc = RelationGetDescr(rel);
	Oid			output;
	bool		is_varlena;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attisdropped || strcmp(NameStr(att->attname), name) != 0)
			continue;
		/* 18: a virtual column has no value in the row */
		if (att->attgenerated == 'v')
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("column \"%s\" of table \"%s\" is a virtual generated column",
							name, RelationGetRelationName(rel)),
					 errhint("Make it a stored one.")));
		column->attnum = att->attnum;
		column->type = att->atttypid;
		column->base_type = getBaseType(att->atttypid);
		column->name = att->attname;
		getTypeOutputInfo(att->atttypid, &output, &is_varlena);
		fmgr_info_cxt(output, &column->output, CurrentMemoryContext);
		return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("outbox table \"%s\" has no column \"%s\"",
					RelationGetRelationName(rel), name),
			 errhint("Detach it and attach it again with the names of its columns.")));
}

static void
resolve_header(OutboxTableHeader *header, Relation rel, const char *spec)
{
	const char *colon = strchr(spec, ':');

	if (colon == NULL)
	{
		header->name = pstrdup(spec);
		resolve_column(&header->column, rel, spec);
	}
	else
	{
		header->name = pstrdup(colon + 1);
		resolve_column(&header->column, rel, pnstrdup(spec, colon - spec));
	}
}

void
outbox_table_resolve(OutboxTableMap *map, Relation rel, Jsonb *columns,
					 List *headers)
{
	ListCell   *cell;

	for (int i = 0; i < OUTBOX_COLUMN_ROLES; i++)
	{
		const char *role = outbox_column_roles[i];
		JsonbValue	name;

		if (getKeyJsonValueFromContainer(&columns->root, role, strlen(role),
										 &name) == NULL ||
			name.type != jbvString)
			continue;
		resolve_column(&map->columns[i], rel,
					   pnstrdup(name.val.string.val, name.val.string.len));
	}
	map->headers = palloc0((list_length(headers) + 1) *
						   sizeof(OutboxTableHeader));
	foreach(cell, headers)
		resolve_header(&map->headers[map->nheaders++], rel, lfirst(cell));
}

static List *
text_array_to_list(Datum array)
{
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	List	   *list = NIL;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false,
					  TYPALIGN_INT, &elements, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		if (!nulls[i])
			list = lappend(list, TextDatumGetCString(elements[i]));
	}
	return list;
}

/* Fill the map from the row for relation "attached"; false when none. */
static bool
read_attached(OutboxTableMap *map, Relation rel, Oid attached)
{
	OutboxCatalogScan scan;
	ScanKeyData key;
	HeapTuple	tuple;
	bool		isnull;

	ScanKeyInit(&key, Anum_attached_relation, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(attached));
	outbox_catalog_scan_begin(&scan, "attached_table", "attached_table_pkey",
							  1, &key);
	tuple = outbox_catalog_scan_next(&scan);
	if (HeapTupleIsValid(tuple))
	{
		Jsonb	   *columns =
			DatumGetJsonbP(outbox_catalog_attr(&scan, tuple,
											   Anum_attached_columns,
											   &isnull));
		List	   *headers =
			text_array_to_list(outbox_catalog_attr(&scan, tuple,
												   Anum_attached_headers,
												   &isnull));

		map->relation = RelationGetRelid(rel);
		map->root = attached;
		outbox_table_resolve(map, rel, columns, headers);
	}
	outbox_catalog_scan_end(&scan);
	return HeapTupleIsValid(tuple);
}

static OutboxTableMap *
build_map(Relation rel)
{
	OutboxTableMap *map = palloc0(sizeof(OutboxTableMap));
	ListCell   *cell;

	map->context = CurrentMemoryContext;
	if (read_attached(map, rel, RelationGetRelid(rel)))
		return map;
	if (rel->rd_rel->relispartition)
	{
		foreach(cell, get_partition_ancestors(RelationGetRelid(rel)))
		{
			if (read_attached(map, rel, lfirst_oid(cell)))
				return map;
		}
	}
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"%s\" is not attached as an outbox table",
					RelationGetRelationName(rel)),
			 errhint("Use outbox.attach_table(); do not create its triggers by hand.")));
	return NULL;
}

static bool
column_stands(const OutboxTableColumn *column, TupleDesc desc)
{
	Form_pg_attribute att;

	if (column->attnum == 0)
		return true;
	if (column->attnum > desc->natts)
		return false;
	att = TupleDescAttr(desc, column->attnum - 1);
	return !att->attisdropped && att->atttypid == column->type &&
		strcmp(NameStr(att->attname), NameStr(column->name)) == 0;
}

static bool
map_stands(const OutboxTableMap *map, TupleDesc desc)
{
	for (int i = 0; i < OUTBOX_COLUMN_ROLES; i++)
	{
		if (!column_stands(&map->columns[i], desc))
			return false;
	}
	for (int i = 0; i < map->nheaders; i++)
	{
		if (!column_stands(&map->headers[i].column, desc))
			return false;
	}
	return true;
}

OutboxTableMap *
outbox_table_map(Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	MapEntry   *entry;
	MemoryContext context;
	MemoryContext old;
	OutboxTableMap *map;

	prepare_cache();
	entry = hash_search(maps, &relid, HASH_FIND, NULL);
	if (entry != NULL && map_stands(entry->map, RelationGetDescr(rel)))
		return entry->map;
	if (entry != NULL)
		release(entry);

	context = AllocSetContextCreate(CurrentMemoryContext, "outbox table",
									ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	map = build_map(rel);
	MemoryContextSwitchTo(old);

	entry = hash_search(maps, &relid, HASH_ENTER, NULL);
	entry->map = map;
	MemoryContextSetParent(context, CacheMemoryContext);
	return map;
}
