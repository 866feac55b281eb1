/*-------------------------------------------------------------------------
 *
 * ddl_gate.c
 *		Event triggers: no DDL changes the schema of an event type or of a
 *		captured table unseen.
 *
 *	  command end	row type of an event type touched: its schema is made anew
 *					and, if it differs, must be compatible.  Then it is stored
 *					as a version and the event type moved to it, in the
 *					transaction of the DDL; else the DDL fails.
 *	  drop			columns as above.  The row type itself: refused, or with
 *					CASCADE the event type keeps the schema it has.
 *
 * Captured tables go the same way (capture_follow.c), and tables that come into
 * a captured schema are captured (capture_schema.c).
 *
 * All leave at once when no event type of this database has a row type and
 * nothing is captured, which a backend remembers while our tables stand still
 * (catalog.h).  What the gate
 * does not see (event triggers disabled, session_replication_role) is noticed
 * when a row is encoded (emit/event_row.c).
 *
 * All changes are rows of our tables, so an abort of the DDL, also of a
 * savepoint, takes them along, and a crash leaves either both or none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/skey.h"
#include "capture/capture.h"
#include "capture/ddl_change.h"
#include "capture/ddl_plan.h"
#include "catalog/catalog.h"
#include "catalog/owner.h"
#include "emit/event_type_follow.h"
#include "fmgr.h"
#include "schema/schema.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(outbox_ddl_gate);

/* Column numbers of event_type_def, in the order of catalog.sql. */
enum
{
	Anum_type_id = 1,
	Anum_type_name = 2,
	Anum_type_route = 3,
	Anum_type_schema = 4,
	Anum_type_row_type = 5,
	Anum_type_key_field = 6
};

/* An event type whose schema comes from a row type. */
typedef struct RowEvent
{
	int32		id;
	char	   *name;
	uint32		route_id;
	uint32		schema_id;
	Oid			row_type;
	char	   *key;			/* or NULL */
} RowEvent;

static List *
read_row_events(void)
{
	OutboxCatalogScan scan;
	HeapTuple	tuple;
	List	   *events = NIL;

	outbox_catalog_scan_begin(&scan, "event_type_def", NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = outbox_catalog_scan_next(&scan)))
	{
		bool		isnull;
		Oid			row_type;
		RowEvent   *event;

		row_type = DatumGetObjectId(outbox_catalog_attr(&scan, tuple,
														Anum_type_row_type,
														&isnull));
		if (isnull)
			continue;
		event = palloc(sizeof(RowEvent));
		event->row_type = row_type;
		event->id = DatumGetInt32(outbox_catalog_attr(&scan, tuple,
													  Anum_type_id, &isnull));
		event->name = outbox_catalog_text(&scan, tuple, Anum_type_name);
		event->route_id =
			DatumGetInt32(outbox_catalog_attr(&scan, tuple, Anum_type_route,
											  &isnull));
		event->schema_id =
			DatumGetInt32(outbox_catalog_attr(&scan, tuple, Anum_type_schema,
											  &isnull));
		event->key = outbox_catalog_text(&scan, tuple, Anum_type_key_field);
		events = lappend(events, event);
	}
	outbox_catalog_scan_end(&scan);
	return events;
}

/* The cheap way out of all DDL that is none of ours. */
static bool
none_of_ours(void)
{
	static uint64 generation = 0;
	static bool none = false;

	if (generation != outbox_catalog_generation())
	{
		/* looking up a table may count the generation up: read it last */
		none = read_row_events() == NIL && outbox_capture_list() == NIL &&
			!outbox_capture_schema_any();
		generation = outbox_catalog_generation();
	}
	return none;
}

/* The new name of the key column, NULL = as it was. */
static const char *
renamed_key(const RowEvent *event, const OutboxDdlChange *change)
{
	if (change->renamed && event->key != NULL &&
		change->rename.old_column != NULL &&
		strcmp(change->rename.old_column, event->key) == 0 &&
		list_member_oid(change->types, event->row_type))
		return change->rename.new_column;
	return NULL;
}

static void
follow(const RowEvent *event, OutboxDdlChange *change, Oid role)
{
	OutboxFollowResult result;
	OutboxRoute route;
	char	   *before = outbox_catalog_schema(event->schema_id);
	char	   *schema;

	/* pg_restore --jobs may be loading our tables at this moment */
	if (before == NULL || !outbox_catalog_route(event->route_id, &route))
		return;
	schema = outbox_schema_of_row_type(event->row_type, before,
									   change->renamed ? &change->rename : NULL);
	outbox_event_type_follow(event->id, event->name, schema,
							 renamed_key(event, change), role,
							 outbox_ddl_planning(), &result);
	if (outbox_ddl_planning() && result.verdict != OUTBOX_FOLLOW_SAME)
		outbox_ddl_plan_add(event->name, &result);
}

/* The row type is gone: with CASCADE the event type lives on without. */
static void
drop(const RowEvent *event, const OutboxDdlChange *change)
{
	OutboxFollowResult result = {.verdict = OUTBOX_FOLLOW_REFUSED};
	OutboxSchemaProblem problem = {"ROW_TYPE_DROPPED", "$", NULL};

	if (change->cascade)
	{
		outbox_event_type_detach(event->id);
		ereport(NOTICE,
				(errmsg("event type \"%s\" keeps the schema of its dropped row type",
						event->name)));
		return;
	}
	problem.message = psprintf("event type \"%s\" takes its schema from it",
							   event->name);
	if (!outbox_ddl_planning())
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("cannot drop the row type of event type \"%s\"",
						event->name),
				 errhint("Drop the event type first, with outbox.drop_event_type(), or use DROP ... CASCADE to let it keep the schema it has.")));
	result.problems = list_make1(&problem);
	outbox_ddl_plan_add(event->name, &result);
}

static void
judge(OutboxDdlChange *change, Oid role)
{
	List	   *events = read_row_events();
	ListCell   *lc;

	foreach(lc, events)
	{
		RowEvent   *event = lfirst(lc);

		if (list_member_oid(change->dropped, event->row_type))
			drop(event, change);
		else if (SearchSysCacheExists1(TYPEOID,
									   ObjectIdGetDatum(event->row_type)) &&
				 outbox_ddl_change_touches(change, event->row_type))
			follow(event, change, role);
	}
}

/* outbox.ddl_gate(): event trigger on ddl_command_end and sql_drop. */
Datum
outbox_ddl_gate(PG_FUNCTION_ARGS)
{
	OutboxDdlChange change;
	OutboxOwnerScope scope;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("outbox.ddl_gate() is an event trigger function")));
	if (none_of_ours())
		PG_RETURN_NULL();

	outbox_owner_begin(&scope);
	outbox_ddl_change_read((EventTriggerData *) fcinfo->context, &change);
	if (change.types != NIL || change.namespaces != NIL ||
		change.dropped != NIL)
		judge(&change, scope.caller);
	outbox_capture_follow(&change, scope.caller);
	outbox_capture_schema_follow(&change);
	outbox_owner_end(&scope);
	PG_RETURN_NULL();
}
