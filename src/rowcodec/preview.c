/*-------------------------------------------------------------------------
 *
 * preview.c
 *		outbox.capture_preview(): what a change of a captured table would become.
 *
 * Encodes as a trigger would, adds a tail as the relay would, and decodes the
 * outcome; nothing is written.  For owners of the table alone: whoever can have
 * values hashed at will can find out what was hashed.  Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "base/cursor.h"
#include "compat.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "rowcodec/codec.h"
#include "rowcodec/tail.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#define EPOCH_US \
	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

PG_FUNCTION_INFO_V1(outbox_capture_preview);

typedef struct Preview
{
	const OutboxCapture *capture;
	ReturnSetInfo *result;
} Preview;

static Datum
jsonb_of(const char *text, int len)
{
	char	   *server = pg_any_to_server(pnstrdup(text, len), len, PG_UTF8);

	return DirectFunctionCall1(jsonb_in, CStringGetDatum(server));
}

/* Bytes as they would be in Kafka under the built-in registry. */
static bytea *
framed(uint32 id, const char *data, int len)
{
	StringInfoData out;
	uint32		wire = pg_hton32(id);

	initStringInfo(&out);
	appendStringInfoSpaces(&out, VARHDRSZ);
	if (id != 0)
	{
		appendStringInfoChar(&out, '\0');
		appendBinaryStringInfo(&out, (char *) &wire, sizeof(wire));
	}
	appendBinaryStringInfo(&out, data, len);
	SET_VARSIZE(out.data, out.len);
	return (bytea *) out.data;
}

static void
decode(uint32 id, const char *data, int len, StringInfo out)
{
	char	   *definition;
	OutboxAvroError error;

	if (id == 0)
	{
		appendBinaryStringInfo(out, data, len);
		return;
	}
	definition = outbox_catalog_schema(id);
	if (!outbox_avro_decode(outbox_avro_parse_or_error(definition,
													   strlen(definition)),
							data, len, false, out, &error))
		outbox_avro_throw(&error);
}

static void
set_key(Datum *values, bool *nulls, const OutboxWalMessage *msg)
{
	uint32		id = 0;
	int			skip = 0;
	StringInfoData text;

	if (msg->key == NULL)
	{
		nulls[0] = nulls[3] = true;
		return;
	}
	if (msg->flags & OUTBOX_MSG_KEY_SCHEMA)
	{
		OutboxCursor c;

		outbox_cursor_init(&c, msg->key, msg->key_len);
		id = outbox_get_u32(&c);
		skip = sizeof(uint32);
	}
	initStringInfo(&text);
	decode(id, msg->key + skip, msg->key_len - skip, &text);
	values[0] = CStringGetTextDatum(pg_any_to_server(text.data, text.len,
													 PG_UTF8));
	values[3] = PointerGetDatum(framed(id, msg->key + skip,
									   msg->key_len - skip));
}

static void
set_value(Datum *values, bool *nulls, const OutboxWalMessage *msg,
		  const OutboxCapture *capture)
{
	StringInfoData payload;
	StringInfoData text;
	OutboxChangeTail tail = {
		.commit_time_us = GetCurrentTransactionStartTimestamp() + EPOCH_US
	};

	if (msg->payload == NULL)
	{
		nulls[1] = nulls[4] = true;
		return;
	}
	initStringInfo(&payload);
	initStringInfo(&text);
	appendBinaryStringInfo(&payload, msg->payload, msg->payload_len);
	outbox_change_tail(&payload, capture->envelope, capture->route.format,
					   &tail);
	decode(msg->schema_id, payload.data, payload.len, &text);
	values[1] = jsonb_of(text.data, text.len);
	values[4] = PointerGetDatum(framed(msg->schema_id, payload.data,
									   payload.len));
}

static void
set_headers(Datum *values, bool *nulls, const OutboxWalMessage *msg)
{
	StringInfoData json;
	OutboxHeader header;
	int32		offset = 0;

	nulls[2] = msg->headers == NULL;
	if (msg->headers == NULL)
		return;
	initStringInfo(&json);
	while (outbox_headers_next(msg->headers, msg->headers_len, &offset, &header))
	{
		appendStringInfoChar(&json, json.len == 0 ? '{' : ',');
		outbox_avro_json_quote(&json, header.name, header.name_len);
		appendStringInfoChar(&json, ':');
		outbox_avro_json_quote(&json, header.value, header.value_len);
	}
	appendStringInfoChar(&json, '}');
	values[2] = jsonb_of(json.data, json.len);
}

static void
add_row(void *arg, OutboxWalMessage *msg)
{
	Preview    *preview = arg;
	Datum		values[5] = {0};
	bool		nulls[5] = {0};

	set_key(values, nulls, msg);
	set_value(values, nulls, msg, preview->capture);
	set_headers(values, nulls, msg);
	tuplestore_putvalues(preview->result->setResult, preview->result->setDesc,
						 values, nulls);
}

/* A row argument as a tuple of the table. */
static HeapTuple
tuple_of(FunctionCallInfo fcinfo, int arg, Relation rel)
{
	HeapTupleHeader row;
	HeapTuple	tuple;

	if (PG_ARGISNULL(arg))
		return NULL;
	row = PG_GETARG_HEAPTUPLEHEADER(arg);
	if (HeapTupleHeaderGetTypeId(row) != RelationGetForm(rel)->reltype)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("a row of table \"%s\" is needed",
						RelationGetRelationName(rel)),
				 errhint("Pass a row of the table, or ROW(...)::%s.",
						 RelationGetRelationName(rel))));
	tuple = palloc0(sizeof(HeapTupleData));
	tuple->t_len = HeapTupleHeaderGetDatumLength(row);
	ItemPointerSetInvalid(&tuple->t_self);
	tuple->t_data = row;
	return tuple;
}

static OutboxChangeOp
op_of(const OutboxChange *change)
{
	if (change->after == NULL)
		return change->before == NULL ? OUTBOX_OP_TRUNCATE : OUTBOX_OP_DELETE;
	return change->before == NULL ? OUTBOX_OP_CREATE : OUTBOX_OP_UPDATE;
}

/* capture_preview(relation regclass, after record, before record) */
Datum
outbox_capture_preview(PG_FUNCTION_ARGS)
{
	Relation	rel;
	Preview		preview;
	OutboxChange change = {0};

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("relation must not be null")));
	InitMaterializedSRF(fcinfo, 0);
	rel = table_open(PG_GETARG_OID(0), AccessShareLock);
	if (!outbox_compat_table_owner(RelationGetRelid(rel), GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER,
					   get_relkind_objtype(rel->rd_rel->relkind),
					   RelationGetRelationName(rel));
	preview.capture = outbox_capture_find(RelationGetRelid(rel));
	preview.result = (ReturnSetInfo *) fcinfo->resultinfo;
	if (preview.capture == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table \"%s\" is not captured",
						RelationGetRelationName(rel)),
				 errhint("Run outbox.capture() first.")));
	change.after = tuple_of(fcinfo, 1, rel);
	change.before = tuple_of(fcinfo, 2, rel);
	change.op = op_of(&change);
	outbox_rowcodec_change(outbox_rowcodec_make(preview.capture, rel), &change,
						   add_row, &preview);
	table_close(rel, AccessShareLock);
	return (Datum) 0;
}
