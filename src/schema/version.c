/*-------------------------------------------------------------------------
 *
 * version.c
 *		Rows of outbox.subject and outbox.schema_version.
 *
 * Versions of one subject are added one after the other: whoever opens a
 * subject holds its row to the end of the transaction.  Each version moves
 * last_version in that row, so a transaction with an older snapshot fails to
 * serialise instead of overlooking a version.  Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/owner.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "schema/errors.h"
#include "schema/schema.h"
#include "schema/store.h"
#include "utils/builtins.h"

static void
check_subject_name(const char *subject)
{
	bool		ok = *subject != '\0' && strlen(subject) <= OUTBOX_MAX_SUBJECT;

	for (const char *p = subject; ok && *p != '\0'; p++)
		ok = (unsigned char) *p >= 0x20 && *p != 0x7F;
	if (ok && strcmp(subject, "__GLOBAL") != 0 && strcmp(subject, "__EMPTY") != 0)
		return;
	ereport(ERROR,
			(errcode(OUTBOX_ERRCODE_INVALID_SUBJECT),
			 errmsg("invalid subject \"%s\"", subject),
			 errhint("A subject has 1 to %d bytes, no control characters, and is not \"__GLOBAL\" or \"__EMPTY\".",
					 OUTBOX_MAX_SUBJECT)));
}

/* Level and mode: the subject's own, else the default. */
static void
read_state(OutboxSubjectState *state)
{
	Oid			types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(state->name)};
	char	   *latest;

	(void) outbox_owner_execute("SELECT s.last_version, outbox.level_of(s.name),"
								" outbox.mode_of(s.name), v.version, v.schema_id"
								" FROM outbox.subject s LEFT JOIN LATERAL"
								" (SELECT x.version, x.schema_id"
								" FROM outbox.schema_version x"
								" WHERE x.subject OPERATOR(pg_catalog.=) s.name"
								" AND NOT x.deleted ORDER BY x.version DESC LIMIT 1)"
								" v ON true"
								" WHERE s.name OPERATOR(pg_catalog.=) $1",
								1, types, values, NULL);
	state->last_version = outbox_owner_result_int();
	state->level = outbox_owner_result_text(2);
	state->mode = outbox_owner_result_text(3);
	latest = outbox_owner_result_text(4);
	state->latest = latest == NULL ? 0 : atoi(latest);
	state->latest_schema = latest == NULL ? 0 :
		atoi(outbox_owner_result_text(5));
}

void
outbox_subject_open(const char *subject, Oid role, OutboxSubjectState *state)
{
	Oid			types[] = {TEXTOID, TEXTOID};
	Datum		values[] = {
		CStringGetTextDatum(subject),
		CStringGetTextDatum(GetUserNameFromId(role, false))
	};

	check_subject_name(subject);
	(void) outbox_owner_execute("INSERT INTO outbox.subject (name, created_by)"
								" VALUES ($1, $2) ON CONFLICT DO NOTHING",
								2, types, values, NULL);
	(void) outbox_owner_execute("SELECT 1 FROM outbox.subject s"
								" WHERE s.name OPERATOR(pg_catalog.=) $1"
								" AND $2 IS NOT NULL FOR UPDATE",
								2, types, values, NULL);
	state->name = subject;
	read_state(state);
}

int32
outbox_version_find(const OutboxSubjectState *subject, uint32 id)
{
	Oid			types[] = {TEXTOID, INT4OID};
	Datum		values[] = {
		CStringGetTextDatum(subject->name), Int32GetDatum((int32) id)
	};

	if (outbox_owner_execute("SELECT v.version FROM outbox.schema_version v"
							 " WHERE v.subject OPERATOR(pg_catalog.=) $1"
							 " AND v.schema_id OPERATOR(pg_catalog.=) $2"
							 " AND NOT v.deleted ORDER BY v.version DESC LIMIT 1",
							 2, types, values, NULL) == 0)
		return 0;
	return outbox_owner_result_int();
}

int32
outbox_version_add(OutboxSubjectState *subject, uint32 id, int32 version,
				   Oid role)
{
	char	   *statement = outbox_schema_statement();
	Oid			types[] = {TEXTOID, INT4OID, INT4OID, TEXTOID, TEXTOID};
	Datum		values[] = {
		CStringGetTextDatum(subject->name),
		Int32GetDatum(version != 0 ? version : subject->last_version + 1),
		Int32GetDatum((int32) id),
		CStringGetTextDatum(GetUserNameFromId(role, false)),
		statement ? CStringGetTextDatum(statement) : (Datum) 0
	};
	const char *nulls = statement ? NULL : "    n";

	if (version == 0 && subject->last_version == PG_INT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("subject \"%s\" has no version number left",
						subject->name)));
	if (outbox_owner_execute("INSERT INTO outbox.schema_version"
							 " (subject, version, schema_id, created_by, statement)"
							 " VALUES ($1, $2, $3, $4, $5)"
							 " ON CONFLICT DO NOTHING RETURNING version",
							 5, types, values, nulls) == 0)
		ereport(ERROR,
				(errcode(OUTBOX_ERRCODE_NOT_PERMITTED),
				 errmsg("version %d of subject \"%s\" exists already",
						version, subject->name)));
	version = outbox_owner_result_int();
	(void) outbox_owner_execute("UPDATE outbox.subject SET last_version ="
								" GREATEST(last_version, $2)"
								" WHERE name OPERATOR(pg_catalog.=) $1"
								" AND $3 IS NOT NULL AND $4 IS NOT NULL",
								4, types, values, NULL);
	subject->last_version = Max(subject->last_version, version);
	subject->latest = Max(subject->latest, version);
	subject->latest_schema = id;
	return version;
}
