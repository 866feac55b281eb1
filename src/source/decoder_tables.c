/*-------------------------------------------------------------------------
 *
 * decoder_tables.c
 *		Captured tables as they are at the place in WAL being decoded.
 *
 * One entry for each table that rows have come of: its capture, if it has one
 * with mode log, and the codec for its present shape; both of them read under
 * the historic snapshot.  An entry is valid until logical decoding executes an
 * invalidation, in stream order, of the table, of an ancestor (a partition may
 * have come under a captured root), of our own tables, or of a type; the
 * callbacks only mark, they may run anywhere.  What is marked is thrown away
 * when it is asked for the next time, never while a row of it is being encoded.
 *
 * Invalidations of now arrive here as well, and do no harm: the entry is made
 * again from the same history.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/catalog.h"
#include "catalog/partition.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "source/decoder.h"

#define MAX_TABLES	8192		/* entries kept; tables come and go */

struct OutboxDecodedTables
{
	MemoryContext context;
	HTAB	   *tables;
	HTAB	   *ignored;		/* locators */
	bool		ignored_valid;	/* else to be emptied */
	uint64		generation;		/* of our catalog, when last looked at */
};

/* One of a process: callbacks cannot be unregistered. */
static OutboxDecodedTables *tables_here = NULL;

static void
mark_all(OutboxDecodedTables *tables)
{
	HASH_SEQ_STATUS seq;
	OutboxDecodedTable *table;

	hash_seq_init(&seq, tables->tables);
	while ((table = hash_seq_search(&seq)) != NULL)
		table->valid = false;
	tables->ignored_valid = false;
}

static void
relation_changed(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS seq;
	OutboxDecodedTable *table;

	if (tables_here == NULL)
		return;
	tables_here->ignored_valid = false;
	hash_seq_init(&seq, tables_here->tables);
	while ((table = hash_seq_search(&seq)) != NULL)
	{
		if (!OidIsValid(relid) || table->relid == relid ||
			list_member_oid(table->ancestors, relid))
			table->valid = false;
	}
}

/* Labels of an enum, attributes of a composite type, a schema's name, ... */
static void
type_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	if (tables_here != NULL)
		mark_all(tables_here);
}

static void
register_callbacks(void)
{
	static bool registered = false;

	if (registered)
		return;
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(TYPEOID, type_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(ENUMOID, type_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, type_changed, (Datum) 0);
	registered = true;
}

static void
make_hash(OutboxDecodedTables *tables)
{
	HASHCTL		ctl = {.keysize = sizeof(Oid),
		.entrysize = sizeof(OutboxDecodedTable),.hcxt = tables->context};

	tables->tables = hash_create("outbox decoded tables", 64, &ctl,
								 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* Tables that were dropped leave entries behind; begin anew now and then. */
static void
forget_all(OutboxDecodedTables *tables)
{
	HASH_SEQ_STATUS seq;
	OutboxDecodedTable *table;

	hash_seq_init(&seq, tables->tables);
	while ((table = hash_seq_search(&seq)) != NULL)
		MemoryContextDelete(table->context);
	hash_destroy(tables->tables);
	make_hash(tables);
}

OutboxDecodedTables *
outbox_decoded_tables_create(MemoryContext context)
{
	OutboxDecodedTables *tables = MemoryContextAllocZero(context,
														 sizeof(*tables));

	tables->context = context;
	make_hash(tables);
	register_callbacks();
	tables_here = tables;
	return tables;
}

/* The hash of ignored files, emptied when it is not valid any more. */
static HTAB *
ignored_files(OutboxDecodedTables *tables)
{
	HASHCTL		ctl = {.keysize = sizeof(OutboxLocator),
		.entrysize = sizeof(OutboxLocator),.hcxt = tables->context};

	if (tables->ignored != NULL &&
		(!tables->ignored_valid ||
		 hash_get_num_entries(tables->ignored) >= MAX_TABLES))
	{
		hash_destroy(tables->ignored);
		tables->ignored = NULL;
	}
	if (tables->ignored == NULL)
		tables->ignored = hash_create("outbox ignored files", 64, &ctl,
									  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	tables->ignored_valid = true;
	return tables->ignored;
}

void
outbox_decoded_tables_ignore(OutboxDecodedTables *tables,
							 const OutboxLocator *locator)
{
	(void) hash_search(ignored_files(tables), locator, HASH_ENTER, NULL);
}

bool
outbox_decoded_tables_ignored(OutboxDecodedTables *tables,
							  const OutboxLocator *locator)
{
	return hash_search(ignored_files(tables), locator, HASH_FIND, NULL) != NULL;
}

void
outbox_decoded_tables_close(OutboxDecodedTables *tables)
{
	tables_here = NULL;
}

/* Read the catalogs about it. */
static void
look_up(OutboxDecodedTable *table, Relation rel)
{
	MemoryContext old;

	MemoryContextReset(table->context);
	table->capture = NULL;
	table->codec = NULL;
	table->ancestors = NIL;

	/* First: what is marked while we read is to be read again. */
	table->valid = true;
	old = MemoryContextSwitchTo(table->context);
	if (rel->rd_rel->relispartition)
		table->ancestors = get_partition_ancestors(table->relid);
	table->capture = outbox_capture_find(table->relid);
	if (table->capture != NULL && !table->capture->log)
		table->capture = NULL;
	if (table->capture != NULL)
		table->codec = outbox_rowcodec_make(table->capture, rel);
	MemoryContextSwitchTo(old);
}

OutboxDecodedTable *
outbox_decoded_tables_find(OutboxDecodedTables *tables, Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	uint64		generation = outbox_catalog_generation();
	OutboxDecodedTable *table;
	bool		found;

	if (generation != tables->generation)
	{
		tables->generation = generation;
		mark_all(tables);
	}
	if (hash_get_num_entries(tables->tables) >= MAX_TABLES)
		forget_all(tables);
	table = hash_search(tables->tables, &relid, HASH_ENTER, &found);
	if (!found)
	{
		table->valid = false;
		table->ancestors = NIL;
		table->context = AllocSetContextCreate(tables->context,
											   "outbox decoded table",
											   ALLOCSET_SMALL_SIZES);
	}
	if (!table->valid)
		look_up(table, rel);
	return table;
}
