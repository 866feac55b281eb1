/*-------------------------------------------------------------------------
 *
 * event_type_cache.c
 *		Event types as a backend keeps them.
 *
 * Owns a hash of event types by name for the backend's lifetime, each in its
 * own memory context with everything derived from it: parsed schema, plans,
 * grants.  Nothing is kept of a name that was not found.
 *
 * The hash is valid for one generation of the catalog (catalog.h).  A lookup
 * first accepts invalidation messages, so a change is seen by the first emit
 * after its commit, also within a long transaction.  When the generation has
 * moved, all entries leave the hash; their contexts then belong to the current
 * transaction and go with it.  So an entry found earlier stays usable to the
 * end of the transaction, even when encoding a payload runs a user's output
 * function that alters the type, and no reference count can leak.
 *
 * An entry is built in the caller's memory context and moved under
 * CacheMemoryContext when whole: an error half way leaves nothing behind.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/skey.h"
#include "catalog/pg_type.h"
#include "emit/emit.h"
#include "miscadmin.h"
#include "mb/pg_wchar.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"

/* Column numbers, in the order of catalog.sql. */
enum
{
	Anum_type_id = 1,
	Anum_type_name = 2,
	Anum_type_route = 3,
	Anum_type_schema = 4,
	Anum_type_row_type = 5,
	Anum_type_key_field = 6,
	Anum_type_owner = 7,
	Anum_grant_type = 1,
	Anum_grant_grantee = 2
};

typedef struct CacheEntry
{
	char		name[OUTBOX_MAX_TYPE_NAME + 1]; /* hash key */
	OutboxEventType *type;
} CacheEntry;

static HTAB *cache = NULL;
static uint64 cache_generation = 0;
static OutboxEventType *last_used = NULL;
static int	last_used_len = 0;

static void
create_cache(void)
{
	HASHCTL		ctl = {
		.keysize = OUTBOX_MAX_TYPE_NAME + 1,
		.entrysize = sizeof(CacheEntry),
		.hcxt = CacheMemoryContext
	};

	cache = hash_create("outbox event types", 32, &ctl,
						HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
}

/* Let every entry go, at the latest with this transaction. */
static void
flush_cache(void)
{
	HASH_SEQ_STATUS seq;
	CacheEntry *entry;

	last_used = NULL;
	hash_seq_init(&seq, cache);
	while ((entry = hash_seq_search(&seq)) != NULL)
	{
		MemoryContextSetParent(entry->type->context, TopTransactionContext);
		hash_search(cache, entry->name, HASH_REMOVE, NULL);
	}
}

/* Read the row of outbox.event_type_def; false when there is none. */
static bool
read_definition(OutboxEventType *type, const char *name)
{
	OutboxCatalogScan scan;
	ScanKeyData key;
	HeapTuple	tuple;
	bool		isnull;

	ScanKeyInit(&key, Anum_type_name, BTEqualStrategyNumber, F_TEXTEQ,
				PointerGetDatum(cstring_to_text(name)));
	outbox_catalog_scan_begin(&scan, "event_type_def",
							  "event_type_def_name_key", 1, &key);
	tuple = outbox_catalog_scan_next(&scan);
	if (HeapTupleIsValid(tuple))
	{
		type->id = DatumGetInt32(outbox_catalog_attr(&scan, tuple,
													 Anum_type_id, &isnull));
		type->name = outbox_catalog_text(&scan, tuple, Anum_type_name);
		type->route.id = DatumGetInt32(outbox_catalog_attr(&scan, tuple,
														   Anum_type_route,
														   &isnull));
		type->schema_id = DatumGetInt32(outbox_catalog_attr(&scan, tuple,
															Anum_type_schema,
															&isnull));
		if (isnull)
			type->schema_id = 0;
		type->row_type =
			DatumGetObjectId(outbox_catalog_attr(&scan, tuple,
												 Anum_type_row_type, &isnull));
		if (isnull)
			type->row_type = InvalidOid;
		type->key_field = outbox_catalog_text(&scan, tuple,
											  Anum_type_key_field);
		type->owner = DatumGetObjectId(outbox_catalog_attr(&scan, tuple,
														   Anum_type_owner,
														   &isnull));
	}
	outbox_catalog_scan_end(&scan);
	return HeapTupleIsValid(tuple);
}

static void
read_grants(OutboxEventType *type)
{
	OutboxCatalogScan scan;
	ScanKeyData key;
	HeapTuple	tuple;
	bool		isnull;
	int			room = 8;

	type->grantees = palloc(room * sizeof(Oid));
	ScanKeyInit(&key, Anum_grant_type, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(type->id));
	outbox_catalog_scan_begin(&scan, "event_type_grant",
							  "event_type_grant_pkey", 1, &key);
	while (HeapTupleIsValid(tuple = outbox_catalog_scan_next(&scan)))
	{
		if (type->ngrantees == room)
		{
			room *= 2;
			type->grantees = repalloc(type->grantees, room * sizeof(Oid));
		}
		type->grantees[type->ngrantees++] =
			DatumGetObjectId(outbox_catalog_attr(&scan, tuple,
												 Anum_grant_grantee, &isnull));
	}
	outbox_catalog_scan_end(&scan);
}

static void
read_schema(OutboxEventType *type)
{
	char	   *definition = outbox_catalog_schema(type->schema_id);

	if (definition == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("schema %u of event type \"%s\" is missing",
						type->schema_id, type->name)));
	type->definition = definition;
	type->schema = outbox_avro_parse_or_error(definition, strlen(definition));
}

/* Build a whole entry in the current context, which becomes the entry's. */
static OutboxEventType *
build_type(const char *name)
{
	OutboxEventType *type = palloc0(sizeof(OutboxEventType));

	type->context = CurrentMemoryContext;
	if (!read_definition(type, name))
		return NULL;
	if (!outbox_catalog_route(type->route.id, &type->route))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("route %u of event type \"%s\" is missing",
						type->route.id, type->name)));
	type->topic_is_template = outbox_topic_is_template(type->route.topic);
	read_grants(type);
	if (type->schema_id != 0)
		read_schema(type);
	return type;
}

static OutboxEventType *
load_type(const char *name)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "outbox event type",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	OutboxEventType *type = build_type(name);
	CacheEntry *entry;

	MemoryContextSwitchTo(old);
	if (type == NULL)
	{
		MemoryContextDelete(context);
		return NULL;
	}
	entry = hash_search(cache, name, HASH_ENTER, NULL);
	entry->type = type;
	MemoryContextSetParent(context, CacheMemoryContext);
	return type;
}

static void
throw_unknown(const char *name, int len)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("event type \"%.*s\" does not exist",
					pg_mbcliplen(name, len, OUTBOX_MAX_TYPE_NAME), name),
			 errhint("Create it with outbox.create_event_type(); names are case-sensitive.")));
}

OutboxEventType *
outbox_event_type_find(const char *name, int len)
{
	char		key[OUTBOX_MAX_TYPE_NAME + 1];
	CacheEntry *entry;

	AcceptInvalidationMessages();
	if (cache == NULL)
		create_cache();
	if (cache_generation != outbox_catalog_generation())
	{
		flush_cache();
		cache_generation = outbox_catalog_generation();
	}
	if (last_used != NULL && last_used_len == len &&
		memcmp(last_used->name, name, len) == 0)
		return last_used;

	if (len > OUTBOX_MAX_TYPE_NAME)
		throw_unknown(name, len);
	memcpy(key, name, len);
	key[len] = '\0';
	entry = hash_search(cache, key, HASH_FIND, NULL);
	last_used = entry != NULL ? entry->type : load_type(key);
	if (last_used == NULL)
		throw_unknown(name, len);
	last_used_len = len;
	return last_used;
}

bool
outbox_event_type_may_emit(const OutboxEventType *type, Oid role)
{
	if (has_privs_of_role(role, type->owner))
		return true;
	for (int i = 0; i < type->ngrantees; i++)
	{
		if (type->grantees[i] == ACL_ID_PUBLIC ||
			has_privs_of_role(role, type->grantees[i]))
			return true;
	}
	return false;
}
