/*-------------------------------------------------------------------------
 *
 * event_key.c
 *		The default key: the value of the type's key field in the payload.
 *
 * Strings as they are, numbers and booleans as their text.  A payload without
 * a value there is an error: a missing key would go to any partition and lose
 * its place in the order.  Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "emit/emit.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

static char *
key_of_jsonb(Jsonb *payload, const char *field)
{
	JsonbValue	value;

	if (!JB_ROOT_IS_OBJECT(payload) ||
		getKeyJsonValueFromContainer(&payload->root, field, strlen(field),
									 &value) == NULL)
		return NULL;
	switch (value.type)
	{
		case jbvString:
			return pnstrdup(value.val.string.val, value.val.string.len);
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out,
													   NumericGetDatum(value.val.numeric)));
		case jbvBool:
			return pstrdup(value.val.boolean ? "true" : "false");
		case jbvNull:
			return NULL;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("key field $.%s of the payload is an object or an array",
							field),
					 errhint("Pass the event's key explicitly.")));
	}
	return NULL;
}

/* Rare: bytes from outside and no explicit key. */
static char *
key_of_avro(const OutboxEventType *type, Datum payload)
{
	bytea	   *bytes = DatumGetByteaPP(payload);
	OutboxAvroError error;
	StringInfoData json;

	initStringInfo(&json);
	if (!outbox_avro_decode(type->schema, VARDATA_ANY(bytes),
							VARSIZE_ANY_EXHDR(bytes), false, &json, &error))
		outbox_avro_throw(&error);
	return key_of_jsonb(DatumGetJsonbP(DirectFunctionCall1(jsonb_in,
														   CStringGetDatum(json.data))),
						type->key_field);
}

char *
outbox_key_of_payload(const OutboxEvent *event, int *len)
{
	const char *field = event->type->key_field;
	char	   *key = NULL;

	*len = -1;
	if (field == NULL)
		return NULL;
	switch (event->kind)
	{
		case OUTBOX_PAYLOAD_JSONB:
			key = key_of_jsonb(DatumGetJsonbP(event->payload), field);
			break;
		case OUTBOX_PAYLOAD_ROW:
			key = outbox_row_key(event->type, event->payload);
			break;
		case OUTBOX_PAYLOAD_AVRO:
			key = key_of_avro(event->type, event->payload);
			break;
	}
	if (key == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("payload has no value for key field $.%s", field),
				 errhint("Put it into the payload or pass the event's key explicitly.")));
	*len = strlen(key);
	return key;
}
