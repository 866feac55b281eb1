/*-------------------------------------------------------------------------
 *
 * capture_triggers.c
 *		The triggers of a captured table.
 *
 * Created and dropped as the extension's owner: nobody else may execute the
 * trigger functions.  On a partitioned table the server gives row triggers to
 * every partition, also to those to come, and takes them away on DETACH;
 * TRUNCATE of the whole table fires on the table itself, TRUNCATE of one
 * partition is no event (docs/capture.md).
 *
 * The three row triggers write the change while their WHEN condition is
 * evaluated (capture_row.c says why), and so are never queued.  ENABLE ALWAYS:
 * they also fire for what a logical subscription applies, unless the capture's
 * origin is "none".
 *
 * The triggers are the table's, not the extension's: pg_dump writes them with
 * the table, after its data.  Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/capture.h"
#include "catalog/owner.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

typedef struct CaptureTrigger
{
	const char *name;
	const char *definition;		/* after the table's name */
	const char *event;
} CaptureTrigger;

static const CaptureTrigger triggers[] = {
	{"outbox_capture_insert",
		"FOR EACH ROW WHEN (outbox.capture_row(NULL, NULL, NEW.tableoid, NEW.ctid))"
		" EXECUTE FUNCTION outbox.capture_change()",
	"INSERT"},
	{"outbox_capture_update",
		"FOR EACH ROW WHEN (outbox.capture_row(OLD.tableoid, OLD.ctid, NEW.tableoid, NEW.ctid))"
		" EXECUTE FUNCTION outbox.capture_change()",
	"UPDATE"},
	{"outbox_capture_delete",
		"FOR EACH ROW WHEN (outbox.capture_row(OLD.tableoid, OLD.ctid, NULL, NULL))"
		" EXECUTE FUNCTION outbox.capture_change()",
	"DELETE"},
	{"outbox_capture_truncate",
		"FOR EACH STATEMENT EXECUTE FUNCTION outbox.capture_truncate()",
	"TRUNCATE"}
};

static char *
qualified_name(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
									  get_rel_name(relid));
}

/* How many of them the table has that fire as they should. */
static int
count_triggers(Oid relid, bool always)
{
	Oid			types[] = {OIDOID, CHAROID};
	Datum		values[] = {
		ObjectIdGetDatum(relid),
		CharGetDatum(always ? TRIGGER_FIRES_ALWAYS : TRIGGER_FIRES_ON_ORIGIN)
	};

	return (int) outbox_owner_execute("SELECT 1 FROM pg_catalog.pg_trigger t"
									  " WHERE t.tgrelid OPERATOR(pg_catalog.=) $1"
									  " AND t.tgname IN ('outbox_capture_insert',"
									  " 'outbox_capture_update', 'outbox_capture_delete',"
									  " 'outbox_capture_truncate')"
									  " AND t.tgenabled OPERATOR(pg_catalog.=) $2",
									  2, types, values, NULL);
}

static void
create_triggers(Oid relid, bool always)
{
	char	   *table = qualified_name(relid);

	for (int i = 0; i < lengthof(triggers); i++)
	{
		const CaptureTrigger *t = &triggers[i];

		outbox_owner_command("CREATE TRIGGER %s AFTER %s ON %s %s",
							 t->name, t->event, table, t->definition);
		outbox_owner_command("ALTER TABLE %s ENABLE %s TRIGGER %s",
							 table, always ? "ALWAYS" : "", t->name);
	}

	/*
	 * They were created by name; a schema renamed at that moment (which no
	 * table lock prevents) would have put them elsewhere.
	 */
	if (count_triggers(relid, always) != lengthof(triggers))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("table was renamed while it was captured")));
}

void
outbox_capture_drop_triggers(Oid relid)
{
	char	   *table = qualified_name(relid);

	for (int i = 0; i < lengthof(triggers); i++)
	{
		if (OidIsValid(get_trigger_oid(relid, triggers[i].name, true)))
			outbox_owner_command("DROP TRIGGER %s ON %s",
								 triggers[i].name, table);
	}
}

void
outbox_capture_make_triggers(Oid relid, const char *origin)
{
	if (count_triggers(relid, strcmp(origin, "any") == 0) == lengthof(triggers))
		return;
	outbox_capture_drop_triggers(relid);
	create_triggers(relid, strcmp(origin, "any") == 0);
}

bool
outbox_capture_triggers_disabled(Oid relid)
{
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(relid)};

	return outbox_owner_execute("SELECT 1 FROM pg_catalog.pg_trigger t"
								" WHERE t.tgrelid OPERATOR(pg_catalog.=) $1"
								" AND t.tgname IN ('outbox_capture_insert',"
								" 'outbox_capture_update', 'outbox_capture_delete',"
								" 'outbox_capture_truncate')"
								" AND t.tgenabled IN ('D', 'R')",
								1, types, values, NULL) > 0;
}
