/*-------------------------------------------------------------------------
 *
 * capture_cache.c
 *		Codecs of captured relations, as a backend keeps them.
 *
 * Owns a hash of codecs by relation (of partitioned tables: the partition that
 * has the row) for the backend's lifetime, of at most MAX_MEMORY together, and
 * one; those that were used longest ago make room.  Each has a memory context
 * of its own.
 *
 * An entry is valid for one catalog generation (catalog.h) and until its
 * relation's relcache entry is invalidated; one with types of applications
 * also until any type is changed, because a table's relcache entry does not
 * know what its composite types and enums are made of.  The callbacks only
 * mark: they may run at any place.  The entry is replaced when it is next
 * asked for.
 *
 * A row is written under a lock on its table that conflicts with whatever
 * changes table or capture, taken after the last such change was accepted.
 *
 * An entry that is busy (an output function that itself writes to the table)
 * is left to the transaction when it is replaced, and goes with it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/transam.h"
#include "capture/capture.h"
#include "catalog/pg_class.h"
#include "rowcodec/rowcodec.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

/* bytes of all codecs of a backend together */
#define MAX_MEMORY (32 * 1024 * 1024)

static HTAB *entries = NULL;
static Size memory = 0;			/* of all entries, as they were made */
static uint64 use_counter = 0;

static void
forget_relation(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS seq;
	OutboxCaptureEntry *entry;

	if (OidIsValid(relid))
	{
		entry = hash_search(entries, &relid, HASH_FIND, NULL);
		if (entry != NULL)
			entry->valid = false;
		return;
	}
	hash_seq_init(&seq, entries);
	while ((entry = hash_seq_search(&seq)) != NULL)
		entry->valid = false;
}

static void
forget_types(Datum arg, int cacheid, uint32 hashvalue)
{
	HASH_SEQ_STATUS seq;
	OutboxCaptureEntry *entry;

	hash_seq_init(&seq, entries);
	while ((entry = hash_seq_search(&seq)) != NULL)
	{
		if (entry->own_types)
			entry->valid = false;
	}
}

static void
create_cache(void)
{
	HASHCTL		ctl = {
		.keysize = sizeof(Oid),
		.entrysize = sizeof(OutboxCaptureEntry),
		.hcxt = CacheMemoryContext
	};

	entries = hash_create("outbox captured relations", 64, &ctl,
						  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	CacheRegisterRelcacheCallback(forget_relation, (Datum) 0);
	CacheRegisterSyscacheCallback(TYPEOID, forget_types, (Datum) 0);
	CacheRegisterSyscacheCallback(ENUMOID, forget_types, (Datum) 0);
}

static void
release(OutboxCaptureEntry *entry)
{
	memory -= entry->size;
	if (entry->busy)
		MemoryContextSetParent(entry->context, TopTransactionContext);
	else
		MemoryContextDelete(entry->context);
	hash_search(entries, &entry->relation, HASH_REMOVE, NULL);
}

static void
make_room(Size size)
{
	while (memory + size > MAX_MEMORY && hash_get_num_entries(entries) > 0)
	{
		HASH_SEQ_STATUS seq;
		OutboxCaptureEntry *entry;
		OutboxCaptureEntry *oldest = NULL;

		hash_seq_init(&seq, entries);
		while ((entry = hash_seq_search(&seq)) != NULL)
		{
			if (oldest == NULL || entry->used < oldest->used)
				oldest = entry;
		}
		release(oldest);
	}
}

static bool
has_own_types(TupleDesc desc)
{
	for (int i = 0; i < desc->natts; i++)
	{
		if (TupleDescAttr(desc, i)->atttypid >= FirstNormalObjectId)
			return true;
	}
	return false;
}

static void
throw_changed(Relation rel)
{
	char	   *schema = get_namespace_name(RelationGetNamespace(rel));
	char	   *name = quote_qualified_identifier(schema,
												  RelationGetRelationName(rel));

	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("captured table \"%s\" has changed",
					RelationGetRelationName(rel)),
			 errdetail("It was altered while event triggers did not run, so its schema was not checked."),
			 errhint("Run SELECT outbox.alter_capture(%s).",
					 quote_literal_cstr(name))));
}

/*
 * The schema that the table has now must be the stored one: the DDL gate sees
 * to that.  Here, once for each codec, is noticed when the gate was passed by.
 */
static void
check_gate(const OutboxCapture *capture, Relation rel)
{
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext,
												  "outbox schema check",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(scratch);
	Relation	root = rel;
	char	   *stored = outbox_catalog_schema(capture->schema_id);

	if (RelationGetRelid(rel) != capture->relation)
		root = table_open(capture->relation, AccessShareLock);

	/* a schema that is missing is for the codec to say */
	if (stored != NULL &&
		strcmp(outbox_rowcodec_value_schema(capture, root, stored, NULL),
			   stored) != 0)
		throw_changed(root);
	if (root != rel)
		table_close(root, NoLock);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);
}

static OutboxRowCodec *
make_codec(Relation rel)
{
	OutboxCapture *capture = outbox_capture_find(RelationGetRelid(rel));

	if (capture == NULL || capture->log)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is not captured by triggers",
						RelationGetRelationName(rel)),
				 errhint("Use outbox.capture(); do not create its triggers by hand.")));
	if (capture->schema_id != 0)
		check_gate(capture, rel);
	return outbox_rowcodec_make(capture, rel);
}

/*
 * The codec is made in the caller's memory and moved when it is whole: an error
 * half way leaves nothing behind.
 */
static OutboxCaptureEntry *
load(Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	uint64		generation = outbox_catalog_generation();
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "outbox captured relation",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	OutboxRowCodec *codec = make_codec(rel);
	Size		size = MemoryContextMemAllocated(context, true);
	OutboxCaptureEntry *entry;

	MemoryContextSwitchTo(old);
	make_room(size);
	entry = hash_search(entries, &relid, HASH_ENTER, NULL);
	MemoryContextSetParent(context, CacheMemoryContext);
	entry->size = size;
	memory += size;
	entry->valid = true;
	entry->busy = false;
	entry->own_types = has_own_types(RelationGetDescr(rel));
	entry->generation = generation;
	entry->codec = codec;
	entry->context = context;
	return entry;
}

OutboxCaptureEntry *
outbox_capture_entry(Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	OutboxCaptureEntry *entry;

	if (entries == NULL)
		create_cache();
	entry = hash_search(entries, &relid, HASH_FIND, NULL);
	if (entry != NULL &&
		(!entry->valid || entry->generation != outbox_catalog_generation()))
	{
		release(entry);
		entry = NULL;
	}
	if (entry == NULL)
		entry = load(rel);
	entry->used = ++use_counter;
	return entry;
}
