/*-------------------------------------------------------------------------
 *
 * subject.c
 *		Names of subjects, and who may change them.
 *
 * A subject belongs to whoever owns all event types and captured tables that
 * write under it now.
 * One that none writes under (any more) is free to be taken up by a new event
 * type; its level is then the extension owner's to change.  Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/catalog.h"
#include "catalog/owner.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "schema/check.h"
#include "schema/errors.h"
#include "schema/schema.h"
#include "schema/store.h"
#include "utils/acl.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(outbox_set_compatibility);

static const char *const strategy_names[] = {
	[OUTBOX_SUBJECT_TOPIC] = "TopicName",
	[OUTBOX_SUBJECT_RECORD] = "RecordName",
	[OUTBOX_SUBJECT_TOPIC_RECORD] = "TopicRecordName"
};

OutboxSubjectStrategy
outbox_subject_strategy(const char *name)
{
	for (int i = 0; i < lengthof(strategy_names); i++)
	{
		if (strcmp(name, strategy_names[i]) == 0)
			return (OutboxSubjectStrategy) i;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid subject name strategy \"%s\"", name),
			 errhint("Use \"TopicName\", \"RecordName\" or \"TopicRecordName\".")));
}

const char *
outbox_subject_strategy_name(OutboxSubjectStrategy strategy)
{
	return strategy_names[strategy];
}

char *
outbox_subject_name(OutboxSubjectStrategy strategy, const char *topic,
					const char *definition)
{
	const char *fullname;

	if (strategy == OUTBOX_SUBJECT_TOPIC)
		return psprintf("%s-value", topic);
	fullname = outbox_avro_fullname(outbox_schema_parse(definition));
	if (strategy == OUTBOX_SUBJECT_RECORD)
		return pstrdup(fullname);
	return psprintf("%s-%s", topic, fullname);
}

static bool
manages_all(Oid role)
{
	return has_privs_of_role(role, outbox_catalog_owner()) ||
		outbox_owner_is_admin(role);
}

/* Whether role may change it; *used = something writes under it. */
static bool
may_change(const char *subject, Oid role, bool *used)
{
	Oid			types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(subject)};
	uint64		n;

	n = outbox_owner_execute("SELECT d.owner::pg_catalog.oid"
							 " FROM outbox.event_type_def d JOIN outbox.route r"
							 " ON r.id OPERATOR(pg_catalog.=) d.route_id"
							 " WHERE r.subject OPERATOR(pg_catalog.=) $1"
							 " UNION ALL SELECT c.relowner"
							 " FROM outbox.capture_def d JOIN outbox.route r"
							 " ON r.id OPERATOR(pg_catalog.=) d.route_id"
							 " JOIN pg_catalog.pg_class c"
							 " ON c.oid OPERATOR(pg_catalog.=) d.relation"
							 " WHERE r.subject OPERATOR(pg_catalog.=) $1"
							 " OR r.key_subject OPERATOR(pg_catalog.=) $1",
							 1, types, values, NULL);
	*used = n > 0;
	if (manages_all(role))
		return true;
	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;
		Datum		owner = SPI_getbinval(SPI_tuptable->vals[i],
										  SPI_tuptable->tupdesc, 1, &isnull);

		if (!has_privs_of_role(role, DatumGetObjectId(owner)))
			return false;
	}
	return true;
}

bool
outbox_subject_may_change(const char *subject, Oid role)
{
	bool		used;

	return may_change(subject, role, &used);
}

static void
throw_not_owner(const char *subject)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("must be owner of the event types of subject \"%s\"",
					subject)));
}

void
outbox_subject_set_level(const char *subject, const char *level, Oid role)
{
	OutboxSubjectState state;
	Oid			types[] = {TEXTOID, TEXTOID};
	Datum		values[2];

	if (level != NULL)
		level = outbox_compat_level_name(outbox_check_level(level));
	outbox_subject_open(subject, role, &state);
	if (!outbox_subject_may_change(subject, role))
		throw_not_owner(subject);
	values[0] = CStringGetTextDatum(subject);
	values[1] = level == NULL ? (Datum) 0 : CStringGetTextDatum(level);
	(void) outbox_owner_execute("UPDATE outbox.subject SET compatibility = $2"
								" WHERE name OPERATOR(pg_catalog.=) $1",
								2, types, values, level == NULL ? " n" : NULL);
}

void
outbox_subject_inherit_level(const char *subject, const char *from, Oid role)
{
	OutboxSubjectState state;
	Oid			types[] = {TEXTOID, TEXTOID};
	Datum		values[] = {
		CStringGetTextDatum(subject), CStringGetTextDatum(from)
	};

	outbox_subject_open(subject, role, &state);
	(void) outbox_owner_execute("UPDATE outbox.subject AS s"
								" SET compatibility = f.compatibility"
								" FROM outbox.subject f"
								" WHERE s.name OPERATOR(pg_catalog.=) $1"
								" AND f.name OPERATOR(pg_catalog.=) $2"
								" AND s.compatibility IS NULL"
								" AND s.last_version OPERATOR(pg_catalog.=) 0",
								2, types, values, NULL);
}

/* set_compatibility(subject, level); null level = the default again */
Datum
outbox_set_compatibility(PG_FUNCTION_ARGS)
{
	OutboxOwnerScope scope;
	char	   *subject;
	bool		used;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("subject must not be null")));
	subject = text_to_cstring(PG_GETARG_TEXT_PP(0));
	outbox_owner_begin(&scope);
	(void) may_change(subject, scope.caller, &used);
	if (!used && !manages_all(scope.caller))
		throw_not_owner(subject);
	outbox_subject_set_level(subject, PG_ARGISNULL(1) ? NULL :
							 text_to_cstring(PG_GETARG_TEXT_PP(1)),
							 scope.caller);
	outbox_owner_end(&scope);
	PG_RETURN_VOID();
}
