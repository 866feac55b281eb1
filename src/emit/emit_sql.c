/*-------------------------------------------------------------------------
 *
 * emit_sql.c
 *		The SQL functions outbox.emit() and outbox.emit_avro().
 *
 * Thin: arguments into an OutboxEvent.  The right that counts is the current
 * user's, so inside a SECURITY DEFINER function its owner's, as for a table.
 * Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "emit/emit.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(outbox_emit_jsonb);
PG_FUNCTION_INFO_V1(outbox_emit_text);
PG_FUNCTION_INFO_V1(outbox_emit_row);
PG_FUNCTION_INFO_V1(outbox_emit_avro);
PG_FUNCTION_INFO_V1(outbox_uuid_v7);

static void
check_not_null(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("event type must not be null")));
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("event payload must not be null"),
				 errhint("Use an empty object if there is nothing to say.")));
}

/* Arguments: type, payload, key, headers, id. */
static Datum
emit_arguments(FunctionCallInfo fcinfo, OutboxPayloadKind kind, Datum payload)
{
	text	   *name = PG_GETARG_TEXT_PP(0);
	pg_uuid_t  *id = palloc(sizeof(pg_uuid_t));
	OutboxEvent event;

	outbox_event_init(&event,
					  outbox_event_type_find(VARDATA_ANY(name),
											 VARSIZE_ANY_EXHDR(name)),
					  GetUserId());
	event.kind = kind;
	event.payload = payload;
	if (!PG_ARGISNULL(2))
	{
		text	   *key = PG_GETARG_TEXT_PP(2);

		event.key = VARDATA_ANY(key);
		event.key_len = VARSIZE_ANY_EXHDR(key);
	}
	if (!PG_ARGISNULL(3))
		event.headers = PG_GETARG_JSONB_P(3);
	if (!PG_ARGISNULL(4))
		event.id = PG_GETARG_UUID_P(4);
	outbox_emit(&event, id);
	PG_RETURN_UUID_P(id);
}

/* emit(text, jsonb, text, jsonb, uuid) */
Datum
outbox_emit_jsonb(PG_FUNCTION_ARGS)
{
	check_not_null(fcinfo);
	return emit_arguments(fcinfo, OUTBOX_PAYLOAD_JSONB,
						  PointerGetDatum(PG_GETARG_JSONB_P(1)));
}

/*
 * emit(text, text, ...) and emit(text, json, ...): JSON text.  The first also
 * is what an untyped literal resolves to, between jsonb and record.
 */
Datum
outbox_emit_text(PG_FUNCTION_ARGS)
{
	Jsonb	   *json;

	check_not_null(fcinfo);
	json = outbox_avro_json_text(PG_GETARG_TEXT_PP(1));
	return emit_arguments(fcinfo, OUTBOX_PAYLOAD_JSONB, JsonbPGetDatum(json));
}

/* emit(text, record, ...) */
Datum
outbox_emit_row(PG_FUNCTION_ARGS)
{
	check_not_null(fcinfo);
	return emit_arguments(fcinfo, OUTBOX_PAYLOAD_ROW, PG_GETARG_DATUM(1));
}

/* emit_avro(text, bytea, ...) */
Datum
outbox_emit_avro(PG_FUNCTION_ARGS)
{
	check_not_null(fcinfo);
	return emit_arguments(fcinfo, OUTBOX_PAYLOAD_AVRO, PG_GETARG_DATUM(1));
}

/* uuid_v7() */
Datum
outbox_uuid_v7(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *id = palloc(sizeof(pg_uuid_t));

	if (!outbox_uuid7(id->data))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random bytes for an event id")));
	PG_RETURN_UUID_P(id);
}
