/*-------------------------------------------------------------------------
 *
 * register.c
 *		The door for schemas of event types.
 *
 * A version is added in the transaction that asks for it, under the subject's
 * row lock (version.c): a crash or an abort leaves neither schema nor version,
 * and no other session can add one in between check and insert.
 *
 * The new schema is held against the subject's versions at its level, and also
 * against what the event type writes now, where that is another one.  Going
 * back to a schema the subject had before is a change like any other and is
 * checked, but makes no version: within a subject a schema has one.
 *
 * Joining a subject, even with the schema it has, takes the right to change it:
 * otherwise the newcomer could keep its owner from changing it.  Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "schema/check.h"
#include "schema/errors.h"
#include "schema/schema.h"
#include "schema/store.h"

static void
check_mode(const OutboxSubjectState *subject)
{
	if (strcmp(subject->mode, "READWRITE") != 0)
		ereport(ERROR,
				(errcode(OUTBOX_ERRCODE_NOT_PERMITTED),
				 errmsg("subject \"%s\" is in mode %s", subject->name,
						subject->mode),
				 errhint("Versions are added in mode READWRITE; see outbox.subjects.")));
}

static void
check_right(const OutboxSchemaRequest *request)
{
	if (!outbox_subject_may_change(request->subject, request->role))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of the event types of subject \"%s\"",
						request->subject),
				 errhint("Use another topic or another subject name strategy.")));
}

/* Violations of the new schema against one base, NULL when there is none. */
static OutboxCompatViolations *
violations(const char *definition, const OutboxCheckBase *base,
		   OutboxCompatLevel level)
{
	OutboxCompatViolations *list;

	list = outbox_compat_check(outbox_schema_parse(definition), base->schemas,
							   base->count, level);
	return list->count > 0 ? list : NULL;
}

OutboxCompatViolations *
outbox_schema_violations(const OutboxSchemaRequest *request,
						 const OutboxSubjectState *subject,
						 OutboxCheckBase *base)
{
	OutboxCompatLevel level = outbox_check_level(subject->level);
	OutboxCompatViolations *list;

	outbox_check_base_all(subject->name, base);
	list = violations(request->definition, base, level);
	if (list != NULL || request->current == 0 ||
		request->current == subject->latest_schema)
		return list;
	outbox_check_base_one(request->current, 0, base);
	return violations(request->definition, base, level);
}

bool
outbox_schema_overridden(const OutboxSchemaRequest *request)
{
	return outbox_allow_incompatible_schema &&
		outbox_subject_may_change(request->subject, request->role);
}

static void
check_level(const OutboxSchemaRequest *request,
			const OutboxSubjectState *subject)
{
	OutboxCheckBase base;
	OutboxCompatViolations *list;

	if (outbox_schema_overridden(request))
		return;
	list = outbox_schema_violations(request, subject, &base);
	if (list != NULL)
		outbox_check_throw(subject->name, outbox_check_level(subject->level),
						   &base, list);
}

void
outbox_schema_check(const OutboxSchemaRequest *request)
{
	OutboxSubjectState subject;

	outbox_subject_open(request->subject, request->role, &subject);
	check_level(request, &subject);
}

List *
outbox_schema_problems(const OutboxSchemaRequest *request)
{
	OutboxSubjectState subject;
	OutboxCheckBase base;
	OutboxCompatViolations *list;
	List	   *problems = NIL;

	outbox_subject_open(request->subject, request->role, &subject);
	list = outbox_schema_violations(request, &subject, &base);
	for (int i = 0; list != NULL && i < list->count; i++)
	{
		OutboxSchemaProblem *problem = palloc(sizeof(OutboxSchemaProblem));

		problem->rule = list->items[i].rule;
		problem->path = outbox_check_utf8(list->items[i].path);
		problem->message = outbox_check_message(&base, &list->items[i]);
		problems = lappend(problems, problem);
	}
	return problems;
}

uint32
outbox_schema_register(const OutboxSchemaRequest *request)
{
	OutboxSchemaText text = {.definition = request->definition};
	OutboxSubjectState subject;
	uint32		id;

	outbox_subject_open(request->subject, request->role, &subject);
	id = outbox_store_find(&text);
	if (!request->by_ddl &&
		(request->current == 0 || subject.latest_schema != id))
		check_right(request);
	if (id != 0 && subject.latest_schema == id)
		return id;
	check_mode(&subject);
	check_level(request, &subject);
	if (id == 0)
		id = outbox_store_add(&text, request->role, 0);
	if (outbox_version_find(&subject, id) == 0)
		(void) outbox_version_add(&subject, id, 0, request->role);
	return id;
}
