/*-------------------------------------------------------------------------
 *
 * schema_text.c
 *		Schemas of captured tables.
 *
 *	  debezium	<ns>.Envelope {before, after, op, [unchanged], source, ts_ms,
 *				ts_us, ts_ns, transaction}, with <ns>.Value for the row
 *	  flat		<ns>.Value {the row's columns, __deleted, __op, __table,
 *				[__unchanged], __lsn, __ts_ms}
 *	  key		<ns>.Key {the key's columns}
 *
 * ns is the topic's name.  What only the commit decides stands last (tail.c).
 * "unchanged" is there only when rows may come without all their columns
 * (outbox_capture_partial()); then, and in flat, where a deleted row may not be
 * known, columns are nullable that are not in the table.
 *
 * value.c writes these fields in this order.  Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "rowcodec/codec.h"

static const char source_record[] =
"{\"type\":\"record\",\"name\":\"io.debezium.connector.postgresql.Source\","
"\"fields\":["
"{\"name\":\"version\",\"type\":\"string\"},"
"{\"name\":\"connector\",\"type\":\"string\"},"
"{\"name\":\"name\",\"type\":\"string\"},"
"{\"name\":\"snapshot\",\"type\":[\"string\",\"null\"],\"default\":\"false\"},"
"{\"name\":\"db\",\"type\":\"string\"},"
"{\"name\":\"sequence\",\"type\":[\"null\",\"string\"],\"default\":null},"
"{\"name\":\"schema\",\"type\":\"string\"},"
"{\"name\":\"table\",\"type\":\"string\"},"
"{\"name\":\"txId\",\"type\":[\"null\",\"long\"],\"default\":null},"
"{\"name\":\"xmin\",\"type\":[\"null\",\"long\"],\"default\":null},"
"{\"name\":\"lsn\",\"type\":[\"null\",\"long\"],\"default\":null},"
"{\"name\":\"ts_ms\",\"type\":\"long\"},"
"{\"name\":\"ts_us\",\"type\":[\"null\",\"long\"],\"default\":null},"
"{\"name\":\"ts_ns\",\"type\":[\"null\",\"long\"],\"default\":null}]}";

static const char debezium_end[] =
",{\"name\":\"ts_ms\",\"type\":[\"null\",\"long\"],\"default\":null},"
"{\"name\":\"ts_us\",\"type\":[\"null\",\"long\"],\"default\":null},"
"{\"name\":\"ts_ns\",\"type\":[\"null\",\"long\"],\"default\":null},"
"{\"name\":\"transaction\",\"type\":[\"null\",{\"type\":\"record\","
"\"name\":\"event.block\",\"fields\":["
"{\"name\":\"id\",\"type\":\"string\"},"
"{\"name\":\"total_order\",\"type\":\"long\"},"
"{\"name\":\"data_collection_order\",\"type\":\"long\"}]}],"
"\"default\":null}]}";

static const char unchanged_type[] =
"\"type\":[\"null\",{\"type\":\"array\",\"items\":\"string\"}],\"default\":null}";

/* Key columns that every image of a row has. */
static Bitmapset *
required_columns(const OutboxCapture *capture, Relation rel, TupleDesc image)
{
	Bitmapset  *key = rowcodec_key_attnums(capture, rel, image);
	Bitmapset  *required = NULL;
	int			attnum = -1;

	while ((attnum = bms_next_member(key, attnum)) >= 0)
	{
		if (TupleDescAttr(image, attnum - 1)->attnotnull)
			required = bms_add_member(required, attnum);
	}
	return required;
}

static void
put_row(StringInfo out, const OutboxCapture *capture, Relation rel,
		const OutboxAvroSchema *before, const OutboxAvroRename *rename)
{
	OutboxAvroImage image = {
		.fullname = rowcodec_record_name(capture, "Value"),
		.relation = RelationGetRelid(rel),
		.desc = rowcodec_image_desc(capture, rel),
		.special = capture->special,
		.before = before,
		.rename = rename
	};

	if (capture->envelope == OUTBOX_ENVELOPE_FLAT)
		image.all_nullable = true;
	else if (outbox_capture_partial(capture))
	{
		image.all_nullable = true;
		image.required = required_columns(capture, rel, image.desc);
	}
	outbox_avro_put_image_schema(out, &image);
}

static void
put_debezium(StringInfo out, const OutboxCapture *capture, Relation rel,
			 const OutboxAvroSchema *before, const OutboxAvroRename *rename)
{
	char	   *value = rowcodec_record_name(capture, "Value");

	appendStringInfo(out, "{\"type\":\"record\",\"name\":\"%s\",\"fields\":["
					 "{\"name\":\"before\",\"type\":[\"null\",",
					 rowcodec_record_name(capture, "Envelope"));
	put_row(out, capture, rel, before, rename);
	appendStringInfo(out, "]}],\"default\":null},"
					 "{\"name\":\"after\",\"type\":[\"null\",\"%s\"],\"default\":null},"
					 "{\"name\":\"op\",\"type\":\"string\"}", value);
	if (outbox_capture_partial(capture))
		appendStringInfo(out, ",{\"name\":\"unchanged\",%s", unchanged_type);
	appendStringInfo(out, ",{\"name\":\"source\",\"type\":%s}", source_record);
	appendStringInfoString(out, debezium_end);
}

static void
put_flat(StringInfo out, const OutboxCapture *capture, Relation rel,
		 const OutboxAvroSchema *before, const OutboxAvroRename *rename)
{
	put_row(out, capture, rel, before, rename);
	if (out->data[out->len - 1] != '[')
		appendStringInfoChar(out, ',');
	appendStringInfoString(out, "{\"name\":\"__deleted\",\"type\":\"boolean\"},"
						   "{\"name\":\"__op\",\"type\":\"string\"},"
						   "{\"name\":\"__table\",\"type\":\"string\"}");
	if (outbox_capture_partial(capture))
		appendStringInfo(out, ",{\"name\":\"__unchanged\",%s", unchanged_type);
	appendStringInfoString(out, ",{\"name\":\"__lsn\",\"type\":\"long\"},"
						   "{\"name\":\"__ts_ms\",\"type\":\"long\"}]}");
}

/* Parsing checks the names that come from the topic. */
static char *
render(StringInfo text)
{
	OutboxAvroSchema *schema = outbox_avro_parse_or_error(text->data, text->len);
	StringInfoData out;

	initStringInfo(&out);
	outbox_avro_render(schema, &out);
	return pg_any_to_server(out.data, out.len, PG_UTF8);
}

static const OutboxAvroSchema *
parse_before(const char *before)
{
	return before == NULL ? NULL :
		outbox_avro_parse_or_error(before, strlen(before));
}

char *
outbox_rowcodec_value_schema(const OutboxCapture *capture, Relation rel,
							 const char *before,
							 const OutboxAvroRename *rename)
{
	StringInfoData text;

	initStringInfo(&text);
	if (capture->envelope == OUTBOX_ENVELOPE_FLAT)
		put_flat(&text, capture, rel, parse_before(before), rename);
	else
		put_debezium(&text, capture, rel, parse_before(before), rename);
	return render(&text);
}

char *
outbox_rowcodec_key_schema(const OutboxCapture *capture, Relation rel,
						   const char *before, const OutboxAvroRename *rename)
{
	List	   *names = outbox_rowcodec_key_columns(capture, rel);
	AttrNumber *attnums;
	StringInfoData text;
	OutboxAvroImage image = {
		.fullname = rowcodec_record_name(capture, "Key"),
		.relation = RelationGetRelid(rel),
		.special = capture->special,
		.key = true,
		.before = parse_before(before),
		.rename = rename
	};

	if (capture->key_format != OUTBOX_KEY_RECORD || names == NIL ||
		capture->route.format != OUTBOX_FORMAT_AVRO)
		return NULL;
	image.desc = rowcodec_key_desc(names, rowcodec_image_desc(capture, rel),
								   &attnums);
	initStringInfo(&text);
	outbox_avro_put_image_schema(&text, &image);
	appendStringInfoString(&text, "]}");
	return render(&text);
}
