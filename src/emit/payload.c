/*-------------------------------------------------------------------------
 *
 * payload.c
 *		The value of an event: encode once, here, where the type is known.
 *
 * Format avro: one Avro datum under the type's schema (the relay puts the
 * registry's frame around it).  Format json: JSON text in UTF-8; when the type
 * has a schema the payload must fit it as well.  Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "emit/emit.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"

const char *
outbox_to_utf8(const char *s, int len, int *utf8_len)
{
	char	   *utf8 = pg_server_to_any(s, len, PG_UTF8);

	*utf8_len = utf8 == s ? len : (int) strlen(utf8);
	return utf8;
}

char *
outbox_value_text(FmgrInfo *output, Oid base_type, Datum value)
{
	const int	utc = 0;

	switch (base_type)
	{
		case TEXTOID:
		case VARCHAROID:
			return TextDatumGetCString(value);
		case DATEOID:
		case TIMEOID:
		case TIMETZOID:
		case TIMESTAMPOID:
			return JsonEncodeDateTime(palloc(MAXDATELEN + 1), value, base_type,
									  NULL);
		case TIMESTAMPTZOID:
			return JsonEncodeDateTime(palloc(MAXDATELEN + 1), value, base_type,
									  &utc);
		default:
			return OutputFunctionCall(output, value);
	}
}

static const OutboxAvroJsonPlan *
json_plan(OutboxEventType *type)
{
	if (type->json_plan == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(type->context);

		type->json_plan = outbox_avro_plan_jsonb(type->schema);
		MemoryContextSwitchTo(old);
	}
	return type->json_plan;
}

/* JSON that comes out of the server: strings are quoted, escapes are valid. */
static void
check_depth(const char *json)
{
	int			depth = 0;
	bool		in_string = false;

	for (const char *p = json; *p != '\0'; p++)
	{
		if (in_string)
		{
			if (*p == '\\')
				p++;
			else if (*p == '"')
				in_string = false;
		}
		else if (*p == '"')
			in_string = true;
		else if (*p == '{' || *p == '[')
		{
			if (++depth > OUTBOX_MAX_JSON_DEPTH)
				ereport(ERROR,
						(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						 errmsg("payload is nested deeper than %d levels",
								OUTBOX_MAX_JSON_DEPTH)));
		}
		else if (*p == '}' || *p == ']')
			depth--;
	}
}

static void
encode_avro(const OutboxEvent *event, StringInfo scratch,
			const char **data, int32 *len)
{
	OutboxEventType *type = event->type;
	bytea	   *bytes;
	OutboxAvroError error;

	switch (event->kind)
	{
		case OUTBOX_PAYLOAD_JSONB:
			outbox_avro_encode_jsonb(json_plan(type),
									 DatumGetJsonbP(event->payload), scratch);
			break;
		case OUTBOX_PAYLOAD_ROW:
			outbox_row_encode(type, event->payload, scratch);
			break;
		case OUTBOX_PAYLOAD_AVRO:
			bytes = DatumGetByteaPP(event->payload);
			*data = VARDATA_ANY(bytes);
			*len = VARSIZE_ANY_EXHDR(bytes);
			if (!outbox_avro_validate(type->schema, *data, *len, &error))
				outbox_avro_throw(&error);
			return;
	}
	*data = scratch->data;
	*len = scratch->len;
}

static void
encode_json(const OutboxEvent *event, StringInfo scratch,
			const char **data, int32 *len)
{
	const char *json = NULL;
	int			json_len = 0;

	/* With a schema: encode, then keep nothing but that it fits. */
	if (event->type->schema != NULL)
	{
		encode_avro(event, scratch, data, len);
		resetStringInfo(scratch);
	}
	switch (event->kind)
	{
		case OUTBOX_PAYLOAD_JSONB:
			{
				Jsonb	   *value = DatumGetJsonbP(event->payload);

				json = JsonbToCString(scratch, &value->root, VARSIZE(value));
				json_len = scratch->len;
				break;
			}
		case OUTBOX_PAYLOAD_ROW:
			{
				text	   *row = DatumGetTextPP(DirectFunctionCall1(row_to_json,
																	 event->payload));

				appendBinaryStringInfo(scratch, VARDATA_ANY(row),
									   VARSIZE_ANY_EXHDR(row));
				json = scratch->data;
				json_len = scratch->len;
				break;
			}
		case OUTBOX_PAYLOAD_AVRO:
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("event type \"%s\" has format json",
							event->type->name),
					 errhint("Use outbox.emit() with a jsonb or row payload.")));
	}
	check_depth(json);
	*data = outbox_to_utf8(json, json_len, len);
}

void
outbox_payload_encode(const OutboxEvent *event, StringInfo scratch,
					  const char **data, int32 *len)
{
	if (event->type->route.format == OUTBOX_FORMAT_AVRO)
		encode_avro(event, scratch, data, len);
	else
		encode_json(event, scratch, data, len);
}
