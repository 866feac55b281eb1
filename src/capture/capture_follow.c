/*-------------------------------------------------------------------------
 *
 * capture_follow.c
 *		Captured tables through DDL.
 *
 *	  column added, dropped, altered	its schemas are made anew; where they
 *					differ, they must be compatible, and are stored as versions
 *	  column renamed	so is its name in key, columns and masks
 *	  key column dropped	refused: the key of what was published is for ever
 *	  table or schema renamed	the capture keeps its topic and its subjects
 *	  primary key changed	the key stays: it was noted when the capture began
 *	  table made unlogged, row security enabled	refused
 *	  triggers disabled	a warning
 *
 * In the transaction of the DDL, with the rows of our tables: both or none.
 * What is written before and after it in the same transaction has the schema
 * of its time, because the table's relcache entry is invalidated by the DDL and
 * again by the change of the capture's row.  Dropping the table is
 * capture_drop.c's business.
 *
 * Within an OutboxOwnerScope.  Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "capture/capture.h"
#include "capture/ddl_plan.h"
#include "catalog/owner.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "rowcodec/rowcodec.h"
#include "schema/schema.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

static bool
has_column(Oid relid, const char *name)
{
	return get_attnum(relid, name) > 0;
}

/* The names as they are now; those that are gone are left out. */
static List *
current_names(List *names, Oid relid, const OutboxAvroRename *rename)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, names)
	{
		char	   *name = lfirst(lc);

		if (rename != NULL && rename->old_column != NULL &&
			strcmp(name, rename->old_column) == 0)
			result = lappend(result, pstrdup(rename->new_column));
		else if (has_column(relid, name))
			result = lappend(result, name);
	}
	return result;
}

/* The members of an object likewise. */
static Jsonb *
current_masks(Jsonb *masks, Oid relid, const OutboxAvroRename *rename)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	key;
	JsonbValue	value;
	JsonbParseState *state = NULL;
	int			count = 0;

	if (masks == NULL)
		return NULL;
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	it = JsonbIteratorInit(&masks->root);
	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		List	   *name;

		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&it, &value, true);
		name = current_names(list_make1(pnstrdup(key.val.string.val,
												 key.val.string.len)),
							 relid, rename);
		if (name == NIL)
			continue;
		key.val.string.val = linitial(name);
		key.val.string.len = strlen(linitial(name));
		pushJsonbValue(&state, WJB_KEY, &key);
		pushJsonbValue(&state, WJB_VALUE, &value);
		count++;
	}
	masks = JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
	return count > 0 ? masks : NULL;
}

/* The filter is text, so what it names must be there. */
static void
check_filter(const OutboxCapture *def, Relation rel)
{
	MemoryContext context = CurrentMemoryContext;
	ErrorData  *error;

	PG_TRY();
	{
		(void) outbox_rowcodec_filter_columns(def, rel);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("row filter of captured table \"%s\" does not fit it any more",
						RelationGetRelationName(rel)),
				 errdetail("The filter is (%s): %s.", def->row_filter,
						   error->message),
				 errhint("In one transaction, take the filter away with outbox.alter_capture(row_filter => ''), change the table and set a new filter.")));
	}
	PG_END_TRY();
}

/* ---- verdicts ---- */

static void
refuse_key(const OutboxCapture *def, const OutboxCapture *old, Relation rel)
{
	OutboxFollowResult result = {.verdict = OUTBOX_FOLLOW_REFUSED};
	OutboxSchemaProblem problem = {"KEY_REMOVED", "$", NULL};

	if (list_length(def->key_columns) == list_length(old->key_columns) &&
		(def->columns == NIL) == (old->columns == NIL))
		return;
	problem.message = psprintf("the last captured column, or a column of the key, of captured table \"%s\" is gone",
							   RelationGetRelationName(rel));
	if (!outbox_ddl_planning())
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("cannot drop a column of the key of captured table \"%s\"",
						RelationGetRelationName(rel)),
				 errdetail("Consumers know its rows by this key."),
				 errhint("Give the capture another key first, with outbox.alter_capture(key => ...).")));
	result.subject = old->route.subject;
	result.problems = list_make1(&problem);
	outbox_ddl_plan_add(old->route.event_type, &result);
}

/* What registering would say of one schema; true when it would be refused. */
static bool
plan_schema(const OutboxCapture *old, const char *subject,
			uint32 current, const char *schema, Oid role)
{
	OutboxSchemaRequest request = {
		.subject = subject,
		.definition = schema,
		.role = role,
		.current = current,
		.by_ddl = true
	};
	OutboxFollowResult result = {
		.verdict = OUTBOX_FOLLOW_COMPATIBLE,
		.subject = subject,
		.schema = schema
	};

	if (schema == NULL || subject == NULL ||
		strcmp(outbox_catalog_schema(current), schema) == 0)
		return false;
	result.problems = outbox_schema_problems(&request);
	if (result.problems != NIL)
		result.verdict = outbox_schema_overridden(&request) ?
			OUTBOX_FOLLOW_OVERRIDDEN : OUTBOX_FOLLOW_REFUSED;
	outbox_ddl_plan_add(old->route.event_type, &result);
	return result.verdict == OUTBOX_FOLLOW_REFUSED;
}

static bool
plan_schemas(const OutboxCapture *old, const OutboxCaptureSchemas *schemas,
			 Oid role)
{
	bool		refused = plan_schema(old, old->route.subject, old->schema_id,
									  schemas->value, role);

	return plan_schema(old, old->route.key_subject, old->key_schema_id,
					   schemas->key, role) || refused;
}

/* ---- one capture ---- */

static void
follow(const OutboxCapture *capture, const OutboxDdlChange *change, Oid role)
{
	Relation	rel = relation_open(capture->relation, AccessShareLock);
	const OutboxAvroRename *rename = change->renamed ? &change->rename : NULL;
	const OutboxAvroRename *column = rename != NULL &&
		list_member_oid(change->types, rel->rd_rel->reltype) ? rename : NULL;
	OutboxCaptureRequest old;
	OutboxCaptureRequest request;
	OutboxCaptureSchemas schemas;

	outbox_capture_load(capture, &old);
	request = old;
	request.by_ddl = true;
	request.def.key_columns = current_names(old.def.key_columns,
											capture->relation, column);
	request.def.columns = current_names(old.def.columns, capture->relation,
										column);
	request.def.masks = current_masks(old.def.masks, capture->relation, column);
	refuse_key(&request.def, &old.def, rel);
	check_filter(&request.def, rel);
	outbox_capture_schemas(&request.def, rel, rename, &schemas);
	relation_close(rel, NoLock);
	if (outbox_ddl_planning() && plan_schemas(&old.def, &schemas, role))
		return;
	outbox_capture_save(&request, &old, &schemas, role);
}

/* What is about the table itself, not its columns. */
static void
check_table(const OutboxCapture *capture)
{
	HeapTuple	tuple = SearchSysCache1(RELOID,
										ObjectIdGetDatum(capture->relation));
	FormData_pg_class form;

	if (!HeapTupleIsValid(tuple))
		return;
	memcpy(&form, GETSTRUCT(tuple), sizeof(form));
	ReleaseSysCache(tuple);
	if (form.relpersistence != RELPERSISTENCE_PERMANENT)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("captured table \"%s\" cannot be made unlogged",
						NameStr(form.relname)),
				 errdetail("A crash would empty it without an event."),
				 errhint("Call outbox.uncapture() first.")));
	if (form.relrowsecurity && !capture->rls_ok)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is captured, which row security does not apply to",
						NameStr(form.relname)),
				 errhint("If every reader of the topic may see every row, run outbox.alter_capture(row_security => true) in the same transaction before.")));
	if (!capture->log && outbox_capture_triggers_disabled(capture->relation))
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("changes of table \"%s\" are not captured while its triggers are disabled",
						NameStr(form.relname)),
				 errhint("To stop for good, use outbox.uncapture().")));
	if (capture->log && outbox_capture_log != NULL)
		outbox_capture_log->started(capture);
}

/* Whether the capture can be followed: it may be half restored or dropped. */
static bool
is_complete(const OutboxCapture *capture)
{
	return OidIsValid(get_rel_type_id(capture->relation)) &&
		(capture->schema_id == 0 ||
		 outbox_catalog_schema(capture->schema_id) != NULL) &&
		(capture->key_schema_id == 0 ||
		 outbox_catalog_schema(capture->key_schema_id) != NULL);
}

void
outbox_capture_follow(OutboxDdlChange *change, Oid role)
{
	ListCell   *lc;

	if (change->relations == NIL && change->types == NIL &&
		change->namespaces == NIL)
		return;
	foreach(lc, outbox_capture_list())
	{
		const OutboxCapture *capture = lfirst(lc);

		if (!is_complete(capture))
			continue;
		if (list_member_oid(change->relations, capture->relation))
			check_table(capture);
		if (outbox_ddl_change_touches(change,
									  get_rel_type_id(capture->relation)))
			follow(capture, change, role);
	}
}
