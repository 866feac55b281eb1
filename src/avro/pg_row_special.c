/*-------------------------------------------------------------------------
 *
 * pg_row_special.c
 *		Values of table rows that their Avro type cannot hold.
 *
 *	  date, timestamp, timestamptz	infinity, -infinity; a timestamp whose
 *									microseconds since 1970 exceed 64 bits
 *	  time							24:00:00
 *	  numeric(p,s)					NaN
 *	  array							dimensions other than the schema's, or a
 *									lower bound other than 1
 *
 * The schema decides (pg_image_schema.c): a union with string takes the text, a
 * nullable field becomes null and the text is noted, anything else is an error
 * from the type's own function.  Nothing wraps, nothing is flattened.
 *
 * Also here: the settings that output functions look at, and values as text.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "avro/pg_row.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/bytea.h"
#include "utils/date.h"
#include "utils/float.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

/* ---- which values ---- */

static bool
special_date(RowOp *op, Datum value)
{
	return DATE_NOT_FINITE(DatumGetDateADT(value));
}

static bool
special_timestamp(RowOp *op, Datum value)
{
	return !avro_row_timestamp_fits(DatumGetTimestamp(value));
}

static bool
special_time(RowOp *op, Datum value)
{
	return DatumGetTimeADT(value) >= USECS_PER_DAY;
}

static bool
special_numeric(RowOp *op, Datum value)
{
	struct varlena *number =
		pg_detoast_datum_packed((struct varlena *) DatumGetPointer(value));
	AvroDigits	digits;
	bool		special;

	avro_numeric_open((Numeric) number, &digits);
	special = digits.special;
	if ((Pointer) number != DatumGetPointer(value))
		pfree(number);
	return special;
}

/* int2vector and oidvector count from 0, always. */
static bool
special_array(RowOp *op, Datum value)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	int			ndim = ARR_NDIM(array);
	int			first = op->type == INT2VECTOROID || op->type == OIDVECTOROID ?
		0 : 1;
	bool		special = ndim != 0 && ndim != op->depth;

	for (int i = 0; i < ndim; i++)
		special |= ARR_LBOUND(array)[i] != first;
	if ((Pointer) array != DatumGetPointer(value))
		pfree(array);
	return special;
}

static void
choose_special(RowOp *op)
{
	if (op->node->type == AVRO_TYPE_STRING)
		op->special = NULL;
	else if (op->element != NULL)
		op->special = special_array;
	else if (op->type == DATEOID)
		op->special = special_date;
	else if (op->type == TIMESTAMPOID || op->type == TIMESTAMPTZOID)
		op->special = special_timestamp;
	else if (op->type == TIMEOID)
		op->special = special_time;
	else if (op->type == NUMERICOID)
		op->special = special_numeric;
	else
		op->special = NULL;
}

bool
avro_row_is_special(RowOp *op, Datum value)
{
	choose_special(op);
	return op->special != NULL && op->special(op, value);
}

/* whole is the node with all its branches; op has been compiled for one. */
void
avro_row_find_special(RowOp *op, const AvroNode *whole)
{
	static AvroNode string = {.type = AVRO_TYPE_STRING};

	choose_special(op);
	if (op->special == NULL)
		return;
	for (int i = 0; i < whole->branch_count; i++)
		if (whole->branches[i]->type == AVRO_TYPE_STRING &&
			whole->branches[i]->logical == AVRO_LOGICAL_NONE)
			op->text_branch = i;
	if (op->text_branch < 0 && op->null_branch < 0)
	{
		op->special = NULL;		/* its own error says why */
		return;
	}
	op->text = palloc0(sizeof(RowOp));
	op->text->context = op->context;
	op->text->type = op->type;
	op->text->node = &string;
	(void) avro_row_find_put(op->text, &string, op->type);
}

static void
note(RowOp *op, Datum value, const AvroPath *path)
{
	StringInfoData text;
	StringInfoData place;
	int			len;

	initStringInfo(&text);
	initStringInfo(&place);
	op->text->put(op->text, value, &text, path);
	/* the string's length comes first, as a varint */
	for (len = 0; (text.data[len] & 0x80) != 0; len++)
		;
	len++;
	avro_path_append(&place, path);
	appendStringInfoChar(op->notes, ',');
	avro_json_quote(op->notes, place.data, place.len);
	appendStringInfoChar(op->notes, ':');
	avro_json_quote(op->notes, text.data + len, text.len - len);
	pfree(text.data);
	pfree(place.data);
}

void
avro_row_put_special(RowOp *op, Datum value, StringInfo out,
					 const AvroPath *path)
{
	if (op->text_branch >= 0)
	{
		avro_put_long(out, op->text_branch);
		op->text->put(op->text, value, out, path);
		return;
	}
	avro_put_long(out, op->null_branch);
	if (op->notes != NULL)
		note(op, value, path);
}

/* ---- settings ---- */

static bool
zone_is_utc(void)
{
	static const pg_tz *last;
	static bool utc;
	const char *name;

	if (session_timezone == last)
		return utc;
	name = pg_get_timezone_name(session_timezone);
	utc = strcmp(name, "UTC") == 0 || strcmp(name, "Etc/UTC") == 0 ||
		strcmp(name, "GMT") == 0;
	last = session_timezone;
	return utc;
}

bool
outbox_avro_settings_pinned(void)
{
	return DateStyle == USE_ISO_DATES && IntervalStyle == INTSTYLE_POSTGRES &&
		extra_float_digits >= 1 && bytea_output == BYTEA_OUTPUT_HEX &&
		zone_is_utc();
}

static void
set_plain(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

int
outbox_avro_pin_settings(void)
{
	int			level = NewGUCNestLevel();

	set_plain("datestyle", "ISO");
	set_plain("intervalstyle", "postgres");
	set_plain("extra_float_digits", "3");
	set_plain("bytea_output", "hex");
	set_plain("timezone", "UTC");
	return level;
}

AvroOutputKind
avro_row_output_kind(Oid type)
{
	switch (type)
	{
		case BOOLOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case OIDOID:
		case NUMERICOID:
		case NAMEOID:
		case CHAROID:
		case BITOID:
		case VARBITOID:
		case INETOID:
		case CIDROID:
		case MACADDROID:
		case MACADDR8OID:
		case XMLOID:
		case TSVECTOROID:
		case TSQUERYOID:
		case JSONPATHOID:
		case PG_LSNOID:
		case XIDOID:
		case XID8OID:
		case CIDOID:
		case TIDOID:
		case INT4RANGEOID:
		case INT8RANGEOID:
		case NUMRANGEOID:
		case INT4MULTIRANGEOID:
		case INT8MULTIRANGEOID:
		case NUMMULTIRANGEOID:
			return AVRO_OUTPUT_PLAIN;
		case REGPROCOID:
		case REGPROCEDUREOID:
		case REGOPEROID:
		case REGOPERATOROID:
		case REGCLASSOID:
		case REGCOLLATIONOID:
		case REGTYPEOID:
		case REGCONFIGOID:
		case REGDICTIONARYOID:
			return AVRO_OUTPUT_NAMES;
		default:
			return AVRO_OUTPUT_SETTINGS;
	}
}

/* One text per value, whatever the session's settings are; palloc'd. */
char *
avro_row_output(RowOp *op, Datum value)
{
	int			level;
	char	   *text;

	if (op->output_kind == AVRO_OUTPUT_PLAIN ||
		(op->output_kind == AVRO_OUTPUT_SETTINGS &&
		 outbox_avro_settings_pinned()))
		return OutputFunctionCall(&op->output, value);
	if (op->output_kind == AVRO_OUTPUT_SETTINGS)
		level = outbox_avro_pin_settings();
	else
	{
		level = NewGUCNestLevel();
		set_plain("search_path", "pg_catalog, pg_temp");
	}
	text = OutputFunctionCall(&op->output, value);
	AtEOXact_GUC(true, level);
	return text;
}

/* ---- text ---- */

struct OutboxAvroTextPlan
{
	RowOp		op;
};

OutboxAvroTextPlan *
outbox_avro_plan_text(Oid type)
{
	static AvroNode string = {.type = AVRO_TYPE_STRING};
	OutboxAvroTextPlan *plan = palloc0(sizeof(OutboxAvroTextPlan));
	Oid			output;
	bool		is_varlena;

	plan->op.type = getBaseType(type);
	plan->op.node = &string;
	plan->op.context = CurrentMemoryContext;
	if (plan->op.type == BYTEAOID || plan->op.type == BOOLOID)
	{
		getTypeOutputInfo(plan->op.type, &output, &is_varlena);
		fmgr_info_cxt(output, &plan->op.output, plan->op.context);
	}
	else if (avro_row_find_put(&plan->op, &string, plan->op.type) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("type %s has no text form", format_type_be(type))));
	return plan;
}

/* bytea and boolean, which Avro's strings are not made for. */
static void
put_plain(OutboxAvroTextPlan *plan, Datum value, StringInfo out)
{
	struct varlena *bytes;

	if (plan->op.type == BOOLOID)
	{
		appendStringInfoString(out, DatumGetBool(value) ? "true" : "false");
		return;
	}
	bytes = pg_detoast_datum_packed((struct varlena *) DatumGetPointer(value));
	appendStringInfoString(out, "\\x");
	enlargeStringInfo(out, VARSIZE_ANY_EXHDR(bytes) * 2);
	out->len += hex_encode(VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes),
						   out->data + out->len);
	out->data[out->len] = '\0';
	if ((Pointer) bytes != DatumGetPointer(value))
		pfree(bytes);
}

void
outbox_avro_put_text(OutboxAvroTextPlan *plan, Datum value, StringInfo out)
{
	int			start = out->len;
	int			prefix = 0;

	if (plan->op.put == NULL)
	{
		put_plain(plan, value, out);
		return;
	}
	plan->op.put(&plan->op, value, out, NULL);
	while ((out->data[start + prefix] & 0x80) != 0)
		prefix++;
	prefix++;
	out->len -= prefix;
	memmove(out->data + start, out->data + start + prefix, out->len - start);
	out->data[out->len] = '\0';
}

/* ---- images ---- */

static const AvroNode *
find_record(const AvroNode *node, const char *fullname)
{
	const AvroNode *found = NULL;

	if (node->type == AVRO_TYPE_RECORD && strcmp(node->fullname, fullname) == 0)
		return node;
	if (node->type == AVRO_TYPE_UNION)
		for (int i = 0; i < node->branch_count && found == NULL; i++)
			found = find_record(node->branches[i], fullname);
	return found;
}

OutboxAvroRowPlan *
outbox_avro_plan_image(const OutboxAvroSchema *schema, const char *record,
					   int trailing, TupleDesc desc,
					   OutboxAvroSpecial special, StringInfo notes)
{
	static const AvroPath path = {0};
	RowOp		parent = {.schema = schema,
	.image = special != OUTBOX_AVRO_SPECIAL_ERROR,.notes = notes};
	const AvroNode *root = schema->root;
	const AvroNode *node = find_record(root, record);

	/* the row is the schema itself, or in its fields before and after */
	for (int i = 0; i < root->field_count && node == NULL; i++)
		node = find_record(root->fields[i].type, record);
	if (node == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("stored schema has no record \"%s\"", record)));
	return avro_row_plan(&parent, node, trailing, desc, &path);
}

void
outbox_avro_put_image(const OutboxAvroRowPlan *plan, const Datum *values,
					  const bool *nulls, StringInfo out)
{
	static const AvroPath path = {0};

	avro_row_put_values(plan, values, nulls, out, &path);
}

bool
outbox_avro_image_nullable(const OutboxAvroRowPlan *plan, int column)
{
	for (int i = 0; i < plan->record->field_count; i++)
		if (plan->column[i] == column)
			return plan->ops[i].null_branch >= 0;
	return false;
}
