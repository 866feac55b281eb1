/*-------------------------------------------------------------------------
 *
 * register.c
 *		The door for schemas of event types.
 *
 * A version is added in the transaction that asks for it, under the subject's
 * row lock (version.c): a crash or an abort leaves neither schema nor version,
 * and no other session can add one in between check and insert.
 *
 * Going back to a schema the subject had before is a change like any other and
 * is checked, but makes no version: within a subject a schema has one.  Owns
 * no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

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
				 errmsg("must be owner of the event types of subject \"%s\" to add a version",
						request->subject),
				 errhint("Use another topic or another subject name strategy.")));
}

uint32
outbox_schema_register(const OutboxSchemaRequest *request)
{
	OutboxSchemaText text = {.definition = request->definition};
	OutboxSubjectState subject;
	uint32		id;

	outbox_subject_open(request->subject, request->role, &subject);
	id = outbox_store_find(&text);
	if (id != 0 && subject.latest_schema == id)
		return id;
	check_mode(&subject);
	check_right(request);
	if (id == 0)
		id = outbox_store_add(&text, request->role, 0);
	if (outbox_version_find(&subject, id) == 0)
		(void) outbox_version_add(&subject, id, 0, request->role);
	return id;
}
