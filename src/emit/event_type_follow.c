/*-------------------------------------------------------------------------
 *
 * event_type_follow.c
 *		Event types follow the row type that their schema comes from.
 *
 * Called when DDL has changed a row type, in its transaction.  Whoever changed
 * it needs no right to the event type: the change is judged by the subject's
 * level.  A new record name leads to another subject where the strategy says
 * so; then the schema must follow that of the subject it leaves, at that
 * one's level, which the new subject takes over.  Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/owner.h"
#include "catalog/pg_type.h"
#include "emit/event_type_ddl.h"
#include "emit/event_type_follow.h"
#include "miscadmin.h"
#include "schema/schema.h"
#include "utils/builtins.h"

static OutboxSchemaProblem *
problem(const char *rule, const char *path, const char *message)
{
	OutboxSchemaProblem *result = palloc(sizeof(OutboxSchemaProblem));

	result->rule = rule;
	result->path = path;
	result->message = message;
	return result;
}

/* The key names a field for as long as the event type has it. */
static void
check_key(const OutboxTypeDefinition *def, bool planning,
		  OutboxFollowResult *result)
{
	if (outbox_type_has_key(def))
		return;
	if (!planning)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("column \"%s\" is the key of event type \"%s\"",
						def->key, def->name),
				 errhint("Give the event type another key first, with outbox.alter_event_type().")));
	result->verdict = OUTBOX_FOLLOW_REFUSED;
	result->problems = lappend(result->problems,
							   problem("KEY_REMOVED",
									   psprintf("$.%s", def->key),
									   psprintf("column \"%s\" is the key of event type \"%s\"",
												def->key, def->name)));
}

/* Look at what is wrong under one subject, without throwing. */
static void
plan_subject(OutboxSchemaRequest *request, OutboxFollowResult *result)
{
	List	   *problems = outbox_schema_problems(request);

	if (problems == NIL)
		return;
	result->problems = list_concat(result->problems, problems);
	if (outbox_schema_overridden(request))
		result->verdict = Max(result->verdict, OUTBOX_FOLLOW_OVERRIDDEN);
	else
		result->verdict = OUTBOX_FOLLOW_REFUSED;
}

/* Check under the subject it has now and, if it moves, the one it comes to. */
static void
check_subjects(OutboxTypeDefinition *def, const OutboxTypeDefinition *old,
			   Oid role, bool planning, OutboxFollowResult *result)
{
	OutboxSchemaRequest request = {
		.subject = old->subject,
		.definition = def->schema,
		.role = role,
		.current = old->schema_id,
		.by_ddl = true
	};
	char	   *subject = outbox_type_subject(def);

	result->subject = subject;
	if (planning)
		plan_subject(&request, result);
	else if (strcmp(subject, old->subject) != 0)
		outbox_schema_check(&request);
	if (strcmp(subject, old->subject) == 0)
		return;
	outbox_subject_inherit_level(subject, old->subject, role);
	if (planning)
	{
		request.subject = subject;
		request.current = 0;
		plan_subject(&request, result);
	}
}

void
outbox_event_type_follow(int32 id, const char *name, const char *schema,
						 const char *key, Oid role, bool planning,
						 OutboxFollowResult *result)
{
	OutboxTypeDefinition def = {.id = id, .name = unconstify(char *, name)};
	OutboxTypeDefinition old;
	bool		avro;

	memset(result, 0, sizeof(*result));
	result->schema = schema;
	outbox_type_read(&def);
	result->subject = def.subject;
	if (strcmp(def.schema, schema) == 0)
		return;
	old = def;
	avro = strcmp(def.format, "avro") == 0;
	result->verdict = OUTBOX_FOLLOW_COMPATIBLE;
	def.schema = unconstify(char *, schema);
	def.schema_id = 0;
	def.by_ddl = true;
	if (key != NULL)
		def.key = unconstify(char *, key);
	check_key(&def, planning, result);
	if (avro)
		check_subjects(&def, &old, role, planning, result);
	if (result->verdict == OUTBOX_FOLLOW_REFUSED)
		return;
	outbox_type_register(&def, role);
	outbox_type_route(&def, &old, role);
	(void) outbox_type_store(&def, InvalidOid);
}

void
outbox_event_type_detach(int32 id)
{
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(id)};

	(void) outbox_owner_execute("UPDATE outbox.event_type_def SET row_type = NULL"
								" WHERE id OPERATOR(pg_catalog.=) $1",
								1, types, values, NULL);
}
