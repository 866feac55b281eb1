/*-------------------------------------------------------------------------
 *
 * capture_def.c
 *		Rows of outbox.capture_def.
 *
 * Owns no state: callers keep what they make of a row for one catalog
 * generation, or, when decoding, until the captured table's relcache entry is
 * invalidated.  Both happen when a row changes: a statement trigger counts the
 * generation up, a row trigger (here) announces the captured table and its
 * partitions.  Both are transactional: they are replayed at the place of the
 * changing transaction in the stream.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/skey.h"
#include "catalog/capture_def.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/pg_lsn.h"
#include "utils/syscache.h"

/* Column numbers, in the order of catalog.sql. */
enum
{
	Anum_capture_id = 1,
	Anum_capture_relation = 2,
	Anum_capture_mode = 3,
	Anum_capture_envelope = 4,
	Anum_capture_route = 5,
	Anum_capture_schema = 6,
	Anum_capture_key_schema = 7,
	Anum_capture_key_format = 8,
	Anum_capture_key_columns = 9,
	Anum_capture_columns = 10,
	Anum_capture_row_filter = 11,
	Anum_capture_masks = 12,
	Anum_capture_special = 13,
	Anum_capture_tombstones = 14,
	Anum_capture_toast = 15,
	Anum_capture_as_root = 16,
	Anum_capture_rls_ok = 17,
	Anum_capture_transaction_metadata = 18,
	Anum_capture_owner = 19,
	Anum_capture_active_from = 20,
	Anum_salt_salt = 2
};

PG_FUNCTION_INFO_V1(outbox_invalidate_captured);

static uint32
get_int(OutboxCatalogScan *scan, HeapTuple tuple, int attnum)
{
	bool		isnull;
	Datum		value = outbox_catalog_attr(scan, tuple, attnum, &isnull);

	return isnull ? 0 : (uint32) DatumGetInt32(value);
}

static bool
get_bool(OutboxCatalogScan *scan, HeapTuple tuple, int attnum)
{
	bool		isnull;
	Datum		value = outbox_catalog_attr(scan, tuple, attnum, &isnull);

	return !isnull && DatumGetBool(value);
}

/* A text[] as a list of char *; null is NIL. */
static List *
get_names(OutboxCatalogScan *scan, HeapTuple tuple, int attnum)
{
	bool		isnull;
	Datum		value = outbox_catalog_attr(scan, tuple, attnum, &isnull);
	List	   *names = NIL;
	Datum	   *elements;
	int			n;

	if (isnull)
		return NIL;
	deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false,
					  TYPALIGN_INT, &elements, NULL, &n);
	for (int i = 0; i < n; i++)
		names = lappend(names, TextDatumGetCString(elements[i]));
	return names;
}

static OutboxKeyFormat
key_format_of(const char *name)
{
	return strcmp(name, "plain") == 0 ? OUTBOX_KEY_PLAIN :
		strcmp(name, "record") == 0 ? OUTBOX_KEY_RECORD : OUTBOX_KEY_NONE;
}

static OutboxAvroSpecial
special_of(const char *name)
{
	return strcmp(name, "error") == 0 ? OUTBOX_AVRO_SPECIAL_ERROR :
		strcmp(name, "text") == 0 ? OUTBOX_AVRO_SPECIAL_TEXT : OUTBOX_AVRO_SPECIAL_NULL;
}

static OutboxCapture *
read_row(OutboxCatalogScan *scan, HeapTuple tuple)
{
	OutboxCapture *c = palloc0(sizeof(OutboxCapture));
	bool		isnull;
	Datum		value;

	c->id = (int32) get_int(scan, tuple, Anum_capture_id);
	c->relation = (Oid) get_int(scan, tuple, Anum_capture_relation);
	c->log = strcmp(outbox_catalog_text(scan, tuple, Anum_capture_mode),
					"log") == 0;
	c->envelope = outbox_catalog_envelope(outbox_catalog_text(scan, tuple,
															  Anum_capture_envelope));
	c->route.id = get_int(scan, tuple, Anum_capture_route);
	c->schema_id = get_int(scan, tuple, Anum_capture_schema);
	c->key_schema_id = get_int(scan, tuple, Anum_capture_key_schema);
	c->key_format = key_format_of(outbox_catalog_text(scan, tuple,
													  Anum_capture_key_format));
	c->key_columns = get_names(scan, tuple, Anum_capture_key_columns);
	c->columns = get_names(scan, tuple, Anum_capture_columns);
	c->row_filter = outbox_catalog_text(scan, tuple, Anum_capture_row_filter);
	value = outbox_catalog_attr(scan, tuple, Anum_capture_masks, &isnull);
	c->masks = isnull ? NULL : DatumGetJsonbPCopy(value);
	c->special = special_of(outbox_catalog_text(scan, tuple,
												Anum_capture_special));
	c->tombstones = get_bool(scan, tuple, Anum_capture_tombstones);
	c->toast = outbox_catalog_text(scan, tuple, Anum_capture_toast);
	c->as_root = get_bool(scan, tuple, Anum_capture_as_root);
	c->rls_ok = get_bool(scan, tuple, Anum_capture_rls_ok);
	c->transaction_metadata = get_bool(scan, tuple,
									   Anum_capture_transaction_metadata);
	c->owner = (Oid) get_int(scan, tuple, Anum_capture_owner);
	value = outbox_catalog_attr(scan, tuple, Anum_capture_active_from, &isnull);
	c->active_from = isnull ? InvalidXLogRecPtr : DatumGetLSN(value);
	return c;
}

/* The rest of it, once the scan is over. */
static void
read_route(OutboxCapture *capture)
{
	uint32		id = capture->route.id;

	if (!outbox_catalog_route(id, &capture->route))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("route %u of the capture of table \"%s\" is missing",
						id, get_rel_name(capture->relation))));
}

OutboxCapture *
outbox_capture_of_table(Oid relation)
{
	OutboxCatalogScan scan;
	ScanKeyData key;
	HeapTuple	tuple;
	OutboxCapture *capture = NULL;

	ScanKeyInit(&key, Anum_capture_relation, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relation));
	outbox_catalog_scan_begin(&scan, "capture_def",
							  "capture_def_relation_key", 1, &key);
	tuple = outbox_catalog_scan_next(&scan);
	if (HeapTupleIsValid(tuple))
		capture = read_row(&scan, tuple);
	outbox_catalog_scan_end(&scan);
	if (capture != NULL)
		read_route(capture);
	return capture;
}

OutboxCapture *
outbox_capture_find(Oid relation)
{
	OutboxCapture *capture = outbox_capture_of_table(relation);
	ListCell   *lc;

	if (capture != NULL || !get_rel_relispartition(relation))
		return capture;
	foreach(lc, get_partition_ancestors(relation))
	{
		capture = outbox_capture_of_table(lfirst_oid(lc));
		if (capture != NULL && capture->as_root)
			return capture;
	}
	return NULL;
}

List *
outbox_capture_list(void)
{
	OutboxCatalogScan scan;
	HeapTuple	tuple;
	List	   *captures = NIL;
	ListCell   *lc;

	outbox_catalog_scan_begin(&scan, "capture_def", NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = outbox_catalog_scan_next(&scan)))
		captures = lappend(captures, read_row(&scan, tuple));
	outbox_catalog_scan_end(&scan);

	/* pg_restore --jobs may not have loaded the routes yet */
	foreach(lc, captures)
	{
		OutboxCapture *capture = lfirst(lc);

		if (!outbox_catalog_route(capture->route.id, &capture->route))
			captures = foreach_delete_current(captures, lc);
	}
	return captures;
}

bool
outbox_capture_partial(const OutboxCapture *capture)
{
	return capture->log && capture->toast != NULL &&
		strcmp(capture->toast, "full") != 0;
}

bytea *
outbox_capture_salt(void)
{
	OutboxCatalogScan scan;
	HeapTuple	tuple;
	bytea	   *salt = NULL;
	bool		isnull;

	outbox_catalog_scan_begin(&scan, "capture_salt", NULL, 0, NULL);
	tuple = outbox_catalog_scan_next(&scan);
	if (HeapTupleIsValid(tuple))
		salt = DatumGetByteaPCopy(outbox_catalog_attr(&scan, tuple,
													  Anum_salt_salt, &isnull));
	outbox_catalog_scan_end(&scan);
	if (salt == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("outbox.capture_salt has no row"),
				 errhint("Restore the row, or create the extension anew.")));
	return salt;
}

/* The table and what it stands for; it may just have been dropped. */
static void
invalidate(Oid relation)
{
	ListCell   *lc;

	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relation)))
		return;
	if (get_rel_relkind(relation) != RELKIND_PARTITIONED_TABLE)
	{
		CacheInvalidateRelcacheByRelid(relation);
		return;
	}
	foreach(lc, find_all_inheritors(relation, NoLock, NULL))
	{
		if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(lfirst_oid(lc))))
			CacheInvalidateRelcacheByRelid(lfirst_oid(lc));
	}
}

static void
invalidate_row(TriggerData *trigger, HeapTuple tuple)
{
	bool		isnull;

	if (tuple == NULL)
		return;
	invalidate(DatumGetObjectId(heap_getattr(tuple, Anum_capture_relation,
											 RelationGetDescr(trigger->tg_relation),
											 &isnull)));
}

/* outbox.invalidate_captured(): row trigger on outbox.capture_def. */
Datum
outbox_invalidate_captured(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("outbox.invalidate_captured() is a trigger function")));
	invalidate_row(trigger, trigger->tg_trigtuple);
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		invalidate_row(trigger, trigger->tg_newtuple);
	return PointerGetDatum(NULL);
}
