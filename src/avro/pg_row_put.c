/*-------------------------------------------------------------------------
 *
 * pg_row_put.c
 *		Datums to Avro's scalars, without a detour over text or JSON.
 *
 *	  bool -> boolean                     int2, int4, int8, oid -> int, long,
 *	  float4, float8 -> float, double         decimal, double if exact
 *	  numeric -> decimal, long, int,      text, varchar, char, name, json,
 *		  double, float, string			      jsonb, xml -> string
 *	  bytea -> bytes, fixed               uuid -> uuid, string
 *	  enum -> enum, string                text -> enum, uuid
 *	  date -> date                        time -> time-micros, -millis
 *	  timestamp -> local-timestamp-*      timestamptz -> timestamp-*
 *	  money -> decimal
 *	  interval -> duration                any other -> string by its output
 *
 * Dates, times, uuid and intervals also go to a plain string, in ISO 8601
 * whatever DateStyle and IntervalStyle say.  Nothing wraps or is rounded: an
 * infinite date, 24:00:00, NaN in a decimal, microseconds in a -millis type, a
 * timestamp outside Avro's range are errors with the path.  In a string,
 * "infinity" and "NaN" stand as such.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "avro/pg_row.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/float.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#define EPOCH_DAYS (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE)
#define EPOCH_MICROS (EPOCH_DAYS * USECS_PER_DAY)

/* ---- booleans and numbers ---- */

static void
put_bool(RowOp *op, Datum value, StringInfo out, const AvroPath *path)
{
	avro_put_byte(out, DatumGetBool(value));
}

static int64
integer_of(Oid type, Datum value)
{
	switch (type)
	{
		case INT2OID:
			return DatumGetInt16(value);
		case INT4OID:
			return DatumGetInt32(value);
		case OIDOID:
			return DatumGetObjectId(value);
		default:
			return DatumGetInt64(value);
	}
}

static void
put_int2(RowOp *op, Datum value, StringInfo out, const AvroPath *path)
{
	avro_put_long(out, DatumGetInt16(value));
}

static void
put_int4(RowOp *op, Datum value, StringInfo out, const AvroPath *path)
{
	avro_put_long(out, DatumGetInt32(value));
}

static void
put_int8(RowOp *op, Datum value, StringInfo out, const AvroPath *path)
{
	avro_put_long(out, DatumGetInt64(value));
}

/* Ranges that may not hold the value; decimals. */
static void
put_integer(RowOp *op, Datum value, StringInfo out, const AvroPath *path)
{
	Numeric		number = int64_to_numeric(integer_of(op->type, value));

	avro_scalar_put_numeric(op->node, number, out, path);
	pfree(number);
}

static void
put_integer_double(RowOp *op, Datum value, StringInfo out,
				   const AvroPath *path)
{
	int64		v = integer_of(op->type, value);

	/* 2^53: the last one before gaps */
	if (v > (INT64CONST(1) << 53) || v < -(INT64CONST(1) << 53))
		avro_value_error(path, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE, NULL,
						 INT64_FORMAT " is not exact in type \"double\"", v);
	avro_put_double(out, (double) v);
}

static void
put_int2_float(RowOp *op, Datum value, StringInfo out, const AvroPath *path)
{
	avro_put_float(out, (float) DatumGetInt16(value));
}

static void
put_float4(RowOp *op, Datum value, StringInfo out, const AvroPath *path)
{
	avro_put_float(out, DatumGetFloat4(value));
}

static void
put_float4_double(RowOp *op, Datum value, StringInfo out,
				  const AvroPath *path)
{
	avro_put_double(out, (double) DatumGetFloat4(value));
}

static void
put_float8(RowOp *op, Datum value, StringInfo out, const AvroPath *path)
{
	avro_put_double(out, DatumGetFloat8(value));
}

/* The amount in hundredths, whatever lc_monetary says. */
static void
put_money(RowOp *op, Datum value, StringInfo out, const AvroPath *path)
{
	Numeric		number = int64_div_fast_to_numeric(DatumGetInt64(value), 2);

	avro_scalar_put_numeric(op->node, number, out, path);
	pfree(number);
}

static void
put_numeric(RowOp *op, Datum value, StringInfo out, const AvroPath *path)
{
	struct varlena *number =
		pg_detoast_datum_packed((struct varlena *) DatumGetPointer(value));

	avro_scalar_put_numeric(op->node, (Numeric) number, out, path);
	if ((Pointer) number != DatumGetPointer(value))
		pfree(number);
}

/* ---- strings and bytes ---- */

static void
put_text(RowOp *op, Datum value, StringInfo out, const AvroPath *path)
{
	struct varlena *text =
		pg_detoast_datum_packed((struct varlena *) DatumGetPointer(value));

	if (op->node->type == AVRO_TYPE_STRING &&
		op->node->logical == AVRO_LOGICAL_NONE)
		avro_scalar_put_string(VARDATA_ANY(text), VARSIZE_ANY_EXHDR(text), out);
	else
		avro_scalar_put_text(op->node, VARDATA_ANY(text),
							 VARSIZE_ANY_EXHDR(text), out, path);
	if ((Pointer) text != DatumGetPointer(value))
		pfree(text);
}

static void
put_jsonb_text(RowOp *op, Datum value, StringInfo out, const AvroPath *path)
{
	Jsonb	   *jsonb = DatumGetJsonbP(value);
	StringInfoData text;

	initStringInfo(&text);
	(void) JsonbToCString(&text, &jsonb->root, VARSIZE(jsonb));
	avro_scalar_put_string(text.data, text.len, out);
	pfree(text.data);
	if ((Pointer) jsonb != DatumGetPointer(value))
		pfree(jsonb);
}

static void
put_output(RowOp *op, Datum value, StringInfo out, const AvroPath *path)
{
	char	   *text = avro_row_output(op, value);

	avro_scalar_put_string(text, (int) strlen(text), out);
	pfree(text);
}

static void
put_bytea(RowOp *op, Datum value, StringInfo out, const AvroPath *path)
{
	struct varlena *bytes =
		pg_detoast_datum_packed((struct varlena *) DatumGetPointer(value));
	int			len = VARSIZE_ANY_EXHDR(bytes);

	if (op->node->type == AVRO_TYPE_BYTES)
		avro_put_long(out, len);
	else if ((size_t) len != op->node->size)
		avro_value_error(path, ERRCODE_STRING_DATA_LENGTH_MISMATCH, NULL,
						 "fixed \"%s\" has %zu bytes, got %d",
						 op->node->fullname, op->node->size, len);
	avro_put_raw(out, VARDATA_ANY(bytes), len);
	if ((Pointer) bytes != DatumGetPointer(value))
		pfree(bytes);
}

static void
put_uuid(RowOp *op, Datum value, StringInfo out, const AvroPath *path)
{
	pg_uuid_t  *uuid = DatumGetUUIDP(value);

	if (op->node->type == AVRO_TYPE_FIXED)
		avro_put_raw(out, uuid->data, UUID_LEN);
	else
	{
		avro_put_long(out, 36);
		avro_text_uuid(out, uuid->data);
	}
}

/* ---- enums ---- */

static int
symbol_of_label(RowOp *op, Oid label, const AvroPath *path)
{
	HeapTuple	tuple = SearchSysCache1(ENUMOID, ObjectIdGetDatum(label));
	StringInfoData scratch;
	char	   *name;
	int			symbol = -1;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid internal value for enum: %u", label)));
	name = pstrdup(NameStr(((Form_pg_enum) GETSTRUCT(tuple))->enumlabel));
	ReleaseSysCache(tuple);
	for (int pass = 0; pass < 2 && symbol < 0; pass++)
	{
		char	   *wanted = pass == 0 ? name : avro_map_name(name);

		for (int i = 0; i < op->node->symbol_count && symbol < 0; i++)
			if (strcmp(op->node->symbols[i], wanted) == 0)
				symbol = i;
	}
	if (symbol < 0)
	{
		initStringInfo(&scratch);
		avro_scalar_put_enum(op->node, name, (int) strlen(name), &scratch,
							 path);
	}
	return symbol;
}

static void
put_enum(RowOp *op, Datum value, StringInfo out, const AvroPath *path)
{
	Oid			label = DatumGetObjectId(value);
	int			symbol;

	for (int i = 0; i < op->label_count; i++)
	{
		if (op->label_oids[i] == label)
		{
			avro_put_long(out, op->label_symbols[i]);
			return;
		}
	}
	symbol = symbol_of_label(op, label, path);
	if (op->label_count == op->label_space)
	{
		int			space = op->label_space == 0 ? 8 : op->label_space * 2;
		Oid		   *oids = MemoryContextAlloc(op->context,
											  space * sizeof(Oid));
		int		   *symbols = MemoryContextAlloc(op->context,
												 space * sizeof(int));

		if (op->label_count > 0)
		{
			memcpy(oids, op->label_oids, op->label_count * sizeof(Oid));
			memcpy(symbols, op->label_symbols, op->label_count * sizeof(int));
		}
		op->label_oids = oids;
		op->label_symbols = symbols;
		op->label_space = space;
	}
	op->label_oids[op->label_count] = label;
	op->label_symbols[op->label_count++] = symbol;
	avro_put_long(out, symbol);
}

static void
put_enum_text(RowOp *op, Datum value, StringInfo out, const AvroPath *path)
{
	char	   *label = DatumGetCString(DirectFunctionCall1(enum_out, value));

	avro_scalar_put_string(label, (int) strlen(label), out);
	pfree(label);
}

/* ---- dates and times ---- */

static void
not_finite(const RowOp *op, bool negative, const AvroPath *path)
{
	avro_value_error(path, ERRCODE_DATETIME_FIELD_OVERFLOW, NULL,
					 "%s cannot hold %sinfinity",
					 avro_scalar_wanted(op->node), negative ? "-" : "");
}

/* Micros to the node's unit. */
static void
put_micros(RowOp *op, int64 micros, StringInfo out, const AvroPath *path)
{
	switch (op->node->logical)
	{
		case AVRO_LOGICAL_TIME_MILLIS:
		case AVRO_LOGICAL_TIMESTAMP_MILLIS:
		case AVRO_LOGICAL_LOCAL_TIMESTAMP_MILLIS:
			if (micros % 1000 != 0)
				avro_value_error(path, ERRCODE_DATETIME_FIELD_OVERFLOW,
								 "Nothing is rounded: use the type's -micros "
								 "form in the schema, or "
								 "date_trunc('milliseconds', ...).",
								 "the value is finer than %s holds",
								 avro_scalar_wanted(op->node));
			micros /= 1000;
			break;
		default:
			break;
	}
	avro_put_long(out, micros);
}

static void
put_scratch(StringInfo scratch, StringInfo out)
{
	avro_put_sized(out, scratch->data, scratch->len);
	pfree(scratch->data);
}

static void
put_date(RowOp *op, Datum value, StringInfo out, const AvroPath *path)
{
	DateADT		date = DatumGetDateADT(value);
	int64		days = (int64) date + EPOCH_DAYS;

	if (op->node->type == AVRO_TYPE_STRING)
	{
		StringInfoData text;

		initStringInfo(&text);
		if (DATE_NOT_FINITE(date))
			appendStringInfoString(&text, DATE_IS_NOBEGIN(date) ?
								   "-infinity" : "infinity");
		else
			avro_text_date(&text, (int32) days);
		put_scratch(&text, out);
		return;
	}
	if (DATE_NOT_FINITE(date))
		not_finite(op, DATE_IS_NOBEGIN(date), path);
	avro_put_long(out, days);
}

static void
put_time(RowOp *op, Datum value, StringInfo out, const AvroPath *path)
{
	TimeADT		micros = DatumGetTimeADT(value);

	if (op->node->type == AVRO_TYPE_STRING)
	{
		StringInfoData text;

		initStringInfo(&text);
		avro_text_time(&text, micros);
		put_scratch(&text, out);
		return;
	}
	if (micros >= USECS_PER_DAY)
		avro_value_error(path, ERRCODE_DATETIME_FIELD_OVERFLOW, NULL,
						 "24:00:00 is out of range for %s",
						 avro_scalar_wanted(op->node));
	put_micros(op, micros, out, path);
}

/* Whether it is a time at all, and one that 64 bits hold from 1970 on. */
bool
avro_row_timestamp_fits(Timestamp t)
{
	int64		micros;

	return !TIMESTAMP_NOT_FINITE(t) &&
		!pg_add_s64_overflow(t, EPOCH_MICROS, &micros);
}

/* In two parts, because the whole may not fit 64 bits from 1970 on. */
static void
put_timestamp_text(RowOp *op, Timestamp t, StringInfo out)
{
	StringInfoData text;
	int64		days = t / USECS_PER_DAY;
	int64		rest = t % USECS_PER_DAY;

	if (rest < 0)
	{
		days--;
		rest += USECS_PER_DAY;
	}
	initStringInfo(&text);
	if (TIMESTAMP_NOT_FINITE(t))
		appendStringInfoString(&text, TIMESTAMP_IS_NOBEGIN(t) ?
							   "-infinity" : "infinity");
	else
	{
		avro_text_date(&text, (int32) (days + EPOCH_DAYS));
		appendStringInfoChar(&text, 'T');
		avro_text_time(&text, rest);
		if (op->type == TIMESTAMPTZOID)
			appendStringInfoChar(&text, 'Z');
	}
	put_scratch(&text, out);
}

/* timestamp and timestamptz */
static void
put_timestamp(RowOp *op, Datum value, StringInfo out, const AvroPath *path)
{
	Timestamp	t = DatumGetTimestamp(value);

	if (op->node->type == AVRO_TYPE_STRING)
	{
		put_timestamp_text(op, t, out);
		return;
	}
	if (TIMESTAMP_NOT_FINITE(t))
		not_finite(op, TIMESTAMP_IS_NOBEGIN(t), path);
	if (!avro_row_timestamp_fits(t))
		avro_value_error(path, ERRCODE_DATETIME_FIELD_OVERFLOW, NULL,
						 "timestamp is out of range for %s",
						 avro_scalar_wanted(op->node));
	put_micros(op, t + EPOCH_MICROS, out, path);
}

static void
put_interval(RowOp *op, Datum value, StringInfo out, const AvroPath *path)
{
	Interval   *span = DatumGetIntervalP(value);
	struct pg_itm itm;
	char		text[MAXDATELEN + 1];

#ifdef INTERVAL_NOT_FINITE
	if (INTERVAL_NOT_FINITE(span))
	{
		const char *name = INTERVAL_IS_NOBEGIN(span) ? "-infinity" : "infinity";

		if (op->node->type != AVRO_TYPE_STRING)
			not_finite(op, INTERVAL_IS_NOBEGIN(span), path);
		avro_put_sized(out, name, (int) strlen(name));
		return;
	}
#endif
	if (op->node->type == AVRO_TYPE_STRING)
	{
		interval2itm(*span, &itm);
		EncodeInterval(&itm, INTSTYLE_ISO_8601, text);
		avro_put_sized(out, text, (int) strlen(text));
		return;
	}
	if (span->month < 0 || span->day < 0 || span->time < 0 ||
		span->time % 1000 != 0 || span->time / 1000 > PG_UINT32_MAX)
		avro_value_error(path, ERRCODE_INTERVAL_FIELD_OVERFLOW,
						 "A duration holds months, days and milliseconds, none negative.",
						 "the interval does not fit a duration");
	avro_put_le(out, (uint64) span->month, 4);
	avro_put_le(out, (uint64) span->day, 4);
	avro_put_le(out, (uint64) (span->time / 1000), 4);
}

/* ---- which way ---- */

static int
choose(RowOp *op, RowPut put, int rank)
{
	op->put = put;
	return rank;
}

static int
find_integer(RowOp *op, const AvroNode *node, Oid type)
{
	bool		plain = node->logical == AVRO_LOGICAL_NONE;

	switch (node->type)
	{
		case AVRO_TYPE_INT:
			if (plain && type == INT2OID)
				return choose(op, put_int2, 0);
			if (plain && type == INT4OID)
				return choose(op, put_int4, 0);
			return choose(op, put_integer, plain ? 3 : 5);
		case AVRO_TYPE_LONG:
			if (plain && type == INT2OID)
				return choose(op, put_int2, 1);
			if (plain && type == INT4OID)
				return choose(op, put_int4, 1);
			if (plain && type == INT8OID)
				return choose(op, put_int8, 0);
			return choose(op, put_integer, plain ? 0 : 5);
		case AVRO_TYPE_DOUBLE:
			return choose(op, put_integer_double, 4);
		case AVRO_TYPE_FLOAT:
			return type == INT2OID ? choose(op, put_int2_float, 4) :
				AVRO_ROW_NO_WAY;
		default:
			return node->logical == AVRO_LOGICAL_DECIMAL ?
				choose(op, put_integer, 2) : AVRO_ROW_NO_WAY;
	}
}

static int
find_number(RowOp *op, const AvroNode *node, Oid type)
{
	switch (type)
	{
		case FLOAT4OID:
			return node->type == AVRO_TYPE_FLOAT ? choose(op, put_float4, 0) :
				node->type == AVRO_TYPE_DOUBLE ?
				choose(op, put_float4_double, 1) : AVRO_ROW_NO_WAY;
		case FLOAT8OID:
			return node->type == AVRO_TYPE_DOUBLE ?
				choose(op, put_float8, 0) : AVRO_ROW_NO_WAY;
		case NUMERICOID:
			if (node->logical == AVRO_LOGICAL_DECIMAL)
				return choose(op, put_numeric, 0);
			if (node->logical != AVRO_LOGICAL_NONE)
				return AVRO_ROW_NO_WAY;
			return node->type == AVRO_TYPE_LONG ? choose(op, put_numeric, 2) :
				node->type == AVRO_TYPE_INT ? choose(op, put_numeric, 3) :
				node->type == AVRO_TYPE_DOUBLE ? choose(op, put_numeric, 5) :
				node->type == AVRO_TYPE_FLOAT ? choose(op, put_numeric, 6) :
				AVRO_ROW_NO_WAY;
		default:
			return find_integer(op, node, type);
	}
}

static int
find_time(RowOp *op, const AvroNode *node, Oid type)
{
	switch (type)
	{
		case DATEOID:
			return node->logical == AVRO_LOGICAL_DATE ?
				choose(op, put_date, 0) : AVRO_ROW_NO_WAY;
		case TIMEOID:
			return node->logical == AVRO_LOGICAL_TIME_MICROS ?
				choose(op, put_time, 0) :
				node->logical == AVRO_LOGICAL_TIME_MILLIS ?
				choose(op, put_time, 1) : AVRO_ROW_NO_WAY;
		case TIMESTAMPOID:
			return node->logical == AVRO_LOGICAL_LOCAL_TIMESTAMP_MICROS ?
				choose(op, put_timestamp, 0) :
				node->logical == AVRO_LOGICAL_LOCAL_TIMESTAMP_MILLIS ?
				choose(op, put_timestamp, 1) : AVRO_ROW_NO_WAY;
		case TIMESTAMPTZOID:
			return node->logical == AVRO_LOGICAL_TIMESTAMP_MICROS ?
				choose(op, put_timestamp, 0) :
				node->logical == AVRO_LOGICAL_TIMESTAMP_MILLIS ?
				choose(op, put_timestamp, 1) : AVRO_ROW_NO_WAY;
		default:
			return node->logical == AVRO_LOGICAL_DURATION ?
				choose(op, put_interval, 0) : AVRO_ROW_NO_WAY;
	}
}

/* Every type has a way into a plain string, but bytea. */
static int
find_string(RowOp *op, Oid type)
{
	Oid			output;
	bool		is_varlena;

	switch (type)
	{
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case JSONOID:
			return choose(op, put_text, 0);
		case JSONBOID:
			return choose(op, put_jsonb_text, 0);
		case UUIDOID:
			return choose(op, put_uuid, 8);
		case DATEOID:
			return choose(op, put_date, 8);
		case TIMEOID:
			return choose(op, put_time, 8);
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return choose(op, put_timestamp, 8);
		case INTERVALOID:
			return choose(op, put_interval, 8);
		case BYTEAOID:
			return AVRO_ROW_NO_WAY;
		default:
			break;
	}
	if (get_typtype(type) == TYPTYPE_ENUM)
		return choose(op, put_enum_text, 8);
	if (get_typtype(type) == TYPTYPE_PSEUDO)
		return AVRO_ROW_NO_WAY;
	getTypeOutputInfo(type, &output, &is_varlena);
	fmgr_info_cxt(output, &op->output, op->context);
	op->output_kind = avro_row_output_kind(type);
	return choose(op, put_output, 9);
}

int
avro_row_find_put(RowOp *op, const AvroNode *node, Oid type)
{
	bool		plain = node->logical == AVRO_LOGICAL_NONE;

	if (node->type == AVRO_TYPE_STRING && plain)
		return find_string(op, type);
	switch (type)
	{
		case BOOLOID:
			return node->type == AVRO_TYPE_BOOLEAN ? choose(op, put_bool, 0) :
				AVRO_ROW_NO_WAY;
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case OIDOID:
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
			return find_number(op, node, type);
		case DATEOID:
		case TIMEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case INTERVALOID:
			return find_time(op, node, type);
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			return node->type == AVRO_TYPE_ENUM ||
				node->type == AVRO_TYPE_STRING ? choose(op, put_text, 3) :
				AVRO_ROW_NO_WAY;
		case MONEYOID:
			return node->logical == AVRO_LOGICAL_DECIMAL ?
				choose(op, put_money, 0) : AVRO_ROW_NO_WAY;
		case BYTEAOID:
			return plain && (node->type == AVRO_TYPE_BYTES ||
							 node->type == AVRO_TYPE_FIXED) ?
				choose(op, put_bytea, 0) : AVRO_ROW_NO_WAY;
		case UUIDOID:
			return node->logical == AVRO_LOGICAL_UUID ?
				choose(op, put_uuid, 0) : AVRO_ROW_NO_WAY;
		default:
			if (node->type == AVRO_TYPE_ENUM &&
				get_typtype(type) == TYPTYPE_ENUM)
				return choose(op, put_enum, 0);
			return AVRO_ROW_NO_WAY;
	}
}
