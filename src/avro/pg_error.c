/*-------------------------------------------------------------------------
 *
 * pg_error.c
 *		Avro's failures as PostgreSQL errors.
 *
 * The place ("$.items[3].price") stands in the primary message, because that
 * is the one line applications log.  Text of the core is UTF-8 and is turned
 * into the database's encoding here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "avro/pg_model.h"

static const char *
to_server(const char *s)
{
	if (GetDatabaseEncoding() == PG_UTF8)
		return s;
	return pg_any_to_server(s, strlen(s), PG_UTF8);
}

void
outbox_avro_throw(const OutboxAvroError *error)
{
	const char *path = to_server(error->path);
	const char *message = to_server(error->message);
	int			hint = error->hint[0] != '\0';

	switch (error->kind)
	{
		case OUTBOX_AVRO_BAD_JSON:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid Avro schema: %s", message),
					 hint ? errdetail("%s", to_server(error->hint)) : 0));
			break;
		case OUTBOX_AVRO_BAD_BYTES:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
					 errmsg("invalid Avro data at %s: %s", path, message),
					 hint ? errhint("%s", to_server(error->hint)) : 0));
			break;
		case OUTBOX_AVRO_TOO_DEEP:
			ereport(ERROR,
					(errcode(ERRCODE_STATEMENT_TOO_COMPLEX),
					 errmsg("schema or value is too deep for Avro at %s: %s", path, message)));
			break;
		case OUTBOX_AVRO_BAD_SCHEMA:
			break;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid Avro schema at %s: %s", path, message),
			 hint ? errhint("%s", to_server(error->hint)) : 0));
}

OutboxAvroSchema *
outbox_avro_parse_or_error(const char *json, size_t len)
{
	OutboxAvroError error;
	OutboxAvroSchema *schema;

	if (GetDatabaseEncoding() != PG_UTF8 && len <= AVRO_MAX_SCHEMA)
	{
		json = pg_server_to_any(pnstrdup(json, len), (int) len, PG_UTF8);
		len = strlen(json);
	}
	schema = outbox_avro_parse(json, len, &error);
	if (schema == NULL)
		outbox_avro_throw(&error);
	return schema;
}

void
avro_value_error(const AvroPath *path, int code, const char *hint,
				 const char *fmt,...)
{
	StringInfoData message;
	StringInfoData place;

	initStringInfo(&message);
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, fmt);
		needed = appendStringInfoVA(&message, fmt, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&message, needed);
	}
	initStringInfo(&place);
	avro_path_append(&place, path);
	ereport(ERROR,
			(errcode(code),
			 errmsg("value does not fit the Avro schema at %s: %s",
					place.data, message.data),
			 hint != NULL ? errhint("%s", hint) : 0));
}

char *
avro_list_names(const char *lead, const char *const *names, int count)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoString(&out, lead);
	for (int i = 0; i < count; i++)
	{
		if (i > 0)
			appendStringInfoString(&out, ", ");
		if (out.len > 300)
		{
			appendStringInfoString(&out, "...");
			break;
		}
		appendStringInfo(&out, "\"%s\"", names[i]);
	}
	appendStringInfoChar(&out, '.');
	return out.data;
}
