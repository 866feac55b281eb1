/*-------------------------------------------------------------------------
 *
 * event_view.c
 *		INSERT INTO outbox.event: the view's INSTEAD OF trigger.
 *
 * An INSTEAD OF trigger that returns its row makes the statement report one
 * row, fill in RETURNING and work with COPY, which frameworks need.  The right
 * that counts is that of the role that inserts; the table privilege on the
 * view is only the door.  Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "commands/trigger.h"
#include "emit/emit.h"
#include "emit/event_fields.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(outbox_event_insert);

/* Columns of the view, in the order of emit.sql. */
enum
{
	View_aggregatetype,
	View_aggregateid,
	View_type,
	View_payload,
	View_id,
	View_headers,
	View_partition,
	View_timestamp,
	View_topic,					/* from here on what only SELECT shows */
	View_columns = View_topic + 5
};

static void
check_trigger(FunctionCallInfo fcinfo)
{
	TriggerEvent event;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("outbox.event_insert() is a trigger function")));
	event = ((TriggerData *) fcinfo->context)->tg_event;
	if (!TRIGGER_FIRED_INSTEAD(event) || !TRIGGER_FIRED_BY_INSERT(event) ||
		!TRIGGER_FIRED_FOR_ROW(event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("outbox.event_insert() must be fired instead of an insert, for each row")));
}

static void
fill_event(OutboxEvent *event, const Datum *values, const bool *nulls)
{
	text	   *value;

	event->kind = OUTBOX_PAYLOAD_JSONB;
	event->payload = values[View_payload];
	if (!nulls[View_aggregatetype])
	{
		value = DatumGetTextPP(values[View_aggregatetype]);
		event->aggregatetype = VARDATA_ANY(value);
		event->aggregatetype_len = VARSIZE_ANY_EXHDR(value);
	}
	if (!nulls[View_aggregateid])
	{
		value = DatumGetTextPP(values[View_aggregateid]);
		event->key = VARDATA_ANY(value);
		event->key_len = VARSIZE_ANY_EXHDR(value);
	}
	if (!nulls[View_id])
		event->id = DatumGetUUIDP(values[View_id]);
	if (!nulls[View_headers])
		event->headers = DatumGetJsonbP(values[View_headers]);
	if (!nulls[View_partition])
		event->partition =
			outbox_field_partition(DatumGetInt32(values[View_partition]));
	if (!nulls[View_timestamp])
		event->timestamp_ms =
			outbox_field_timestamp(DatumGetTimestampTz(values[View_timestamp]));
}

static void
check_read_only(TupleDesc desc, const bool *nulls)
{
	for (int i = View_topic; i < View_columns; i++)
	{
		if (!nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_GENERATED_ALWAYS),
					 errmsg("cannot insert a value into column \"%s\" of outbox.event",
							NameStr(TupleDescAttr(desc, i)->attname)),
					 errhint("A topic is chosen by the event type and aggregatetype.")));
	}
}

Datum
outbox_event_insert(PG_FUNCTION_ARGS)
{
	TriggerData *trigger;
	TupleDesc	desc;
	Datum		values[View_columns];
	bool		nulls[View_columns];
	OutboxEvent event;
	text	   *type;
	pg_uuid_t	id;

	check_trigger(fcinfo);
	trigger = (TriggerData *) fcinfo->context;
	desc = RelationGetDescr(trigger->tg_relation);
	if (desc->natts != View_columns)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("outbox.event_insert() is the trigger of view outbox.event alone")));
	heap_deform_tuple(trigger->tg_trigtuple, desc, values, nulls);
	outbox_field_require(!nulls[View_type], "type");
	outbox_field_require(!nulls[View_payload], "payload");
	check_read_only(desc, nulls);

	type = DatumGetTextPP(values[View_type]);
	outbox_event_init(&event,
					  outbox_event_type_find(VARDATA_ANY(type),
											 VARSIZE_ANY_EXHDR(type)),
					  GetUserId());
	fill_event(&event, values, nulls);
	outbox_emit(&event, &id);

	if (!nulls[View_id])
		return PointerGetDatum(trigger->tg_trigtuple);
	values[View_id] = UUIDPGetDatum(&id);
	nulls[View_id] = false;
	return PointerGetDatum(heap_form_tuple(desc, values, nulls));
}
