/*-------------------------------------------------------------------------
 *
 * refs.c
 *		Schemas that refer to named types of other subjects.
 *
 * Such a schema is stored twice: as it was given, for those who ask for it by
 * the registry's API, and complete, for our own decoder and for checks.  What
 * it refers to is a version and so never changes its meaning; references of
 * references come along, each version once, before what needs it.
 *
 * References lead to versions that exist already, so they form no circle.
 * Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/owner.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "schema/errors.h"
#include "schema/refs.h"
#include "utils/builtins.h"

/* Columns of outbox.registry_refs() */
enum
{
	REF_NAME = 1,
	REF_SUBJECT,
	REF_VERSION,
	REF_DEFINITION,
	REF_REFS
};

typedef struct Collector
{
	List	   *seen;			/* "version subject" */
	List	   *texts;			/* definitions in UTF-8, in order of need */
} Collector;

static char *
to_utf8(const char *text)
{
	return pg_server_to_any(text, strlen(text), PG_UTF8);
}

static char *
to_server(const char *utf8)
{
	return pg_any_to_server(utf8, strlen(utf8), PG_UTF8);
}

static bool
seen_before(Collector *collector, const char *subject, const char *version)
{
	char	   *key = psprintf("%s %s", version, subject);
	ListCell   *lc;

	foreach(lc, collector->seen)
	{
		if (strcmp(lfirst(lc), key) == 0)
			return true;
	}
	collector->seen = lappend(collector->seen, key);
	return false;
}

static void
collect(Collector *collector, const char *refs)
{
	Oid			types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(refs)};
	uint64		n;
	SPITupleTable *rows;

	check_stack_depth();
	n = outbox_owner_execute("SELECT * FROM outbox.registry_refs($1::pg_catalog.jsonb)",
							 1, types, values, NULL);
	rows = SPI_tuptable;
	for (uint64 i = 0; i < n; i++)
	{
#define COLUMN(c) SPI_getvalue(rows->vals[i], rows->tupdesc, c)
		char	   *name = COLUMN(REF_NAME);
		char	   *subject = COLUMN(REF_SUBJECT);
		char	   *version = COLUMN(REF_VERSION);
		char	   *definition = COLUMN(REF_DEFINITION);
		char	   *more = COLUMN(REF_REFS);

		if (name == NULL || subject == NULL || version == NULL)
			ereport(ERROR,
					(errcode(OUTBOX_ERRCODE_INVALID_SCHEMA),
					 errmsg("a schema reference needs name, subject and version")));
		if (definition == NULL)
			ereport(ERROR,
					(errcode(OUTBOX_ERRCODE_INVALID_SCHEMA),
					 errmsg("schema reference \"%s\" leads nowhere", name),
					 errdetail("There is no version %s of subject \"%s\".",
							   version, subject)));
		if (seen_before(collector, subject, version))
			continue;
		if (more != NULL)
			collect(collector, more);
		collector->texts = lappend(collector->texts, to_utf8(definition));
	}
}

/* As it is stored: three keys, and a number where the latest was meant. */
static char *
normal_refs(const char *refs)
{
	Oid			types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(refs)};

	(void) outbox_owner_execute("SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object("
								"'name', r.name, 'subject', r.subject, 'version', r.version))"
								" FROM outbox.registry_refs($1::pg_catalog.jsonb) r",
								1, types, values, NULL);
	return outbox_owner_result_text(1);
}

void
outbox_refs_parse(const char *schema, const char *refs,
				  OutboxParsedSchema *out)
{
	Collector	collector = {0};
	OutboxAvroError error;
	const char **texts;
	int			n = 0;
	ListCell   *lc;
	StringInfoData text;

	if (refs != NULL)
		collect(&collector, refs);
	texts = palloc((list_length(collector.texts) + 1) * sizeof(char *));
	foreach(lc, collector.texts)
		texts[n++] = lfirst(lc);
	texts[n++] = to_utf8(schema);
	out->schema = outbox_avro_parse_referring(texts, n, &error);
	if (out->schema == NULL)
		ereport(ERROR,
				(errcode(OUTBOX_ERRCODE_INVALID_SCHEMA),
				 errmsg("invalid Avro schema at %s: %s",
						to_server(error.path), to_server(error.message)),
				 error.hint[0] ? errhint("%s", to_server(error.hint)) : 0));

	memset(&out->text, 0, sizeof(out->text));
	initStringInfo(&text);
	outbox_avro_render_referring(out->schema, &text);
	out->text.definition = to_server(text.data);
	if (n == 1)
		return;
	initStringInfo(&text);
	outbox_avro_render(out->schema, &text);
	out->text.resolved = to_server(text.data);
	out->text.refs = normal_refs(refs);
}
