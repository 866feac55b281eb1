/*-------------------------------------------------------------------------
 *
 * text.c
 *		Texts that schemas are made of: the one rendering, the schema of a row
 *		type, and the statement that asks for it.
 *
 * A schema is stored as avro/ renders it, so that equal schemas are equal text
 * and get the same id.  Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "nodes/plannodes.h"
#include "schema/schema.h"
#include "schema/store.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/portal.h"

#define MAX_STATEMENT 8192		/* bytes kept of a statement */

OutboxAvroSchema *
outbox_schema_parse(const char *schema)
{
	return outbox_avro_parse_or_error(schema, strlen(schema));
}

static char *
render(const OutboxAvroSchema *parsed)
{
	StringInfoData out;

	initStringInfo(&out);
	outbox_avro_render(parsed, &out);
	return pg_any_to_server(out.data, out.len, PG_UTF8);
}

char *
outbox_schema_render(const char *schema)
{
	return render(outbox_schema_parse(schema));
}

char *
outbox_schema_render_record(const char *schema)
{
	OutboxAvroSchema *parsed = outbox_schema_parse(schema);

	if (!outbox_avro_is_record(parsed))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("schema of an event type must be an Avro record"),
				 errhint("Make the value a field of a record.")));
	return render(parsed);
}

char *
outbox_schema_of_row_type(Oid row_type, const char *before,
						  const OutboxAvroRename *rename)
{
	const OutboxAvroSchema *old = NULL;

	if (get_typtype(getBaseType(row_type)) != TYPTYPE_COMPOSITE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("type %s is not a row type",
						format_type_be(row_type)),
				 errhint("Pass a table or a composite type.")));
	if (before != NULL)
		old = outbox_schema_parse(before);
	return outbox_avro_schema_of_changed_type(row_type, old, rename);
}

/*
 * The client may have sent several statements at once, of which the others are
 * nobody's business: they may hold secrets.
 */
char *
outbox_schema_statement(void)
{
	const char *text = debug_query_string;
	int			len;

	if (ActivePortal != NULL && ActivePortal->sourceText != NULL)
	{
		text = ActivePortal->sourceText;
		len = strlen(text);
		if (ActivePortal->stmts != NIL)
		{
			PlannedStmt *stmt = linitial_node(PlannedStmt, ActivePortal->stmts);

			if (stmt->stmt_location > 0 && stmt->stmt_location < len)
			{
				text += stmt->stmt_location;
				len -= stmt->stmt_location;
			}
			if (stmt->stmt_len > 0)
				len = Min(len, stmt->stmt_len);
		}
	}
	else if (text != NULL)
		len = strlen(text);
	else
		return NULL;
	while (len > 0 && isspace((unsigned char) *text))
		text++, len--;
	while (len > 0 && isspace((unsigned char) text[len - 1]))
		len--;
	return pnstrdup(text, pg_mbcliplen(text, len, MAX_STATEMENT));
}
