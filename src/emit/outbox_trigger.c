/*-------------------------------------------------------------------------
 *
 * outbox_trigger.c
 *		Row triggers on attached tables: an inserted row is an event.
 *
 * AFTER INSERT, so the row is as BEFORE triggers left it; deleting it again in
 * the same transaction changes nothing, the message is in WAL.  UPDATE is
 * refused: what was said cannot be unsaid, and an update that moves a row to
 * another partition would fire the insert trigger again.  DELETE and TRUNCATE
 * do nothing.  Rows applied by a logical subscriber do not fire (they are the
 * publisher's events).
 *
 * The right that counts is the table owner's, as for a view: whoever may
 * insert may emit through it.  Only an owner can have attached the table
 * (outbox_table_ddl.c), and without a row in outbox.attached_table for this
 * relation or an ancestor the trigger refuses to run.  Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "emit/emit.h"
#include "emit/event_fields.h"
#include "emit/outbox_table.h"
#include "executor/tuptable.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(outbox_table_insert);
PG_FUNCTION_INFO_V1(outbox_table_update);

static void
check_trigger(FunctionCallInfo fcinfo, bool right_event, const char *what)
{
	if (!right_event)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("outbox.%s() is the trigger that outbox.attach_table() creates",
						what)));
}

static Oid
owner_of(const OutboxTableMap *map, Relation rel)
{
	HeapTuple	tuple;
	Oid			owner;

	if (map->root == RelationGetRelid(rel))
		return rel->rd_rel->relowner;
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(map->root));
	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("attached table with OID %u does not exist",
						map->root)));
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/* A column's text, NULL for null or no column. */
static char *
column_text(OutboxTableColumn *column, HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;
	Datum		value;

	if (column->attnum == 0)
		return NULL;
	value = heap_getattr(tuple, column->attnum, desc, &isnull);
	return isnull ? NULL :
		outbox_value_text(&column->output, column->base_type, value);
}

static Datum
parse_json(const char *json)
{
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(json));
}

static void
set_payload(OutboxEvent *event, OutboxTableColumn *column, HeapTuple tuple,
			TupleDesc desc)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, column->attnum, desc, &isnull);

	outbox_field_require(!isnull, NameStr(column->name));
	event->payload = value;
	switch (column->base_type)
	{
		case JSONBOID:
			event->kind = OUTBOX_PAYLOAD_JSONB;
			break;
		case BYTEAOID:
			event->kind = OUTBOX_PAYLOAD_AVRO;
			break;
		case JSONOID:
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			event->kind = OUTBOX_PAYLOAD_JSONB;
			event->payload = parse_json(TextDatumGetCString(value));
			break;
		default:
			event->kind = OUTBOX_PAYLOAD_ROW;
	}
}

static void
set_id(OutboxEvent *event, OutboxTableColumn *column, HeapTuple tuple,
	   TupleDesc desc)
{
	char	   *id = column_text(column, tuple, desc);

	if (id != NULL)
		event->id = DatumGetUUIDP(DirectFunctionCall1(uuid_in,
													  CStringGetDatum(id)));
}

static void
set_routing(OutboxEvent *event, OutboxTableMap *map, HeapTuple tuple,
			TupleDesc desc)
{
	char	   *value;
	bool		isnull;
	Datum		datum;

	value = column_text(&map->columns[OUTBOX_COLUMN_AGGREGATETYPE], tuple, desc);
	if (value != NULL)
	{
		event->aggregatetype = value;
		event->aggregatetype_len = strlen(value);
	}
	value = column_text(&map->columns[OUTBOX_COLUMN_AGGREGATEID], tuple, desc);
	if (value != NULL)
	{
		event->key = value;
		event->key_len = strlen(value);
	}
	value = column_text(&map->columns[OUTBOX_COLUMN_PARTITION], tuple, desc);
	if (value != NULL)
		event->partition =
			outbox_field_partition(DatumGetInt64(DirectFunctionCall1(int8in,
																	 CStringGetDatum(value))));
	if (map->columns[OUTBOX_COLUMN_TIMESTAMP].attnum != 0)
	{
		datum = heap_getattr(tuple, map->columns[OUTBOX_COLUMN_TIMESTAMP].attnum,
							 desc, &isnull);
		if (!isnull)
			event->timestamp_ms =
				outbox_field_timestamp(DatumGetTimestampTz(datum));
	}
}

static void
set_headers(OutboxEvent *event, OutboxTableMap *map, HeapTuple tuple,
			TupleDesc desc)
{
	OutboxExtraHeader *extra;
	char	   *json = column_text(&map->columns[OUTBOX_COLUMN_HEADERS], tuple,
								   desc);

	if (json != NULL)
		event->headers = DatumGetJsonbP(parse_json(json));
	if (map->nheaders == 0)
		return;
	extra = palloc(map->nheaders * sizeof(OutboxExtraHeader));
	for (int i = 0; i < map->nheaders; i++)
	{
		extra[i].name = map->headers[i].name;
		extra[i].value = column_text(&map->headers[i].column, tuple, desc);
	}
	event->extra_headers = extra;
	event->nextra_headers = map->nheaders;
}

Datum
outbox_table_insert(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	OutboxTableMap *map;
	TupleDesc	desc;
	OutboxEvent event;
	char	   *type;
	pg_uuid_t	id;

	check_trigger(fcinfo,
				  CALLED_AS_TRIGGER(fcinfo) &&
				  TRIGGER_FIRED_AFTER(trigger->tg_event) &&
				  TRIGGER_FIRED_BY_INSERT(trigger->tg_event) &&
				  TRIGGER_FIRED_FOR_ROW(trigger->tg_event), "table_insert");
	map = outbox_table_map(trigger->tg_relation);
	desc = RelationGetDescr(trigger->tg_relation);

	type = column_text(&map->columns[OUTBOX_COLUMN_TYPE], trigger->tg_trigtuple,
					   desc);
	outbox_field_require(type != NULL,
						 NameStr(map->columns[OUTBOX_COLUMN_TYPE].name));
	outbox_event_init(&event, outbox_event_type_find(type, strlen(type)),
					  owner_of(map, trigger->tg_relation));
	set_payload(&event, &map->columns[OUTBOX_COLUMN_PAYLOAD],
				trigger->tg_trigtuple, desc);
	set_id(&event, &map->columns[OUTBOX_COLUMN_ID], trigger->tg_trigtuple, desc);
	set_routing(&event, map, trigger->tg_trigtuple, desc);
	set_headers(&event, map, trigger->tg_trigtuple, desc);
	outbox_emit(&event, &id);
	return PointerGetDatum(NULL);
}

Datum
outbox_table_update(PG_FUNCTION_ARGS)
{
	check_trigger(fcinfo, CALLED_AS_TRIGGER(fcinfo), "table_update");
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("rows of outbox table \"%s\" cannot be updated",
					RelationGetRelationName(((TriggerData *) fcinfo->context)->tg_relation)),
			 errdetail("The event was written when the row was inserted."),
			 errhint("Insert another event; deleting rows is allowed.")));
	PG_RETURN_NULL();
}
