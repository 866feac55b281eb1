/*-------------------------------------------------------------------------
 *
 * check.c
 *		A new schema against what its subject had, and saying what is wrong.
 *
 * The rules are avro/compat.h; this file reads the schemas to hold the new one
 * against and puts violations into words.  Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/owner.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "schema/check.h"
#include "schema/errors.h"
#include "schema/schema.h"
#include "utils/builtins.h"

#define MAX_SHOWN 10			/* violations in one error */

OutboxCompatLevel
outbox_check_level(const char *name)
{
	OutboxCompatLevel level;

	if (!outbox_compat_level_parse(name, &level))
		ereport(ERROR,
				(errcode(OUTBOX_ERRCODE_INVALID_LEVEL),
				 errmsg("invalid compatibility level \"%s\"", name),
				 errhint("Use NONE, BACKWARD, FORWARD, FULL or one of the last three with _TRANSITIVE.")));
	return level;
}

/* The rows (version, definition) of the last statement, parsed. */
static void
take_rows(uint64 n, OutboxCheckBase *base)
{
	SPITupleTable *rows = SPI_tuptable;

	base->count = (int) n;
	base->schemas = palloc((n + 1) * sizeof(OutboxAvroSchema *));
	base->versions = palloc((n + 1) * sizeof(int32));
	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;

		base->versions[i] = DatumGetInt32(SPI_getbinval(rows->vals[i],
														rows->tupdesc, 1,
														&isnull));
		base->schemas[i] = outbox_schema_parse(SPI_getvalue(rows->vals[i],
															rows->tupdesc, 2));
	}
}

void
outbox_check_base_all(const char *subject, OutboxCheckBase *base)
{
	Oid			types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(subject)};

	take_rows(outbox_owner_execute("SELECT v.version, coalesce(s.resolved, s.definition)"
								   " FROM outbox.schema_version v"
								   " JOIN outbox.schema s ON s.id OPERATOR(pg_catalog.=) v.schema_id"
								   " WHERE v.subject OPERATOR(pg_catalog.=) $1"
								   " AND NOT v.deleted ORDER BY v.version",
								   1, types, values, NULL), base);
}

void
outbox_check_base_one(uint32 schema_id, int32 version, OutboxCheckBase *base)
{
	Oid			types[] = {INT4OID, INT4OID};
	Datum		values[] = {
		Int32GetDatum(version), Int32GetDatum((int32) schema_id)
	};

	take_rows(outbox_owner_execute("SELECT $1, coalesce(s.resolved, s.definition)"
								   " FROM outbox.schema s"
								   " WHERE s.id OPERATOR(pg_catalog.=) $2",
								   2, types, values, NULL), base);
}

char *
outbox_check_utf8(const char *utf8)
{
	return pg_any_to_server(utf8, strlen(utf8), PG_UTF8);
}

static char *
version_text(int32 version)
{
	return version == 0 ? pstrdup("the present schema") :
		psprintf("version %d", version);
}

char *
outbox_check_message(const OutboxCheckBase *base,
					 const OutboxCompatViolation *violation)
{
	char	   *old = version_text(base->versions[violation->version]);
	bool		backward =
		violation->direction == OUTBOX_COMPAT_NEW_READS_OLD;

	return psprintf("%s (reader, %s: %s; writer, %s: %s)",
					outbox_check_utf8(violation->message),
					backward ? "the new schema" : old,
					outbox_check_utf8(violation->reader),
					backward ? old : "the new schema",
					outbox_check_utf8(violation->writer));
}

char *
outbox_check_text(const OutboxCheckBase *base,
				  const OutboxCompatViolation *violation)
{
	return psprintf("%s at %s: %s", violation->rule,
					outbox_check_utf8(violation->path),
					outbox_check_message(base, violation));
}

const char *
outbox_check_hint(const OutboxCompatViolation *violation)
{
	bool		backward =
		violation->direction == OUTBOX_COMPAT_NEW_READS_OLD;

	if (strcmp(violation->rule, OUTBOX_COMPAT_MISSING_DEFAULT) == 0)
		return backward ?
			"Give the new field a default, as a nullable column has." :
			"Keep the field: readers of the old schema have no default for it.";
	if (strcmp(violation->rule, OUTBOX_COMPAT_MISSING_ENUM_SYMBOLS) == 0)
		return backward ?
			"Keep the symbols that were written, or give the enum a default." :
			"Give the enum a default symbol before adding others.";
	if (strcmp(violation->rule, OUTBOX_COMPAT_NAME_MISMATCH) == 0)
		return backward ? "Keep the name, or add the old one as an alias." :
			"Keep the name: readers of the old schema do not know the new one.";
	return "Add a field or column of the new type instead of changing this one.";
}

void
outbox_check_throw(const char *subject, OutboxCompatLevel level,
				   const OutboxCheckBase *base,
				   const OutboxCompatViolations *list)
{
	StringInfoData detail;
	int			shown = Min(list->count, MAX_SHOWN);

	initStringInfo(&detail);
	for (int i = 0; i < shown; i++)
		appendStringInfo(&detail, "%s%s.", i == 0 ? "" : "\n",
						 outbox_check_text(base, &list->items[i]));
	if (list->count > shown)
		appendStringInfo(&detail, "\nAnd %d more.", list->count - shown);
	ereport(ERROR,
			(errcode(OUTBOX_ERRCODE_INCOMPATIBLE_SCHEMA),
			 errmsg("schema is not %s compatible with %s of subject \"%s\"",
					outbox_compat_level_name(level),
					version_text(base->versions[list->items[0].version]),
					subject),
			 errdetail_internal("%s", detail.data),
			 errhint("%s Or lower the level with outbox.set_compatibility(), or accept this one with SET LOCAL outbox.allow_incompatible_schema = on.",
					 outbox_check_hint(&list->items[0]))));
}
