/*-------------------------------------------------------------------------
 *
 * capture_ddl.c
 *		outbox.capture(), alter_capture(), uncapture().
 *
 * Run with their caller's rights, check them, and write as the extension's
 * owner (catalog/owner.h).  The table is locked against writers, with all its
 * partitions: a transaction either wrote before and is not captured, or begins
 * to write after the commit and is, under the definition it then finds.
 *
 * Everything is rows of our tables and triggers of the table, so an abort, also
 * of a savepoint, takes all of it along, and a crash leaves all or nothing.
 * What was written before an alter_capture() names the route and schemas that
 * it was written under.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xlog.h"
#include "capture/capture.h"
#include "catalog/namespace.h"
#include "catalog/owner.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "emit/emit.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "parser/parse_func.h"
#include "rowcodec/rowcodec.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/pg_lsn.h"

PG_FUNCTION_INFO_V1(outbox_capture_sql);
PG_FUNCTION_INFO_V1(outbox_alter_capture);
PG_FUNCTION_INFO_V1(outbox_uncapture);

const OutboxCaptureLog *outbox_capture_log = NULL;

static Relation
open_table(FunctionCallInfo fcinfo, Oid role)
{
	Relation	rel;

	if (PG_ARGISNULL(CAPTURE_RELATION))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("table must not be null")));
	rel = relation_open(PG_GETARG_OID(CAPTURE_RELATION), AccessShareLock);

	/* before anybody is kept waiting */
	outbox_capture_check_owner(rel, role);
	return rel;
}

/* Lock out writers of the table and, if it is partitioned, its partitions. */
static void
lock_table(Relation rel, LOCKMODE lock)
{
	if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		(void) find_all_inheritors(RelationGetRelid(rel), lock, NULL);
	else
		LockRelationOid(RelationGetRelid(rel), lock);
}

static void
check_mode(const OutboxCapture *def)
{
	if (!XLogIsNeeded())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("tables cannot be captured with wal_level \"minimal\""),
				 errhint("Set wal_level to \"replica\" or higher and restart the server.")));
	if (def->log && outbox_capture_log == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("mode \"log\" is not available"),
				 errhint("Add \"outbox\" to shared_preload_libraries and restart the server, or use mode \"trigger\".")));
}

/* Children that are no partitions are tables of their own. */
static void
mention_children(Relation rel)
{
	if (rel->rd_rel->relkind == RELKIND_RELATION &&
		has_subclass(RelationGetRelid(rel)) &&
		find_inheritance_children(RelationGetRelid(rel), NoLock) != NIL)
		ereport(NOTICE,
				(errmsg("tables that inherit from \"%s\" are not captured with it",
						RelationGetRelationName(rel)),
				 errhint("Capture them by themselves.")));
}

/* outbox.snapshot() belongs to another room, which may not be there. */
static void
start_snapshot(Oid relid)
{
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(relid)};
	Oid			function[] = {REGCLASSOID};

	if (!OidIsValid(LookupFuncName(list_make2(makeString("outbox"),
											  makeString("capture_snapshot")),
								   1, function, true)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("snapshots are not available"),
				 errhint("Capture the table without snapshot => true.")));
	(void) outbox_owner_execute("SELECT outbox.capture_snapshot($1)",
								1, types, values, NULL);
}

static void
check_new(Oid relid)
{
	if (outbox_capture_of_table(relid) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("table \"%s\" is already captured",
						get_rel_name(relid)),
				 errhint("Change it with outbox.alter_capture().")));
}

/* The row is there: let it take effect.  The table is locked, not open. */
static void
start(const OutboxCaptureRequest *request)
{
	const OutboxCapture *def = &request->def;

	if (def->log)
		outbox_capture_log->started(def);
	else
		outbox_capture_make_triggers(def->relation, request->origin);
	if (request->snapshot)
		start_snapshot(def->relation);
}

static XLogRecPtr
from_lsn(FunctionCallInfo fcinfo)
{
	return PG_ARGISNULL(CAPTURE_FROM_LSN) ? InvalidXLogRecPtr :
		PG_GETARG_LSN(CAPTURE_FROM_LSN);
}

/* Everything is checked; the table is locked, and closed here. */
static int32
begin_capture(OutboxCaptureRequest *request, Relation rel, Oid role,
			  XLogRecPtr from)
{
	OutboxCapture *def = &request->def;
	OutboxCaptureSchemas schemas;
	OutboxOwnerScope scope;

	outbox_owner_begin(&scope);
	outbox_owner_lock();
	check_new(RelationGetRelid(rel));
	outbox_capture_schemas(def, rel, NULL, &schemas);
	outbox_capture_save(request, NULL, &schemas, role);
	outbox_capture_note_place(def->id, from);
	relation_close(rel, NoLock);
	start(request);
	outbox_owner_end(&scope);
	return def->id;
}

int32
outbox_capture_table(FunctionCallInfo fcinfo, Oid role)
{
	OutboxCaptureRequest request = {
		.def = {
			.envelope = OUTBOX_ENVELOPE_DEBEZIUM,
			.route = {.partitions = -1},
			.key_format = OUTBOX_KEY_PLAIN,
			.special = OUTBOX_AVRO_SPECIAL_NULL,
			.tombstones = true,
			.as_root = true,
			.owner = role
		},
		.strategy = "TopicName",
		.origin = "any"
	};
	Relation	rel;

	outbox_capture_take(fcinfo, &request);
	rel = open_table(fcinfo, role);
	outbox_capture_check_table(rel, role, request.def.rls_ok);
	lock_table(rel, ShareRowExclusiveLock);
	outbox_capture_check_table(rel, role, request.def.rls_ok);
	if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		request.def.as_root = false;
	else if (!request.def.as_root)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("partitioned table \"%s\" can be captured as a whole only",
						RelationGetRelationName(rel)),
				 errhint("To have each partition under its own name, capture the partitions.")));
	check_new(RelationGetRelid(rel));
	outbox_capture_complete(&request, rel);
	check_mode(&request.def);
	outbox_rowcodec_check(&request.def, rel);
	mention_children(rel);
	return begin_capture(&request, rel, role, from_lsn(fcinfo));
}

/* capture(relation, mode, topic, ...): see the enum in capture.h */
Datum
outbox_capture_sql(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(outbox_capture_table(fcinfo, GetUserId()));
}

static OutboxCapture *
require_capture(Relation rel)
{
	OutboxCapture *capture = outbox_capture_of_table(RelationGetRelid(rel));

	if (capture == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table \"%s\" is not captured",
						RelationGetRelationName(rel)),
				 rel->rd_rel->relispartition &&
				 outbox_capture_find(RelationGetRelid(rel)) != NULL ?
				 errhint("It is captured with the table that it is a partition of.") :
				 errhint("Capture it with outbox.capture().")));
	return capture;
}

static void
refuse_change(const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("%s of a capture cannot be changed", what),
			 errhint("Call outbox.uncapture() and outbox.capture() in one transaction.")));
}

/* alter_capture(...): as capture(), null = keep, '' or '{}' = none */
Datum
outbox_alter_capture(PG_FUNCTION_ARGS)
{
	OutboxCaptureRequest request;
	OutboxCaptureRequest old;
	OutboxCaptureSchemas schemas;
	OutboxOwnerScope scope;
	Oid			caller = GetUserId();
	Relation	rel = open_table(fcinfo, caller);

	lock_table(rel, ShareRowExclusiveLock);
	outbox_owner_begin(&scope);
	outbox_owner_lock();
	outbox_capture_load(require_capture(rel), &old);
	request = old;
	outbox_capture_take(fcinfo, &request);
	if (request.def.log != old.def.log)
		refuse_change("the mode");
	if (!PG_ARGISNULL(CAPTURE_AS_ROOT) &&
		request.def.as_root != old.def.as_root)
		refuse_change("as_root");
	if (!PG_ARGISNULL(CAPTURE_KEY_FORMAT) && PG_ARGISNULL(CAPTURE_KEY) &&
		old.def.key_format == OUTBOX_KEY_NONE)
		request.def.key_columns = NIL;	/* to be found again */
	outbox_capture_check_table(rel, caller, request.def.rls_ok);
	check_mode(&request.def);
	outbox_capture_complete(&request, rel);
	outbox_rowcodec_check(&request.def, rel);
	outbox_capture_schemas(&request.def, rel, NULL, &schemas);
	outbox_capture_save(&request, &old, &schemas, caller);
	if (!PG_ARGISNULL(CAPTURE_FROM_LSN))
		outbox_capture_set_place(&request.def, from_lsn(fcinfo));
	relation_close(rel, NoLock);
	start(&request);
	outbox_owner_end(&scope);
	PG_RETURN_VOID();
}

void
outbox_capture_end(Relation rel)
{
	OutboxOwnerScope scope;
	OutboxCapture *capture;

	outbox_owner_begin(&scope);
	outbox_owner_lock();
	capture = require_capture(rel);
	relation_close(rel, NoLock);
	outbox_capture_delete(capture->id);
	if (!capture->log)
		outbox_capture_drop_triggers(capture->relation);
	else if (outbox_capture_log != NULL)
		outbox_capture_log->ended(capture);
	outbox_owner_end(&scope);
}

/* uncapture(relation) */
Datum
outbox_uncapture(PG_FUNCTION_ARGS)
{
	Relation	rel = open_table(fcinfo, GetUserId());

	lock_table(rel, AccessExclusiveLock);
	outbox_capture_end(rel);
	PG_RETURN_VOID();
}
