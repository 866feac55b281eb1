/*-------------------------------------------------------------------------
 *
 * catalog.c
 *		Reads of the extension's own tables, and the one relcache callback
 *		that tells every backend-local cache of ours to look again.
 *
 * Owns two things per backend, both for its lifetime: the oids of our tables
 * and a generation number.  The relcache callback only forgets oids and counts
 * the generation up; it reads nothing, because it may run at any place where
 * invalidation messages are accepted.  Whoever keeps something derived from
 * our tables keeps the generation with it and compares before each use.
 *
 * A statement trigger on each table (outbox.invalidate_caches) registers the
 * relcache invalidation of that table with the changing transaction: others
 * see it at its commit, the transaction itself at its next command, and its
 * abort undoes what it had cached of its own changes.
 *
 * Scans use the catalog snapshot, so they see what is committed now, also in
 * a REPEATABLE READ transaction: an event type is metadata like a table.
 *
 * Does not write: changes go through SQL (emit/event_type_ddl.c, admin/).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "catalog/catalog.h"
#include "catalog/instance.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/pg_lsn.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#define OUTBOX_SCHEMA "outbox"
#define OUTBOX_EXTENSION "outbox"

/* Column numbers, in the order of catalog.sql; instance.h has its own. */
enum
{
	Anum_secret_key_id = 1,
	Anum_secret_key = 2,
	Anum_schema_id = 1,
	Anum_schema_definition = 2,
	Anum_route_id = 1,
	Anum_route_event_type = 2,
	Anum_route_topic = 3,
	Anum_route_format = 4,
	Anum_route_on_error = 5,
	Anum_route_partitions = 6,
	Anum_route_subject = 10,
	Anum_route_envelope = 11,
	Anum_route_collection = 12,
	Anum_route_key_subject = 13,
	Anum_route_transaction_topic = 14,
	Anum_route_retention = 15
};

#define MAX_INTERVAL_DAYS INT64CONST(36500000)

/* Oids of our tables; InvalidOid = look it up. */
typedef struct KnownRelation
{
	const char *name;
	Oid			oid;
} KnownRelation;

static KnownRelation known_relations[] = {
	{"instance"}, {"secret"}, {"schema"}, {"route"},
	{"event_type_def"}, {"event_type_grant"}, {"attached_table"},
	{"registry_id"}, {"parked_event"}, {"capture_def"}, {"captured_schema"}
};

static uint64 generation = 1;
static bool callback_registered = false;

PG_FUNCTION_INFO_V1(outbox_invalidate_caches);

static void
forget(Datum arg, Oid relid)
{
	for (int i = 0; i < lengthof(known_relations); i++)
	{
		if (!OidIsValid(relid) || known_relations[i].oid == relid)
		{
			known_relations[i].oid = InvalidOid;
			generation++;
		}
	}
}

static void
register_callback(void)
{
	if (callback_registered)
		return;
	CacheRegisterRelcacheCallback(forget, (Datum) 0);
	callback_registered = true;
}

uint64
outbox_catalog_generation(void)
{
	register_callback();
	return generation;
}

bool
outbox_catalog_present(void)
{
	return OidIsValid(get_extension_oid(OUTBOX_EXTENSION, true));
}

static Oid
lookup_relation(const char *name)
{
	Oid			nsp = get_namespace_oid(OUTBOX_SCHEMA, true);
	Oid			oid = InvalidOid;

	if (OidIsValid(nsp) && outbox_catalog_present())
		oid = get_relname_relid(name, nsp);
	if (!OidIsValid(oid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table \"%s.%s\" is missing", OUTBOX_SCHEMA, name),
				 errhint("Run CREATE EXTENSION outbox in this database.")));
	return oid;
}

Oid
outbox_catalog_relation(const char *name)
{
	register_callback();
	for (int i = 0; i < lengthof(known_relations); i++)
	{
		if (strcmp(known_relations[i].name, name) == 0)
		{
			if (!OidIsValid(known_relations[i].oid))
				known_relations[i].oid = lookup_relation(name);
			return known_relations[i].oid;
		}
	}
	return lookup_relation(name);
}

Oid
outbox_catalog_owner(void)
{
	Oid			relid = outbox_catalog_relation("event_type_def");
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("extension \"%s\" is being dropped", OUTBOX_EXTENSION)));
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

void
outbox_catalog_scan_begin(OutboxCatalogScan *scan, const char *table,
						  const char *index, int nkeys, ScanKey keys)
{
	Oid			relid = outbox_catalog_relation(table);
	Oid			index_oid = InvalidOid;
	Snapshot	snapshot = NULL;

	/*
	 * In logical decoding only capture_def can be read as it was.  What else
	 * is read there is immutable and was committed before the change that is
	 * being decoded: as it is now will do.
	 */
	if (HistoricSnapshotActive() && strcmp(table, "capture_def") != 0)
		snapshot = SnapshotSelf;
	scan->rel = table_open(relid, AccessShareLock);
	if (index != NULL)
		index_oid = get_relname_relid(index,
									  RelationGetNamespace(scan->rel));
	scan->scan = systable_beginscan(scan->rel, index_oid,
									OidIsValid(index_oid), snapshot, nkeys,
									keys);
}

HeapTuple
outbox_catalog_scan_next(OutboxCatalogScan *scan)
{
	return systable_getnext(scan->scan);
}

Datum
outbox_catalog_attr(OutboxCatalogScan *scan, HeapTuple tuple, int attnum,
					bool *isnull)
{
	return heap_getattr(tuple, attnum, RelationGetDescr(scan->rel), isnull);
}

char *
outbox_catalog_text(OutboxCatalogScan *scan, HeapTuple tuple, int attnum)
{
	bool		isnull;
	Datum		value = outbox_catalog_attr(scan, tuple, attnum, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

void
outbox_catalog_scan_end(OutboxCatalogScan *scan)
{
	systable_endscan(scan->scan);
	table_close(scan->rel, AccessShareLock);
}

static void
scan_by_id(OutboxCatalogScan *scan, const char *table, const char *index,
		   uint32 id)
{
	ScanKeyData key;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum((int32) id));
	outbox_catalog_scan_begin(scan, table, index, 1, &key);
}

OutboxEnvelope
outbox_catalog_envelope(const char *name)
{
	if (name == NULL)
		return OUTBOX_ENVELOPE_NONE;
	return strcmp(name, "flat") == 0 ? OUTBOX_ENVELOPE_FLAT :
		OUTBOX_ENVELOPE_DEBEZIUM;
}

/* A month counts 30 days, a day 24 hours, as where intervals are compared. */
int64
outbox_catalog_interval_us(const Interval *interval)
{
	int64		most = MAX_INTERVAL_DAYS * USECS_PER_DAY;
	int64		days = (int64) interval->month * DAYS_PER_MONTH + interval->day;

	days = Max(Min(days, MAX_INTERVAL_DAYS), -MAX_INTERVAL_DAYS);
	return days * USECS_PER_DAY + Max(Min(interval->time, most), -most);
}

/* What only captures have. */
static void
read_capture_part(OutboxCatalogScan *scan, HeapTuple tuple, OutboxRoute *route)
{
	route->envelope =
		outbox_catalog_envelope(outbox_catalog_text(scan, tuple,
													Anum_route_envelope));
	route->collection = outbox_catalog_text(scan, tuple,
											Anum_route_collection);
	route->key_subject = outbox_catalog_text(scan, tuple,
											 Anum_route_key_subject);
	route->transaction_topic =
		outbox_catalog_text(scan, tuple, Anum_route_transaction_topic);
}

/* In the event log. */
static int64
read_retention(OutboxCatalogScan *scan, HeapTuple tuple)
{
	bool		isnull;
	Datum		value = outbox_catalog_attr(scan, tuple, Anum_route_retention,
											&isnull);

	return isnull ? -1 : outbox_catalog_interval_us(DatumGetIntervalP(value));
}

bool
outbox_catalog_route(uint32 id, OutboxRoute *route)
{
	OutboxCatalogScan scan;
	HeapTuple	tuple;
	bool		isnull;
	Datum		partitions;
	char	   *format;
	char	   *on_error;

	scan_by_id(&scan, "route", "route_pkey", id);
	tuple = outbox_catalog_scan_next(&scan);
	if (HeapTupleIsValid(tuple))
	{
		route->id = id;
		route->event_type = outbox_catalog_text(&scan, tuple,
												Anum_route_event_type);
		route->topic = outbox_catalog_text(&scan, tuple, Anum_route_topic);
		format = outbox_catalog_text(&scan, tuple, Anum_route_format);
		route->format = strcmp(format, "json") == 0 ?
			OUTBOX_FORMAT_JSON : OUTBOX_FORMAT_AVRO;
		on_error = outbox_catalog_text(&scan, tuple, Anum_route_on_error);
		route->dead_letter = strcmp(on_error, "dead_letter") == 0;
		partitions = outbox_catalog_attr(&scan, tuple, Anum_route_partitions,
										 &isnull);
		route->subject = outbox_catalog_text(&scan, tuple, Anum_route_subject);
		route->partitions = isnull ? -1 : DatumGetInt32(partitions);
		read_capture_part(&scan, tuple, route);
		route->retention_us = read_retention(&scan, tuple);
	}
	outbox_catalog_scan_end(&scan);
	return HeapTupleIsValid(tuple);
}

char *
outbox_catalog_schema(uint32 id)
{
	OutboxCatalogScan scan;
	HeapTuple	tuple;
	char	   *definition = NULL;

	scan_by_id(&scan, "schema", "schema_pkey", id);
	tuple = outbox_catalog_scan_next(&scan);
	if (HeapTupleIsValid(tuple))
		definition = outbox_catalog_text(&scan, tuple, Anum_schema_definition);
	outbox_catalog_scan_end(&scan);
	return definition;
}

static void
copy_key(OutboxCatalogScan *scan, HeapTuple tuple,
		 uint8 key[OUTBOX_SIPHASH_KEY_SIZE])
{
	bool		isnull;
	bytea	   *value = DatumGetByteaPP(outbox_catalog_attr(scan, tuple,
															Anum_secret_key,
															&isnull));

	if (VARSIZE_ANY_EXHDR(value) != OUTBOX_SIPHASH_KEY_SIZE)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("a key in outbox.secret has a wrong length")));
	memcpy(key, VARDATA_ANY(value), OUTBOX_SIPHASH_KEY_SIZE);
}

bool
outbox_catalog_secret(uint32 key_id, uint8 key[OUTBOX_SIPHASH_KEY_SIZE])
{
	OutboxCatalogScan scan;
	HeapTuple	tuple;

	scan_by_id(&scan, "secret", "secret_pkey", key_id);
	tuple = outbox_catalog_scan_next(&scan);
	if (HeapTupleIsValid(tuple))
		copy_key(&scan, tuple, key);
	outbox_catalog_scan_end(&scan);
	return HeapTupleIsValid(tuple);
}

uint32
outbox_catalog_current_secret(uint8 key[OUTBOX_SIPHASH_KEY_SIZE])
{
	OutboxCatalogScan scan;
	HeapTuple	tuple;
	uint32		best = 0;

	outbox_catalog_scan_begin(&scan, "secret", NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = outbox_catalog_scan_next(&scan)))
	{
		bool		isnull;
		uint32		id = DatumGetInt32(outbox_catalog_attr(&scan, tuple,
														   Anum_secret_key_id,
														   &isnull));

		if (id > best)
		{
			best = id;
			copy_key(&scan, tuple, key);
		}
	}
	outbox_catalog_scan_end(&scan);
	if (best == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("outbox.secret has no key"),
				 errhint("Run SELECT outbox.new_identity() as the extension's owner.")));
	return best;
}

bool
outbox_catalog_instance(OutboxInstance *instance)
{
	OutboxCatalogScan scan;
	HeapTuple	tuple;
	bool		isnull;

	outbox_catalog_scan_begin(&scan, "instance", NULL, 0, NULL);
	tuple = outbox_catalog_scan_next(&scan);
	if (HeapTupleIsValid(tuple))
	{
		instance->id = *DatumGetUUIDP(outbox_catalog_attr(&scan, tuple,
														  Anum_instance_id,
														  &isnull));
		instance->database =
			DatumGetObjectId(outbox_catalog_attr(&scan, tuple,
												 Anum_instance_database,
												 &isnull));
		instance->paused =
			DatumGetBool(outbox_catalog_attr(&scan, tuple,
											 Anum_instance_paused, &isnull));
		instance->adopt_pending =
			DatumGetBool(outbox_catalog_attr(&scan, tuple,
											 Anum_instance_adopt_pending,
											 &isnull));
		instance->floor = DatumGetLSN(outbox_catalog_attr(&scan, tuple,
														  Anum_instance_floor,
														  &isnull));
		instance->has_floor = !isnull;
		instance->log_from =
			DatumGetLSN(outbox_catalog_attr(&scan, tuple,
											Anum_instance_log_from, &isnull));
		if (isnull)
			instance->log_from = InvalidXLogRecPtr;
	}
	outbox_catalog_scan_end(&scan);
	return HeapTupleIsValid(tuple);
}

/* outbox.invalidate_caches(): statement trigger on each of our tables. */
Datum
outbox_invalidate_caches(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("outbox.invalidate_caches() is a trigger function")));
	CacheInvalidateRelcache(((TriggerData *) fcinfo->context)->tg_relation);
	PG_RETURN_POINTER(NULL);
}
