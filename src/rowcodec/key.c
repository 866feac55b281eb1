/*-------------------------------------------------------------------------
 *
 * key.c
 *		The key of a row's messages.
 *
 *	  plain		one column: its text.  Several: a JSON object of their texts, in
 *				key order.  Bytes depend on the values alone, so that a row
 *				stays in its partition whatever becomes of the schema.
 *	  record	format avro: id of the key's schema (4 bytes, little-endian; the
 *				relay puts the wire format in its place) and an Avro record.
 *				Format json: a JSON object.
 *
 * Key columns are those that were asked for, else the primary key, else the
 * replica identity index.  Of a partition: those of the table that the capture
 * is of.  Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "base/cursor.h"
#include "catalog/pg_index.h"
#include "rowcodec/codec.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

struct RowKey
{
	bool		record;			/* else plain */
	uint32		schema_id;		/* 0 = no Avro */
	int			count;
	AttrNumber *attnums;
	char	  **names;			/* quoted for JSON, UTF-8 */
	OutboxAvroTextPlan **texts; /* plain, or for headers */
	OutboxAvroRowPlan *plan;	/* record in Avro */
	RowJson    *json;			/* record in JSON */
	Datum	   *values;			/* in key order, for the plan */
	bool	   *nulls;
};

static List *
names_of_index(Relation rel, Oid index)
{
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	Form_pg_index form;
	List	   *names = NIL;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for index %u", index);
	form = (Form_pg_index) GETSTRUCT(tuple);
	for (int i = 0; i < form->indnkeyatts; i++)
	{
		AttrNumber	attnum = form->indkey.values[i];

		names = lappend(names, pstrdup(NameStr(TupleDescAttr(RelationGetDescr(rel),
															 attnum - 1)->attname)));
	}
	ReleaseSysCache(tuple);
	return names;
}

List *
outbox_rowcodec_key_columns(const OutboxCapture *capture, Relation rel)
{
	Relation	root = rel;
	List	   *names = NIL;

	if (capture->key_format == OUTBOX_KEY_NONE)
		return NIL;
	if (capture->key_columns != NIL)
		return capture->key_columns;
	if (RelationGetRelid(rel) != capture->relation)
		root = RelationIdGetRelation(capture->relation);
	if (!RelationIsValid(root))
		return NIL;
	list_free(RelationGetIndexList(root));	/* finds the two below */
	if (OidIsValid(root->rd_pkindex))
		names = names_of_index(root, root->rd_pkindex);
	else if (OidIsValid(root->rd_replidindex))
		names = names_of_index(root, root->rd_replidindex);
	if (root != rel)
		RelationClose(root);
	return names;
}

Bitmapset *
rowcodec_key_attnums(const OutboxCapture *capture, Relation rel,
					 TupleDesc image)
{
	Bitmapset  *attnums = NULL;
	ListCell   *lc;

	foreach(lc, outbox_rowcodec_key_columns(capture, rel))
	{
		int			column = rowcodec_column(image, lfirst(lc));

		if (column >= 0 && !rowcodec_masked(capture, lfirst(lc)))
			attnums = bms_add_member(attnums, column + 1);
	}
	return attnums;
}

TupleDesc
rowcodec_key_desc(List *names, TupleDesc image, AttrNumber **attnums)
{
	TupleDesc	desc = CreateTemplateTupleDesc(list_length(names));
	ListCell   *lc;
	int			n = 0;

	*attnums = palloc(list_length(names) * sizeof(AttrNumber));
	foreach(lc, names)
	{
		int			column = rowcodec_column(image, lfirst(lc));

		if (column < 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("key column \"%s\" is not among the captured columns",
							(char *) lfirst(lc)),
					 errhint("Name other key columns, or capture this one too.")));
		(*attnums)[n] = column + 1;
		TupleDescCopyEntry(desc, ++n, image, column + 1);
		TupleDescAttr(desc, n - 1)->attnotnull =
			TupleDescAttr(image, column)->attnotnull;
	}
	return desc;
}

/* The plan of a record key: of Avro, or of JSON. */
static void
plan_record(RowKey *key, const OutboxCapture *capture, TupleDesc desc)
{
	char	   *definition;

	if (capture->key_schema_id == 0)
	{
		key->json = rowcodec_json_make(desc);
		return;
	}
	key->schema_id = capture->key_schema_id;
	definition = outbox_catalog_schema(key->schema_id);
	if (definition == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("schema %u of a capture's key is missing",
						key->schema_id)));
	key->plan = outbox_avro_plan_image(outbox_avro_parse_or_error(definition,
																  strlen(definition)),
									   rowcodec_record_name(capture, "Key"), 0,
									   desc, capture->special, NULL);
}

RowKey *
rowcodec_key_make(const OutboxRowCodec *codec, Relation rel)
{
	const OutboxCapture *capture = codec->capture;
	List	   *names = outbox_rowcodec_key_columns(capture, rel);
	RowKey	   *key;
	TupleDesc	desc;

	if (names == NIL)
		return NULL;
	key = palloc0(sizeof(RowKey));
	key->count = list_length(names);
	desc = rowcodec_key_desc(names, codec->image, &key->attnums);
	key->names = palloc(key->count * sizeof(char *));
	key->texts = palloc(key->count * sizeof(OutboxAvroTextPlan *));
	key->values = palloc(key->count * sizeof(Datum));
	key->nulls = palloc(key->count * sizeof(bool));
	for (int i = 0; i < key->count; i++)
	{
		StringInfoData name;
		char	   *utf8 = rowcodec_utf8(list_nth(names, i));

		initStringInfo(&name);
		rowcodec_json_quote(&name, utf8, strlen(utf8));
		key->names[i] = name.data;
		key->texts[i] = outbox_avro_plan_text(TupleDescAttr(desc, i)->atttypid);
	}
	key->record = capture->key_format == OUTBOX_KEY_RECORD;
	if (key->record)
		plan_record(key, capture, desc);
	return key;
}

static void
put_texts(RowKey *key, const RowImage *image, StringInfo out)
{
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 0; i < key->count; i++)
	{
		int			column = key->attnums[i] - 1;

		appendStringInfoChar(out, i == 0 ? '{' : ',');
		appendStringInfo(out, "%s:", key->names[i]);
		if (image->nulls[column])
		{
			appendStringInfoString(out, "null");
			continue;
		}
		resetStringInfo(&text);
		outbox_avro_put_text(key->texts[i], image->values[column], &text);
		rowcodec_json_quote(out, text.data, text.len);
	}
	appendStringInfoChar(out, '}');
	pfree(text.data);
}

static void
put_plain(RowKey *key, const RowImage *image, StringInfo out)
{
	if (key->count > 1)
		put_texts(key, image, out);
	else if (!image->nulls[key->attnums[0] - 1])
		outbox_avro_put_text(key->texts[0],
							 image->values[key->attnums[0] - 1], out);
}

static void
gather(RowKey *key, const RowImage *image)
{
	for (int i = 0; i < key->count; i++)
	{
		key->values[i] = image->values[key->attnums[i] - 1];
		key->nulls[i] = image->nulls[key->attnums[i] - 1];
	}
}

void
rowcodec_key_put(RowKey *key, const RowImage *image, StringInfo out)
{
	resetStringInfo(out);
	if (!key->record)
	{
		put_plain(key, image, out);
		return;
	}
	gather(key, image);
	if (key->plan != NULL)
	{
		outbox_put_u32(out, key->schema_id);
		outbox_avro_put_image(key->plan, key->values, key->nulls, out);
	}
	else
	{
		RowImage	part = {.values = key->values,.nulls = key->nulls};

		rowcodec_json_put(key->json, &part, true, out);
	}
}

void
rowcodec_key_put_header(RowKey *key, const RowImage *image, StringInfo out)
{
	if (key->plan != NULL)
		put_texts(key, image, out);
	else
		rowcodec_key_put(key, image, out);
}
