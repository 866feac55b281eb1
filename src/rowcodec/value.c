/*-------------------------------------------------------------------------
 *
 * value.c
 *		The payload of a change, up to its tail.
 *
 * Writes the fields of schema_text.c in their order, in Avro or as a JSON object
 * with the same names; tail.c adds the rest when the transaction has committed.
 * What is the same for all rows of a table is written once, when the codec is
 * made.
 *
 * An image that is not known is null.  One of which only the key is known has
 * nulls elsewhere; where the schema does not allow them (the table had another
 * replica identity when it was captured), the image as a whole is null.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "avro/write.h"
#include "catalog/namespace.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "rowcodec/codec.h"
#include "utils/lsyscache.h"

#define CONNECTOR "postgresql"

static void
put_string(StringInfo out, const char *s)
{
	avro_put_sized(out, s, (int) strlen(s));
}

/* What Debezium calls the topic prefix: the topic without schema and table. */
static char *
server_name(const OutboxCapture *capture, const char *database,
			const char *schema, const char *table)
{
	const char *topic = capture->route.topic;
	char	   *end = psprintf(".%s.%s", schema, table);
	size_t		len = strlen(topic);
	size_t		end_len = strlen(end);

	if (len > end_len && strcmp(topic + len - end_len, end) == 0)
		return pnstrdup(topic, len - end_len);
	return pstrdup(database);
}

static void
put_member(StringInfo out, const char *name, const char *value)
{
	appendStringInfo(out, "\"%s\":", name);
	rowcodec_json_quote(out, value, strlen(value));
}

void
rowcodec_value_init(OutboxRowCodec *codec, Relation root)
{
	char	   *db = rowcodec_utf8(get_database_name(MyDatabaseId));
	char	   *schema = rowcodec_utf8(get_namespace_name(RelationGetNamespace(root)));
	char	   *table = rowcodec_utf8(RelationGetRelationName(root));
	char	   *name = server_name(codec->capture, db, schema, table);
	StringInfo	head = &codec->source_head;
	StringInfo	middle = &codec->source_middle;

	codec->schema_name = schema;
	codec->table_name = table;
	initStringInfo(head);
	initStringInfo(middle);
	if (codec->plan != NULL)
	{
		put_string(head, OUTBOX_VERSION);
		put_string(head, CONNECTOR);
		put_string(head, name);
		put_string(middle, db);
		avro_put_long(middle, 0);	/* sequence */
		put_string(middle, schema);
		put_string(middle, table);
		return;
	}
	appendStringInfoString(head, "{");
	put_member(head, "version", OUTBOX_VERSION);
	appendStringInfoChar(head, ',');
	put_member(head, "connector", CONNECTOR);
	appendStringInfoChar(head, ',');
	put_member(head, "name", name);
	put_member(middle, "db", db);
	appendStringInfoString(middle, ",\"sequence\":null,");
	put_member(middle, "schema", schema);
	appendStringInfoChar(middle, ',');
	put_member(middle, "table", table);
}

/* Names of the columns that are not there, as an Avro array. */
static void
put_unchanged_avro(OutboxRowCodec *codec, const Bitmapset *unchanged,
				   StringInfo out)
{
	int			attnum = -1;

	if (bms_is_empty(unchanged))
	{
		avro_put_long(out, 0);
		return;
	}
	avro_put_long(out, 1);
	while ((attnum = bms_next_member(unchanged, attnum)) >= 0)
	{
		Form_pg_attribute att = TupleDescAttr(codec->image, attnum - 1);

		if (att->attisdropped)
			continue;
		avro_put_long(out, 1);	/* a block of one */
		put_string(out, outbox_avro_map_name(NameStr(att->attname)));
	}
	avro_put_long(out, 0);
}

static void
put_unchanged_json(OutboxRowCodec *codec, const Bitmapset *unchanged,
				   StringInfo out)
{
	int			attnum = -1;
	bool		first = true;

	if (bms_is_empty(unchanged))
	{
		appendStringInfoString(out, "null");
		return;
	}
	appendStringInfoChar(out, '[');
	while ((attnum = bms_next_member(unchanged, attnum)) >= 0)
	{
		Form_pg_attribute att = TupleDescAttr(codec->image, attnum - 1);
		char	   *name;

		if (att->attisdropped)
			continue;
		name = rowcodec_utf8(NameStr(att->attname));
		if (!first)
			appendStringInfoChar(out, ',');
		first = false;
		rowcodec_json_quote(out, name, strlen(name));
	}
	appendStringInfoChar(out, ']');
}

/* Nulls that are none of the row's own must be allowed by the schema. */
static bool
can_be_partial(const OutboxRowCodec *codec, const RowImage *image)
{
	for (int i = 0; i < codec->image->natts; i++)
	{
		if (!TupleDescAttr(codec->image, i)->attisdropped &&
			image->nulls[i] && !outbox_avro_image_nullable(codec->plan, i))
			return false;
	}
	return true;
}

static void
put_image_avro(OutboxRowCodec *codec, const RowImage *image, StringInfo out)
{
	if (!image->known || (image->key_only && !can_be_partial(codec, image)))
	{
		avro_put_long(out, 0);
		return;
	}
	avro_put_long(out, 1);
	outbox_avro_put_image(codec->plan, image->values, image->nulls, out);
}

static void
put_debezium_avro(OutboxRowCodec *codec, OutboxChangeOp op, uint64 xid,
				  const RowImage *before, const RowImage *after,
				  const Bitmapset *unchanged, StringInfo out)
{
	char		name = (char) op;

	put_image_avro(codec, before, out);
	if (after->known)
		resetStringInfo(&codec->notes); /* they are of one image */
	put_image_avro(codec, after, out);
	avro_put_sized(out, &name, 1);
	if (codec->lists_unchanged)
		put_unchanged_avro(codec, unchanged, out);
	avro_put_raw(out, codec->source_head.data, codec->source_head.len);
	avro_put_long(out, 0);		/* snapshot: branch string */
	put_string(out, op == OUTBOX_OP_READ ? "true" : "false");
	avro_put_raw(out, codec->source_middle.data, codec->source_middle.len);
	if (xid == 0)
		avro_put_long(out, 0);
	else
	{
		avro_put_long(out, 1);
		avro_put_long(out, (int64) xid);
	}
	avro_put_long(out, 0);		/* xmin */
}

static void
put_flat_avro(OutboxRowCodec *codec, OutboxChangeOp op,
			  const RowImage *row, const Bitmapset *unchanged, StringInfo out)
{
	char		name = (char) op;

	outbox_avro_put_image(codec->plan, row->values, row->nulls, out);
	avro_put_byte(out, op == OUTBOX_OP_DELETE);
	avro_put_sized(out, &name, 1);
	put_string(out, codec->table_name);
	if (codec->lists_unchanged)
		put_unchanged_avro(codec, unchanged, out);
}

static void
put_image_json(OutboxRowCodec *codec, const char *name, const RowImage *image,
			   StringInfo out)
{
	appendStringInfo(out, "\"%s\":", name);
	if (image->known)
		rowcodec_json_put(codec->json, image, true, out);
	else
		appendStringInfoString(out, "null");
}

static void
put_debezium_json(OutboxRowCodec *codec, OutboxChangeOp op, uint64 xid,
				  const RowImage *before, const RowImage *after,
				  const Bitmapset *unchanged, StringInfo out)
{
	appendStringInfoChar(out, '{');
	put_image_json(codec, "before", before, out);
	appendStringInfoChar(out, ',');
	put_image_json(codec, "after", after, out);
	appendStringInfo(out, ",\"op\":\"%c\",", (char) op);
	if (codec->lists_unchanged)
	{
		appendStringInfoString(out, "\"unchanged\":");
		put_unchanged_json(codec, unchanged, out);
		appendStringInfoChar(out, ',');
	}
	appendStringInfo(out, "\"source\":%s,\"snapshot\":\"%s\",%s,\"txId\":",
					 codec->source_head.data,
					 op == OUTBOX_OP_READ ? "true" : "false",
					 codec->source_middle.data);
	if (xid == 0)
		appendStringInfoString(out, "null");
	else
		appendStringInfo(out, UINT64_FORMAT, xid);
	appendStringInfoString(out, ",\"xmin\":null");
}

static void
put_flat_json(OutboxRowCodec *codec, OutboxChangeOp op,
			  const RowImage *row, const Bitmapset *unchanged, StringInfo out)
{
	int			start;

	appendStringInfoChar(out, '{');
	start = out->len;
	rowcodec_json_put(codec->json, row, false, out);
	if (out->len > start)
		appendStringInfoChar(out, ',');
	appendStringInfo(out, "\"__deleted\":%s,\"__op\":\"%c\",\"__table\":",
					 op == OUTBOX_OP_DELETE ? "true" : "false", (char) op);
	rowcodec_json_quote(out, codec->table_name, strlen(codec->table_name));
	if (codec->lists_unchanged)
	{
		appendStringInfoString(out, ",\"__unchanged\":");
		put_unchanged_json(codec, unchanged, out);
	}
}

/* In flat, the row that is left, or was there; of a truncate, none. */
static void
put_flat(OutboxRowCodec *codec, OutboxChangeOp op, const RowImage *before,
		 const RowImage *after, const Bitmapset *unchanged, StringInfo out)
{
	RowImage	none = codec->before;
	const RowImage *row = after->known ? after : before->known ? before : &none;

	if (row == &none)
	{
		none.nulls = palloc(Max(codec->image->natts, 1) * sizeof(bool));
		memset(none.nulls, true, codec->image->natts * sizeof(bool));
	}
	if (codec->plan != NULL)
		put_flat_avro(codec, op, row, unchanged, out);
	else
		put_flat_json(codec, op, row, unchanged, out);
}

void
rowcodec_value_put(OutboxRowCodec *codec, OutboxChangeOp op, uint64 xid,
				   const RowImage *before, const RowImage *after,
				   const Bitmapset *unchanged, StringInfo out)
{
	resetStringInfo(out);
	if (codec->capture->envelope == OUTBOX_ENVELOPE_FLAT)
		put_flat(codec, op, before, after, unchanged, out);
	else if (codec->plan != NULL)
		put_debezium_avro(codec, op, xid, before, after, unchanged, out);
	else
		put_debezium_json(codec, op, xid, before, after, unchanged, out);
}
