/*-------------------------------------------------------------------------
 *
 * json.c
 *		Rows as JSON objects, for captures in format json.
 *
 *	  boolean			true, false
 *	  integers, oid		a number
 *	  real, double		a number; "NaN", "Infinity", "-Infinity"
 *	  numeric, money	a number with all its digits; the same strings
 *	  json, jsonb		the document itself
 *	  bytea				base64
 *	  arrays			arrays within arrays, one for each dimension
 *	  composites		objects
 *	  anything else		its text (pg_avro.h): dates and times in ISO 8601
 *
 * Members have the columns' names.  The text is UTF-8.  A plan lives in the
 * context it was made in; types of nested rows are watched, because a change of
 * theirs does not show in the table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/tupmacs.h"
#include "catalog/pg_type.h"
#include "common/base64.h"
#include "compat.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "rowcodec/codec.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

typedef struct JsonOp JsonOp;

struct JsonOp
{
	void		(*put) (JsonOp *op, Datum value, StringInfo out);
	Oid			type;			/* base type */
	MemoryContext context;
	OutboxAvroTextPlan *text;
	JsonOp	   *element;		/* array */
	int16		typlen;
	bool		typbyval;
	char		typalign;
	RowJson    *sub;			/* composite */
	TupleDesc	sub_desc;
	uint64		sub_desc_id;
};

struct RowJson
{
	TupleDesc	desc;
	char	  **names;			/* quoted, with colon */
	JsonOp	   *ops;
};

static void plan_type(JsonOp *op, Oid type);

void
rowcodec_json_quote(StringInfo out, const char *text, int len)
{
	outbox_avro_json_quote(out, text, len);
}

/* ---- scalars ---- */

static void
put_text(JsonOp *op, Datum value, StringInfo out)
{
	StringInfoData text;

	initStringInfo(&text);
	outbox_avro_put_text(op->text, value, &text);
	rowcodec_json_quote(out, text.data, text.len);
	pfree(text.data);
}

/* Text that is JSON already. */
static void
put_raw(JsonOp *op, Datum value, StringInfo out)
{
	outbox_avro_put_text(op->text, value, out);
}

/* A number, but for NaN and the infinities. */
static void
put_number(JsonOp *op, Datum value, StringInfo out)
{
	int			start = out->len;
	char	   *p;

	outbox_avro_put_text(op->text, value, out);
	p = out->data + start;
	if (*p == '-')
		p++;
	if (*p >= '0' && *p <= '9')
		return;
	p = pstrdup(out->data + start);
	out->len = start;
	rowcodec_json_quote(out, p, strlen(p));
	pfree(p);
}

static void
put_money(JsonOp *op, Datum value, StringInfo out)
{
	int64		cents = DatumGetInt64(value);
	uint64		rest = cents < 0 ? -(uint64) cents : (uint64) cents;

	appendStringInfo(out, "%s" UINT64_FORMAT ".%02d", cents < 0 ? "-" : "",
					 rest / 100, (int) (rest % 100));
}

static void
put_bytea(JsonOp *op, Datum value, StringInfo out)
{
	struct varlena *bytes =
		pg_detoast_datum_packed((struct varlena *) DatumGetPointer(value));
	int			len = VARSIZE_ANY_EXHDR(bytes);
	int			room = pg_b64_enc_len(len);

	appendStringInfoChar(out, '"');
	enlargeStringInfo(out, room + 1);
	out->len += pg_b64_encode((const void *) VARDATA_ANY(bytes), len,
							  out->data + out->len, room);
	appendStringInfoChar(out, '"');
}

/* ---- arrays ---- */

typedef struct JsonWalk
{
	JsonOp	   *op;
	ArrayType  *array;
	const char *p;
	int			element;
	StringInfo	out;
} JsonWalk;

static void
put_element(JsonWalk *walk)
{
	JsonOp	   *op = walk->op;
	const bits8 *nulls = ARR_NULLBITMAP(walk->array);
	int			i = walk->element++;

	if (nulls != NULL && (nulls[i / 8] & (1 << (i % 8))) == 0)
	{
		appendStringInfoString(walk->out, "null");
		return;
	}
	op->element->put(op->element, fetch_att(walk->p, op->typbyval, op->typlen),
					 walk->out);
	walk->p = att_addlength_pointer(walk->p, op->typlen, walk->p);
	walk->p = (const char *) att_align_nominal(walk->p, op->typalign);
}

static void
put_dimension(JsonWalk *walk, int dimension)
{
	appendStringInfoChar(walk->out, '[');
	for (int i = 0; i < ARR_DIMS(walk->array)[dimension]; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (i > 0)
			appendStringInfoChar(walk->out, ',');
		if (dimension + 1 < ARR_NDIM(walk->array))
			put_dimension(walk, dimension + 1);
		else
			put_element(walk);
	}
	appendStringInfoChar(walk->out, ']');
}

static void
put_array(JsonOp *op, Datum value, StringInfo out)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	JsonWalk	walk = {op, array, ARR_DATA_PTR(array), 0, out};

	if (ARR_NDIM(array) == 0)
		appendStringInfoString(out, "[]");
	else
		put_dimension(&walk, 0);
}

/* ---- composites ---- */

static void
plan_composite(JsonOp *op)
{
	MemoryContext old = MemoryContextSwitchTo(op->context);

	op->sub_desc = lookup_rowtype_tupdesc_copy(op->type, -1);
	op->sub = rowcodec_json_make(op->sub_desc);
	op->sub_desc_id = assign_record_type_identifier(op->type, -1);
	MemoryContextSwitchTo(old);
}

static void
put_composite(JsonOp *op, Datum value, StringInfo out)
{
	HeapTupleHeader row = DatumGetHeapTupleHeader(value);
	HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(row),
	.t_data = row};
	RowImage	image;

	check_stack_depth();
	if (op->sub_desc_id != assign_record_type_identifier(op->type, -1))
		plan_composite(op);
	ItemPointerSetInvalid(&tuple.t_self);
	image.values = palloc(Max(op->sub_desc->natts, 1) * sizeof(Datum));
	image.nulls = palloc(Max(op->sub_desc->natts, 1) * sizeof(bool));
	heap_deform_tuple(&tuple, op->sub_desc, image.values, image.nulls);
	rowcodec_json_put(op->sub, &image, true, out);
}

/* ---- plans ---- */

static void
plan_array(JsonOp *op, Oid element)
{
	op->put = put_array;
	get_typlenbyvalalign(element, &op->typlen, &op->typbyval, &op->typalign);
	op->element = palloc0(sizeof(JsonOp));
	plan_type(op->element, element);
}

static void
plan_type(JsonOp *op, Oid type)
{
	op->type = getBaseType(type);
	op->context = CurrentMemoryContext;
	if (OidIsValid(get_element_type(op->type)))
	{
		plan_array(op, get_element_type(op->type));
		return;
	}
	if (get_typtype(op->type) == TYPTYPE_COMPOSITE)
	{
		op->put = put_composite;
		plan_composite(op);
		return;
	}
	op->text = outbox_avro_plan_text(op->type);
	switch (op->type)
	{
		case BOOLOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case OIDOID:
		case JSONOID:
		case JSONBOID:
			op->put = put_raw;
			break;
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
			op->put = put_number;
			break;
		case MONEYOID:
			op->put = put_money;
			break;
		case BYTEAOID:
			op->put = put_bytea;
			break;
		default:
			op->put = put_text;
	}
}

RowJson *
rowcodec_json_make(TupleDesc desc)
{
	RowJson    *json = palloc0(sizeof(RowJson));

	check_stack_depth();
	json->desc = desc;
	json->names = palloc0(Max(desc->natts, 1) * sizeof(char *));
	json->ops = palloc0(Max(desc->natts, 1) * sizeof(JsonOp));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		StringInfoData name;
		char	   *utf8;

		if (att->attisdropped)
			continue;
		utf8 = rowcodec_utf8(NameStr(att->attname));
		initStringInfo(&name);
		rowcodec_json_quote(&name, utf8, strlen(utf8));
		appendStringInfoChar(&name, ':');
		json->names[i] = name.data;
		plan_type(&json->ops[i], att->atttypid);
	}
	return json;
}

void
rowcodec_json_put(const RowJson *json, const RowImage *image, bool braces,
				  StringInfo out)
{
	bool		first = true;

	if (braces)
		appendStringInfoChar(out, '{');
	for (int i = 0; i < json->desc->natts; i++)
	{
		if (json->names[i] == NULL)
			continue;
		if (!first)
			appendStringInfoChar(out, ',');
		first = false;
		appendStringInfoString(out, json->names[i]);
		if (image->nulls[i])
			appendStringInfoString(out, "null");
		else
			json->ops[i].put(&json->ops[i], image->values[i], out);
	}
	if (braces)
		appendStringInfoChar(out, '}');
}
