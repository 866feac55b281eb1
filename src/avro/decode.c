/*-------------------------------------------------------------------------
 *
 * decode.c
 *		Avro bytes to JSON text, or to nothing (validation): one walk.
 *
 * The bytes are untrusted.  No length or count in them is believed before it
 * is compared with what is left: an array or map item takes at least a byte,
 * or else (null, empty fixed, records of those) counts against one budget for
 * the whole datum.  Depth is bounded, and so is the text, which a few bytes
 * could otherwise blow up through long field names.
 *
 * Natural JSON: a union is its bare value; decimals are numbers; dates, times
 * and timestamps ISO 8601 (a time outside the day stays a number); uuid text;
 * bytes and fixed base64; duration an object of three numbers.  Avro's JSON
 * encoding: unions tagged, logical types ignored, bytes code points 0 to 255.
 * NaN and infinities are strings in both.
 *
 *-------------------------------------------------------------------------
 */
#include "base/base.h"

#include <math.h>

#include "avro/model.h"
#include "common/shortest_dec.h"
#include "mb/pg_wchar.h"

#define MAX_EMPTY_ITEMS 1000000
#define MAX_TEXT (512 * 1024 * 1024)
#define MAX_KEY_SHOWN 200		/* bytes of a map's key, in a path */

#define MICROS_PER_DAY INT64CONST(86400000000)

typedef struct Walk
{
	const uint8 *p;
	const uint8 *end;
	StringInfo	out;			/* NULL: validate only */
	bool		avro_json;
	int			depth;
	int64		empty_items;
	OutboxAvroError *error;
} Walk;

static bool walk_node(Walk *w, const AvroNode *node, const AvroPath *path);

/* "false" is said here, so that the compiler knows */
#define BAD(w, path, ...) \
	(avro_fail((w)->error, OUTBOX_AVRO_BAD_BYTES, path, NULL, __VA_ARGS__), \
	 false)

static inline size_t
left(const Walk *w)
{
	return w->end - w->p;
}

/* Zigzag varint of at most max_bytes. */
static bool
get_varint(Walk *w, int max_bytes, const AvroPath *path, int64 *value)
{
	uint64		n = 0;

	for (int i = 0; i < max_bytes; i++)
	{
		uint8		byte;

		if (w->p >= w->end)
			return BAD(w, path, "bytes end within a number");
		byte = *w->p++;
		if (i == 9 && byte > 1)
			break;
		n |= (uint64) (byte & 0x7F) << (7 * i);
		if ((byte & 0x80) == 0)
		{
			*value = (int64) (n >> 1) ^ -(int64) (n & 1);
			return true;
		}
	}
	return BAD(w, path, "number is too long");
}

static inline bool
get_long(Walk *w, const AvroPath *path, int64 *value)
{
	return get_varint(w, 10, path, value);
}

static bool
get_int(Walk *w, const AvroPath *path, int64 *value)
{
	if (!get_varint(w, 5, path, value))
		return false;
	if (*value < PG_INT32_MIN || *value > PG_INT32_MAX)
		return BAD(w, path, "number does not fit type \"int\"");
	return true;
}

/* Borrow len bytes. */
static bool
get_raw(Walk *w, int64 len, const AvroPath *path, const uint8 **data)
{
	if (len < 0)
		return BAD(w, path, "negative length " INT64_FORMAT, len);
	if ((uint64) len > left(w))
		return BAD(w, path, "bytes end early: " INT64_FORMAT
				   " needed, %zu left", len, left(w));
	*data = w->p;
	w->p += len;
	return true;
}

static bool
get_sized(Walk *w, const AvroPath *path, const uint8 **data, int64 *len)
{
	return get_long(w, path, len) && get_raw(w, *len, path, data);
}

static uint64
load_le(const uint8 *p, int width)
{
	uint64		v = 0;

	for (int i = width - 1; i >= 0; i--)
		v = (v << 8) | p[i];
	return v;
}

/* Room for the text of len bytes, six characters each at worst. */
static bool
has_room(Walk *w, size_t len, const AvroPath *path)
{
	if (w->out == NULL)
		return true;
	if ((size_t) w->out->len + len * 6 > MAX_TEXT)
		return BAD(w, path, "decoded value is too long");
	return true;
}

/* ---- scalars ---- */

static void
put_time(Walk *w, int64 value, int64 micros_per_unit)
{
	if (value < 0 || value >= MICROS_PER_DAY / micros_per_unit)
	{
		appendStringInfo(w->out, INT64_FORMAT, value);
		return;
	}
	appendStringInfoChar(w->out, '"');
	avro_text_time(w->out, value * micros_per_unit);
	appendStringInfoChar(w->out, '"');
}

static void
put_integer(Walk *w, const AvroNode *node, int64 value)
{
	AvroLogical logical = w->avro_json ? AVRO_LOGICAL_NONE : node->logical;

	switch (logical)
	{
		case AVRO_LOGICAL_DATE:
			appendStringInfoChar(w->out, '"');
			avro_text_date(w->out, (int32) value);
			appendStringInfoChar(w->out, '"');
			break;
		case AVRO_LOGICAL_TIME_MILLIS:
			put_time(w, value, 1000);
			break;
		case AVRO_LOGICAL_TIME_MICROS:
			put_time(w, value, 1);
			break;
		case AVRO_LOGICAL_TIMESTAMP_MILLIS:
		case AVRO_LOGICAL_TIMESTAMP_MICROS:
		case AVRO_LOGICAL_LOCAL_TIMESTAMP_MILLIS:
		case AVRO_LOGICAL_LOCAL_TIMESTAMP_MICROS:
			appendStringInfoChar(w->out, '"');
			avro_text_timestamp(w->out, value,
								logical == AVRO_LOGICAL_TIMESTAMP_MILLIS ||
								logical == AVRO_LOGICAL_LOCAL_TIMESTAMP_MILLIS,
								logical == AVRO_LOGICAL_TIMESTAMP_MILLIS ||
								logical == AVRO_LOGICAL_TIMESTAMP_MICROS);
			appendStringInfoChar(w->out, '"');
			break;
		default:
			appendStringInfo(w->out, INT64_FORMAT, value);
			break;
	}
}

static bool
walk_floating(Walk *w, const AvroNode *node, const AvroPath *path)
{
	bool		single = node->type == AVRO_TYPE_FLOAT;
	const uint8 *data;
	float		f = 0;
	double		d;
	uint64		bits;

	if (!get_raw(w, single ? 4 : 8, path, &data))
		return false;
	if (w->out == NULL)
		return true;
	bits = load_le(data, single ? 4 : 8);
	if (single)
	{
		uint32		low = (uint32) bits;

		memcpy(&f, &low, sizeof(f));
		d = f;
	}
	else
		memcpy(&d, &bits, sizeof(d));
	if (isnan(d))
		appendStringInfoString(w->out, "\"NaN\"");
	else if (isinf(d))
		appendStringInfoString(w->out, d < 0 ? "\"-Infinity\"" : "\"Infinity\"");
	else
	{
		char		text[DOUBLE_SHORTEST_DECIMAL_LEN];

		if (single)
			float_to_shortest_decimal_buf(f, text);
		else
			double_to_shortest_decimal_buf(d, text);
		appendStringInfoString(w->out, text);
	}
	return true;
}

static bool
put_decimal(Walk *w, const AvroNode *node, const uint8 *data, int64 len,
			const AvroPath *path)
{
	int			digits = 0;

	if (len == 0)
		return BAD(w, path, "decimal has no bytes");

	/* Bytes that only repeat the sign. */
	while (len > 1 && ((data[0] == 0 && data[1] < 0x80) ||
					   (data[0] == 0xFF && data[1] >= 0x80)))
	{
		data++;
		len--;
	}
	if (len > AVRO_MAX_PRECISION / 2)
		digits = AVRO_MAX_PRECISION + 1;
	else if (w->out != NULL)
		digits = avro_text_decimal(w->out, data, len, node->scale);
	/* that many digits always fit; the bytes may hold one more */
	else if (avro_decimal_max_precision(len) >= node->precision)
	{
		StringInfoData scratch;

		initStringInfo(&scratch);
		digits = avro_text_decimal(&scratch, data, len, node->scale);
		pfree(scratch.data);
	}
	if (digits > node->precision)
		return BAD(w, path, "decimal has more than %d digits",
				   node->precision);
	return true;
}

static bool
put_bytes(Walk *w, const AvroNode *node, const uint8 *data, int64 len,
		  const AvroPath *path)
{
	if (!has_room(w, len, path))
		return false;
	if (node->logical == AVRO_LOGICAL_DECIMAL && !w->avro_json)
		return put_decimal(w, node, data, len, path);
	if (w->out == NULL)
		return true;
	if (w->avro_json)
		avro_json_quote_latin1(w->out, data, len);
	else if (node->logical == AVRO_LOGICAL_DURATION)
		appendStringInfo(w->out,
						 "{\"months\":%u,\"days\":%u,\"milliseconds\":%u}",
						 (uint32) load_le(data, 4),
						 (uint32) load_le(data + 4, 4),
						 (uint32) load_le(data + 8, 4));
	else
	{
		appendStringInfoChar(w->out, '"');
		if (node->logical == AVRO_LOGICAL_UUID)
			avro_text_uuid(w->out, data);
		else
			avro_text_base64(w->out, data, len);
		appendStringInfoChar(w->out, '"');
	}
	return true;
}

static bool
walk_bytes(Walk *w, const AvroNode *node, const AvroPath *path)
{
	const uint8 *data;
	int64		len = (int64) node->size;

	if (node->type == AVRO_TYPE_FIXED ? !get_raw(w, len, path, &data) :
		!get_sized(w, path, &data, &len))
		return false;
	return put_bytes(w, node, data, len, path);
}

static bool
walk_string(Walk *w, const AvroPath *path)
{
	const uint8 *data;
	int64		len;
	size_t		checked = 0;

	if (!get_sized(w, path, &data, &len))
		return false;

	/* NUL is a character to Avro, but not to the verifier. */
	while (checked < (size_t) len)
	{
		int			piece = (int) Min((size_t) len - checked, MAX_TEXT);
		int			good = pg_encoding_verifymbstr(PG_UTF8, (const char *)
												   data + checked, piece);

		checked += good;
		if (checked == (size_t) len)
			break;
		if (data[checked] != 0)
			return BAD(w, path, "string is not valid UTF-8");
		checked++;
	}
	if (!has_room(w, len, path))
		return false;
	if (w->out != NULL)
		avro_json_quote(w->out, (const char *) data, len);
	return true;
}

static bool
walk_enum(Walk *w, const AvroNode *node, const AvroPath *path)
{
	int64		index;

	if (!get_int(w, path, &index))
		return false;
	if (index < 0 || index >= node->symbol_count)
		return BAD(w, path, "enum \"%s\" has no symbol number " INT64_FORMAT,
				   node->fullname, index);
	if (w->out != NULL)
		avro_json_quote(w->out, node->symbols[index],
						strlen(node->symbols[index]));
	return true;
}

/* ---- containers ---- */

static bool
walk_record(Walk *w, const AvroNode *node, const AvroPath *path)
{
	for (int i = 0; i < node->field_count; i++)
	{
		const AvroField *field = &node->fields[i];
		AvroPath	here = {path, field->name, field->name_len, 0};

		if (w->out != NULL)
		{
			if (!has_room(w, here.name_len, path))
				return false;
			appendStringInfoString(w->out, i == 0 ? "{\"" : ",\"");
			appendBinaryStringInfo(w->out, field->name, here.name_len);
			appendStringInfoString(w->out, "\":");
		}
		if (!walk_node(w, field->type, &here))
			return false;
	}
	if (w->out != NULL)
		appendStringInfoString(w->out, node->field_count == 0 ? "{}" : "}");
	return true;
}

/* The next block's item count; 0 ends.  Checked against what is left. */
static bool
get_block(Walk *w, const AvroNode *node, const AvroPath *path, int64 *count)
{
	bool		map = node->type == AVRO_TYPE_MAP;
	int64		size;

	if (!get_long(w, path, count))
		return false;
	if (*count < 0)
	{
		if (*count == PG_INT64_MIN)
			return BAD(w, path, "negative item count");
		*count = -*count;
		if (!get_long(w, path, &size))
			return false;
		if (size < 0 || (uint64) size > left(w))
			return BAD(w, path, "block size " INT64_FORMAT
					   " is beyond the end", size);
	}
	if (!map && node->items->zero_size)
	{
		w->empty_items += Min(*count, MAX_EMPTY_ITEMS + 1);
		if (w->empty_items > MAX_EMPTY_ITEMS)
			return BAD(w, path, "more than %d items without bytes",
					   MAX_EMPTY_ITEMS);
	}
	else if ((uint64) *count > left(w))
		return BAD(w, path, INT64_FORMAT " items cannot be in %zu bytes",
				   *count, left(w));
	return true;
}

static bool
walk_items(Walk *w, const AvroNode *node, const AvroPath *path)
{
	bool		map = node->type == AVRO_TYPE_MAP;
	AvroPath	here = {path, NULL, 0, 0};
	int64		count;
	int64		index = 0;

	if (w->out != NULL)
		appendStringInfoChar(w->out, map ? '{' : '[');
	for (;;)
	{
		if (!get_block(w, node, path, &count))
			return false;
		if (count == 0)
			break;
		while (count-- > 0)
		{
			if (w->out != NULL && index > 0)
				appendStringInfoChar(w->out, ',');
			here.index = index++;
			if (map)
			{
				const uint8 *key = w->p;
				int64		len;
				Walk		peek = *w;

				here.name = NULL;
				if (!walk_string(w, &here) ||
					!get_sized(&peek, path, &key, &len))
					return false;
				here.name = (const char *) key;
				if (len > MAX_KEY_SHOWN)
				{
					len = MAX_KEY_SHOWN;
					while (len > 0 && (key[len] & 0xC0) == 0x80)
						len--;
				}
				here.name_len = (int) len;
				if (w->out != NULL)
					appendStringInfoChar(w->out, ':');
			}
			if (!has_room(w, 1, path) || !walk_node(w, node->items, &here))
				return false;
		}
	}
	if (w->out != NULL)
		appendStringInfoChar(w->out, map ? '}' : ']');
	return true;
}

static bool
walk_union(Walk *w, const AvroNode *node, const AvroPath *path)
{
	int64		index;
	const AvroNode *branch;
	bool		tag;

	if (!get_long(w, path, &index))
		return false;
	if (index < 0 || index >= node->branch_count)
		return BAD(w, path, "union has no branch number " INT64_FORMAT, index);
	branch = node->branches[index];
	tag = w->out != NULL && w->avro_json && branch->type != AVRO_TYPE_NULL;
	if (tag)
	{
		const char *name = avro_branch_name(branch);

		if (!has_room(w, strlen(name), path))
			return false;
		appendStringInfo(w->out, "{\"%s\":", name);
	}
	if (!walk_node(w, branch, path))
		return false;
	if (tag)
		appendStringInfoChar(w->out, '}');
	return true;
}

static bool
walk_node(Walk *w, const AvroNode *node, const AvroPath *path)
{
	int64		value;
	const uint8 *data;
	bool		ok;

	switch (node->type)
	{
		case AVRO_TYPE_NULL:
			if (w->out != NULL)
				appendStringInfoString(w->out, "null");
			return true;
		case AVRO_TYPE_BOOLEAN:
			if (!get_raw(w, 1, path, &data))
				return false;
			if (*data > 1)
				return BAD(w, path, "boolean is neither 0 nor 1");
			if (w->out != NULL)
				appendStringInfoString(w->out, *data ? "true" : "false");
			return true;
		case AVRO_TYPE_INT:
		case AVRO_TYPE_LONG:
			if (node->type == AVRO_TYPE_INT ? !get_int(w, path, &value) :
				!get_long(w, path, &value))
				return false;
			if (w->out != NULL)
				put_integer(w, node, value);
			return true;
		case AVRO_TYPE_FLOAT:
		case AVRO_TYPE_DOUBLE:
			return walk_floating(w, node, path);
		case AVRO_TYPE_BYTES:
		case AVRO_TYPE_FIXED:
			return walk_bytes(w, node, path);
		case AVRO_TYPE_STRING:
			return walk_string(w, path);
		case AVRO_TYPE_ENUM:
			return walk_enum(w, node, path);
		default:
			break;
	}

	/* A union cannot hold a union, so it is no level of its own. */
	if (node->type == AVRO_TYPE_UNION)
		return walk_union(w, node, path);
	if (++w->depth > OUTBOX_AVRO_MAX_DEPTH)
		return avro_fail(w->error, OUTBOX_AVRO_TOO_DEEP, path, NULL,
						 "nested more than %d levels deep",
						 OUTBOX_AVRO_MAX_DEPTH);
	if (node->type == AVRO_TYPE_RECORD)
		ok = walk_record(w, node, path);
	else
		ok = walk_items(w, node, path);
	w->depth--;
	return ok;
}

static bool
walk_all(const OutboxAvroSchema *schema, const void *data, size_t len,
		 bool avro_json, StringInfo out, OutboxAvroError *error)
{
	static const AvroPath root = {0};
	Walk		w = {0};

	w.p = data;
	w.end = w.p + len;
	w.out = out;
	w.avro_json = avro_json;
	w.error = error;
	if (!walk_node(&w, schema->root, &root))
		return false;
	if (w.p != w.end)
		return BAD(&w, &root, "%zu bytes are left over after the value",
				   left(&w));
	return true;
}

bool
outbox_avro_decode(const OutboxAvroSchema *schema, const void *data,
				   size_t len, bool avro_json, StringInfo out,
				   OutboxAvroError *error)
{
	return walk_all(schema, data, len, avro_json, out, error);
}

bool
outbox_avro_validate(const OutboxAvroSchema *schema, const void *data,
					 size_t len, OutboxAvroError *error)
{
	return walk_all(schema, data, len, false, NULL, error);
}
