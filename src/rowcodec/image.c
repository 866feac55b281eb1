/*-------------------------------------------------------------------------
 *
 * image.c
 *		Which columns of a table are captured, and one row's values of them.
 *
 * Columns keep their numbers: what is not captured is marked as dropped in the
 * copy of the descriptor, and a masked column is text there, which may be null.
 * Schemas and plans are made from that copy, so nothing behind it can see a
 * value that must not leave the server.  Virtual generated columns are left out:
 * tuples do not hold them.  Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "mb/pg_wchar.h"
#include "rowcodec/codec.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

char *
rowcodec_utf8(const char *s)
{
	char	   *copy = pstrdup(s);

	if (GetDatabaseEncoding() == PG_UTF8)
		return copy;
	return pg_server_to_any(copy, strlen(copy), PG_UTF8);
}

char *
rowcodec_record_name(const OutboxCapture *capture, const char *name)
{
	StringInfoData out;
	char	   *topic = pstrdup(capture->route.topic);
	char	   *part = topic;

	initStringInfo(&out);
	while (part != NULL)
	{
		char	   *dot = strchr(part, '.');

		if (dot != NULL)
			*dot = '\0';
		appendStringInfoString(&out, outbox_avro_map_name(part));
		appendStringInfoChar(&out, '.');
		part = dot != NULL ? dot + 1 : NULL;
	}
	appendStringInfoString(&out, name);
	return out.data;
}

int
rowcodec_column(TupleDesc image, const char *name)
{
	for (int i = 0; i < image->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(image, i);

		if (!att->attisdropped && strcmp(NameStr(att->attname), name) == 0)
			return i;
	}
	return -1;
}

static bool
is_named(List *names, const char *name)
{
	ListCell   *lc;

	foreach(lc, names)
	{
		if (strcmp(lfirst(lc), name) == 0)
			return true;
	}
	return false;
}

static void
make_text(Form_pg_attribute att)
{
	att->atttypid = TEXTOID;
	att->atttypmod = -1;
	att->attndims = 0;
	att->attlen = -1;
	att->attbyval = false;
	att->attalign = TYPALIGN_INT;
	att->attnotnull = false;
	att->atthasdef = false;
	att->attcollation = DEFAULT_COLLATION_OID;
}

TupleDesc
rowcodec_image_desc(const OutboxCapture *capture, Relation rel)
{
	TupleDesc	source = RelationGetDescr(rel);
	TupleDesc	image = CreateTupleDescCopyConstr(source);

	for (int i = 0; i < image->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(image, i);

		if (att->attisdropped)
			continue;
		if (outbox_compat_is_virtual(att) ||
			(capture->columns != NIL &&
			 !is_named(capture->columns, NameStr(att->attname))))
			att->attisdropped = true;
		else if (rowcodec_masked(capture, NameStr(att->attname)))
			make_text(att);
		outbox_compat_populate_attribute(image, i);
	}
	return image;
}

void
rowcodec_image_init(OutboxRowCodec *codec, RowImage *image)
{
	int			natts = Max(codec->source->natts, 1);

	image->values = palloc0(natts * sizeof(Datum));
	image->nulls = palloc0(natts * sizeof(bool));
	image->known = false;
}

/* Masks are what a column's value is to everybody behind this. */
static void
apply_masks(OutboxRowCodec *codec, RowImage *image)
{
	for (int i = 0; i < codec->image->natts; i++)
	{
		if (codec->masks[i] != NULL)
			image->values[i] = rowcodec_mask_apply(codec->masks[i],
												   image->values[i],
												   &image->nulls[i]);
	}
}

void
rowcodec_image_load(OutboxRowCodec *codec, RowImage *image, HeapTuple tuple,
					const Bitmapset *unchanged)
{
	int			attnum = -1;

	image->known = tuple != NULL;
	image->tuple = tuple;
	image->key_only = false;
	if (tuple == NULL)
		return;
	heap_deform_tuple(tuple, codec->source, image->values, image->nulls);
	while ((attnum = bms_next_member(unchanged, attnum)) >= 0)
		image->nulls[attnum - 1] = true;
	if (codec->masks != NULL)
		apply_masks(codec, image);
}
