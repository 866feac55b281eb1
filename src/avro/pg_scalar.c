/*-------------------------------------------------------------------------
 *
 * pg_scalar.c
 *		Text and numbers of PostgreSQL to Avro's scalar types: what natural
 *		JSON and text columns may hold for each.
 *
 * Text: string as it is; enum by symbol; uuid in RFC 4122 form; date, time and
 * timestamp in ISO 8601 (iso.c); bytes and fixed base64 with padding; float
 * and double only "NaN", "Infinity", "-Infinity".
 * Numbers: int and long when integral and in range, also for dates and times
 * (in the logical type's unit); decimal when scale and precision hold it;
 * float and double to the nearest, not beyond their range.
 *
 * Each has a "takes" twin that only asks: the resolution of unions.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "avro/pg_model.h"
#include "fmgr.h"
#include "utils/builtins.h"

/* Text in the database's encoding to an Avro string. */
void
avro_scalar_put_string(const char *s, int len, StringInfo out)
{
	if (GetDatabaseEncoding() != PG_UTF8)
	{
		char	   *copy = pnstrdup(s, len);
		char	   *utf8 = pg_server_to_any(copy, len, PG_UTF8);

		avro_put_sized(out, utf8, (int) strlen(utf8));
		if (utf8 != copy)
			pfree(utf8);
		pfree(copy);
		return;
	}
	avro_put_sized(out, s, len);
}

/* What to say in "expected %s". */
const char *
avro_scalar_wanted(const AvroNode *node)
{
	switch (node->logical)
	{
		case AVRO_LOGICAL_NONE:
			break;
		case AVRO_LOGICAL_DURATION:
			return "duration (an object of \"months\", \"days\" and \"milliseconds\")";
		default:
			return avro_logical_name(node->logical);
	}
	if (node->fullname != NULL)
		return psprintf("%s \"%s\"", avro_type_name(node->type),
						node->fullname);
	return avro_type_name(node->type);
}

/* ---- base64 ---- */

static int
base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Bytes that base64 text stands for, or -1 when it is none. */
static int
base64_length(const char *s, int len)
{
	int			pad = 0;

	if (len % 4 != 0)
		return -1;
	while (pad < 2 && pad < len && s[len - 1 - pad] == '=')
		pad++;
	for (int i = 0; i < len - pad; i++)
		if (base64_value(s[i]) < 0)
			return -1;
	/* the unused bits of the last digit must be zero: one text per value */
	if (pad > 0 && (base64_value(s[len - 1 - pad]) &
					(pad == 2 ? 0x0F : 0x03)) != 0)
		return -1;
	return len / 4 * 3 - pad;
}

static void
put_base64(const char *s, int bytes, StringInfo out)
{
	char	   *p = avro_reserve(out, bytes);

	for (int i = 0; i < bytes; i += 3, s += 4)
	{
		uint32		v = (uint32) base64_value(s[0]) << 18 |
			(uint32) base64_value(s[1]) << 12;

		p[i] = (char) (v >> 16);
		if (i + 1 < bytes)
		{
			v |= (uint32) base64_value(s[2]) << 6;
			p[i + 1] = (char) (v >> 8);
		}
		if (i + 2 < bytes)
		{
			v |= (uint32) base64_value(s[3]);
			p[i + 2] = (char) v;
		}
	}
	out->len += bytes;
}

/* ---- dates and times ---- */

static AvroIsoResult
iso_value(const AvroNode *node, const char *s, int len, int64 *value)
{
	int32		days;
	AvroIsoResult result;

	switch (node->logical)
	{
		case AVRO_LOGICAL_DATE:
			result = avro_iso_date(s, len, &days);
			*value = days;
			return result;
		case AVRO_LOGICAL_TIME_MILLIS:
			return avro_iso_time(s, len, true, value);
		case AVRO_LOGICAL_TIME_MICROS:
			return avro_iso_time(s, len, false, value);
		case AVRO_LOGICAL_TIMESTAMP_MILLIS:
			return avro_iso_timestamp(s, len, true, true, value);
		case AVRO_LOGICAL_TIMESTAMP_MICROS:
			return avro_iso_timestamp(s, len, false, true, value);
		case AVRO_LOGICAL_LOCAL_TIMESTAMP_MILLIS:
			return avro_iso_timestamp(s, len, true, false, value);
		case AVRO_LOGICAL_LOCAL_TIMESTAMP_MICROS:
			return avro_iso_timestamp(s, len, false, false, value);
		default:
			return AVRO_ISO_SYNTAX;
	}
}

static void
iso_error(AvroIsoResult result, const AvroNode *node, const char *s, int len,
		  const AvroPath *path)
{
	const char *type = avro_logical_name(node->logical);
	char	   *shown = pnstrdup(s, pg_mbcliplen(s, len, 64));

	switch (result)
	{
		case AVRO_ISO_PRECISION:
			avro_value_error(path, ERRCODE_DATETIME_FIELD_OVERFLOW,
							 "Nothing is rounded: give fewer digits, or use "
							 "the type's -micros form in the schema.",
							 "\"%s\" is finer than %s holds", shown, type);
		case AVRO_ISO_RANGE:
			avro_value_error(path, ERRCODE_DATETIME_FIELD_OVERFLOW, NULL,
							 "\"%s\" is out of range for %s", shown, type);
		case AVRO_ISO_ZONE_MISSING:
			avro_value_error(path, ERRCODE_INVALID_DATETIME_FORMAT,
							 "Append \"Z\" or an offset such as \"+02:00\", "
							 "or use the type's local- form in the schema.",
							 "\"%s\" has no offset from UTC, which %s needs",
							 shown, type);
		case AVRO_ISO_ZONE_GIVEN:
			avro_value_error(path, ERRCODE_INVALID_DATETIME_FORMAT, NULL,
							 "\"%s\" has an offset from UTC, which %s cannot hold",
							 shown, type);
		default:
			avro_value_error(path, ERRCODE_INVALID_DATETIME_FORMAT,
							 "Write it in ISO 8601, such as \"2024-02-29\", "
							 "\"23:59:59.5\" or \"2024-02-29T23:59:59.5Z\"; "
							 "or as a number in the type's unit.",
							 "\"%s\" is no %s", shown, type);
	}
}

/* ---- text ---- */

static int
find_symbol(const AvroNode *node, const char *s, int len)
{
	for (int i = 0; i < node->symbol_count; i++)
		if (strncmp(node->symbols[i], s, len) == 0 &&
			node->symbols[i][len] == '\0')
			return i;
	return -1;
}

void
avro_scalar_put_enum(const AvroNode *node, const char *s, int len,
					 StringInfo out, const AvroPath *path)
{
	int			index = find_symbol(node, s, len);

	if (index < 0)
		avro_value_error(path, ERRCODE_INVALID_TEXT_REPRESENTATION,
						 avro_list_names("Its symbols are ", node->symbols,
										 node->symbol_count),
						 "\"%.*s\" is no symbol of enum \"%s\"",
						 pg_mbcliplen(s, len, 64), s, node->fullname);
	avro_put_long(out, index);
}

static bool
special_float(const char *s, int len, double *value)
{
	if (len == 3 && memcmp(s, "NaN", 3) == 0)
		*value = NAN;
	else if (len == 8 && memcmp(s, "Infinity", 8) == 0)
		*value = INFINITY;
	else if (len == 9 && memcmp(s, "-Infinity", 9) == 0)
		*value = -INFINITY;
	else
		return false;
	return true;
}

static void
put_bytes_text(const AvroNode *node, const char *s, int len, StringInfo out,
			   const AvroPath *path)
{
	uint8		uuid[16];
	int			bytes;

	if (node->logical == AVRO_LOGICAL_UUID)
	{
		if (!avro_text_is_uuid(s, len, uuid))
			avro_value_error(path, ERRCODE_INVALID_TEXT_REPRESENTATION, NULL,
							 "\"%.*s\" is no uuid", pg_mbcliplen(s, len, 64), s);
		avro_put_raw(out, uuid, 16);
		return;
	}
	if (node->logical != AVRO_LOGICAL_NONE)
		avro_value_error(path, ERRCODE_DATATYPE_MISMATCH, NULL,
						 "expected %s, got a string", avro_scalar_wanted(node));
	bytes = base64_length(s, len);
	if (bytes < 0)
		avro_value_error(path, ERRCODE_INVALID_TEXT_REPRESENTATION,
						 "Bytes are written as base64 with padding: "
						 "encode(value, 'base64') without line breaks.",
						 "the string is not base64");
	if (node->type == AVRO_TYPE_FIXED)
	{
		if ((size_t) bytes != node->size)
			avro_value_error(path, ERRCODE_STRING_DATA_LENGTH_MISMATCH, NULL,
							 "fixed \"%s\" has %zu bytes, got %d",
							 node->fullname, node->size, bytes);
	}
	else
		avro_put_long(out, bytes);
	put_base64(s, bytes, out);
}

void
avro_scalar_put_text(const AvroNode *node, const char *s, int len,
					 StringInfo out, const AvroPath *path)
{
	uint8		uuid[16];
	int64		value;
	double		d;
	AvroIsoResult result;

	switch (node->type)
	{
		case AVRO_TYPE_STRING:
			if (node->logical == AVRO_LOGICAL_UUID &&
				!avro_text_is_uuid(s, len, uuid))
				avro_value_error(path, ERRCODE_INVALID_TEXT_REPRESENTATION,
								 NULL, "\"%.*s\" is no uuid",
								 pg_mbcliplen(s, len, 64), s);
			avro_scalar_put_string(s, len, out);
			return;
		case AVRO_TYPE_ENUM:
			avro_scalar_put_enum(node, s, len, out, path);
			return;
		case AVRO_TYPE_BYTES:
		case AVRO_TYPE_FIXED:
			put_bytes_text(node, s, len, out, path);
			return;
		case AVRO_TYPE_INT:
		case AVRO_TYPE_LONG:
			if (node->logical == AVRO_LOGICAL_NONE)
				break;
			result = iso_value(node, s, len, &value);
			if (result != AVRO_ISO_OK)
				iso_error(result, node, s, len, path);
			if (node->type == AVRO_TYPE_INT &&
				(value < PG_INT32_MIN || value > PG_INT32_MAX))
				iso_error(AVRO_ISO_RANGE, node, s, len, path);
			avro_put_long(out, value);
			return;
		case AVRO_TYPE_FLOAT:
		case AVRO_TYPE_DOUBLE:
			if (!special_float(s, len, &d))
				avro_value_error(path, ERRCODE_DATATYPE_MISMATCH,
								 "As strings only \"NaN\", \"Infinity\" and "
								 "\"-Infinity\" are allowed.",
								 "expected %s, got a string",
								 avro_type_name(node->type));
			if (node->type == AVRO_TYPE_FLOAT)
				avro_put_float(out, (float) d);
			else
				avro_put_double(out, d);
			return;
		default:
			break;
	}
	avro_value_error(path, ERRCODE_DATATYPE_MISMATCH, NULL,
					 "expected %s, got a string", avro_scalar_wanted(node));
}

bool
avro_scalar_takes_text(const AvroNode *node, const char *s, int len)
{
	uint8		uuid[16];
	int64		value;
	double		d;
	int			bytes;

	switch (node->type)
	{
		case AVRO_TYPE_STRING:
			return node->logical != AVRO_LOGICAL_UUID ||
				avro_text_is_uuid(s, len, uuid);
		case AVRO_TYPE_ENUM:
			return find_symbol(node, s, len) >= 0;
		case AVRO_TYPE_BYTES:
		case AVRO_TYPE_FIXED:
			if (node->logical == AVRO_LOGICAL_UUID)
				return avro_text_is_uuid(s, len, uuid);
			if (node->logical != AVRO_LOGICAL_NONE)
				return false;
			bytes = base64_length(s, len);
			return bytes >= 0 && (node->type == AVRO_TYPE_BYTES ||
								  (size_t) bytes == node->size);
		case AVRO_TYPE_INT:
		case AVRO_TYPE_LONG:
			return iso_value(node, s, len, &value) == AVRO_ISO_OK;
		case AVRO_TYPE_FLOAT:
		case AVRO_TYPE_DOUBLE:
			return special_float(s, len, &d);
		default:
			return false;
	}
}

/* ---- numbers ---- */

static const int64 clock_limit[] = {
	[AVRO_LOGICAL_TIME_MILLIS] = INT64CONST(86400000),
	[AVRO_LOGICAL_TIME_MICROS] = INT64CONST(86400000000)
};

static AvroNumericResult
integer_value(const AvroNode *node, const AvroDigits *digits, int64 *value)
{
	AvroNumericResult result = avro_numeric_int64(digits, value);

	if (result != AVRO_NUMERIC_OK)
		return result;
	if (node->type == AVRO_TYPE_INT &&
		(*value < PG_INT32_MIN || *value > PG_INT32_MAX))
		return AVRO_NUMERIC_RANGE;
	if ((node->logical == AVRO_LOGICAL_TIME_MILLIS ||
		 node->logical == AVRO_LOGICAL_TIME_MICROS) &&
		(*value < 0 || *value >= clock_limit[node->logical]))
		return AVRO_NUMERIC_RANGE;
	return AVRO_NUMERIC_OK;
}

static void
numeric_error(AvroNumericResult result, const AvroNode *node, Numeric number,
			  const AvroPath *path)
{
	char	   *text = DatumGetCString(DirectFunctionCall1(numeric_out,
														   NumericGetDatum(number)));
	const char *type = avro_scalar_wanted(node);

	if (strlen(text) > 64)
		strcpy(text + 61, "...");
	if (node->logical == AVRO_LOGICAL_DECIMAL)
		type = psprintf("decimal(%d,%d)", node->precision, node->scale);
	switch (result)
	{
		case AVRO_NUMERIC_FRACTION:
			avro_value_error(path, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
							 "Nothing is rounded: round the value, or choose "
							 "a type that holds it.",
							 node->logical == AVRO_LOGICAL_DECIMAL ?
							 "%s has more decimal places than %s holds" :
							 "%s is not integral, as %s must be", text, type);
		case AVRO_NUMERIC_SPECIAL:
			avro_value_error(path, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE, NULL,
							 "%s cannot hold %s", type, text);
		default:
			avro_value_error(path, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE, NULL,
							 "%s is out of range for %s", text, type);
	}
}

void
avro_scalar_put_numeric(const AvroNode *node, Numeric number, StringInfo out,
						const AvroPath *path)
{
	AvroDigits	digits;
	AvroNumericResult result;
	int64		value;
	double		d;
	float		f;

	switch (node->type)
	{
		case AVRO_TYPE_INT:
		case AVRO_TYPE_LONG:
			avro_numeric_open(number, &digits);
			result = integer_value(node, &digits, &value);
			if (result == AVRO_NUMERIC_OK)
				avro_put_long(out, value);
			break;
		case AVRO_TYPE_FLOAT:
			result = avro_numeric_float(number, &f);
			if (result == AVRO_NUMERIC_OK)
				avro_put_float(out, f);
			break;
		case AVRO_TYPE_DOUBLE:
			result = avro_numeric_double(number, &d);
			if (result == AVRO_NUMERIC_OK)
				avro_put_double(out, d);
			break;
		default:
			if (node->logical != AVRO_LOGICAL_DECIMAL)
				avro_value_error(path, ERRCODE_DATATYPE_MISMATCH, NULL,
								 "expected %s, got a number",
								 avro_scalar_wanted(node));
			avro_numeric_open(number, &digits);
			result = avro_numeric_check_decimal(&digits, node);
			if (result == AVRO_NUMERIC_OK)
				avro_numeric_put_decimal(&digits, node, out);
			break;
	}
	if (result != AVRO_NUMERIC_OK)
		numeric_error(result, node, number, path);
}

bool
avro_scalar_takes_numeric(const AvroNode *node, Numeric number)
{
	AvroDigits	digits;
	int64		value;
	double		d;
	float		f;

	switch (node->type)
	{
		case AVRO_TYPE_INT:
		case AVRO_TYPE_LONG:
			avro_numeric_open(number, &digits);
			return integer_value(node, &digits, &value) == AVRO_NUMERIC_OK;
		case AVRO_TYPE_FLOAT:
			return avro_numeric_float(number, &f) == AVRO_NUMERIC_OK;
		case AVRO_TYPE_DOUBLE:
			return avro_numeric_double(number, &d) == AVRO_NUMERIC_OK;
		default:
			if (node->logical != AVRO_LOGICAL_DECIMAL)
				return false;
			avro_numeric_open(number, &digits);
			return avro_numeric_check_decimal(&digits, node) ==
				AVRO_NUMERIC_OK;
	}
}
