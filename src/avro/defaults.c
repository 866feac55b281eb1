/*-------------------------------------------------------------------------
 *
 * defaults.c
 *		Default values of record fields: checked against their types by
 *		encoding them, once, when the schema is parsed.
 *
 * The encoding is kept in the field, so that a writer that misses the field
 * copies bytes.  Defaults are written in Avro's JSON encoding, except that a
 * union's default is a bare value of its first branch (spec, "record"):
 * numbers are in the logical type's unit, bytes are code points 0 to 255.
 * A record's default may leave out fields that have defaults themselves; a
 * cycle through such defaults is an error, as is one over AVRO_MAX_DEFAULT.
 *
 *-------------------------------------------------------------------------
 */
#include "base/base.h"

#include <errno.h>
#include <math.h>

#include "avro/model.h"

typedef struct Walk
{
	OutboxAvroError *error;
	StringInfo	out;
	int			depth;
} Walk;

static bool encode_default(Walk *w, AvroNode *node, const AvroJson *json,
						   const AvroPath *path);
static bool resolve_field(AvroField *field, const AvroPath *path,
						  OutboxAvroError *error, int depth);

static bool
misfit(Walk *w, const AvroNode *node, const AvroJson *json,
	   const AvroPath *path)
{
	return avro_fail(w->error, OUTBOX_AVRO_BAD_SCHEMA, path, NULL,
					 "default does not fit type \"%s\": got %s",
					 avro_branch_name(node), avro_json_kind_name(json->kind));
}

static bool
encode_integer(Walk *w, const AvroNode *node, const AvroJson *json,
			   const AvroPath *path)
{
	char	   *end;
	int64		value;

	if (json->kind != JSON_KIND_NUMBER)
		return misfit(w, node, json, path);
	errno = 0;
	value = strtoll(json->text, &end, 10);
	if (*end != '\0' || errno != 0 ||
		(node->type == AVRO_TYPE_INT &&
		 (value < PG_INT32_MIN || value > PG_INT32_MAX)))
		return avro_fail(w->error, OUTBOX_AVRO_BAD_SCHEMA, path, NULL,
						 "default %s does not fit type \"%s\"", json->text,
						 avro_type_name(node->type));
	avro_put_long(w->out, value);
	return true;
}

static bool
encode_floating(Walk *w, const AvroNode *node, const AvroJson *json,
				const AvroPath *path)
{
	double		value;
	bool		single = node->type == AVRO_TYPE_FLOAT;

	if (json->kind != JSON_KIND_NUMBER)
		return misfit(w, node, json, path);
	value = single ? strtof(json->text, NULL) : strtod(json->text, NULL);
	if (isinf(value))
		return avro_fail(w->error, OUTBOX_AVRO_BAD_SCHEMA, path, NULL,
						 "default %s does not fit type \"%s\"", json->text,
						 avro_type_name(node->type));
	if (single)
		avro_put_float(w->out, (float) value);
	else
		avro_put_double(w->out, value);
	return true;
}

/* Code points 0 to 255 to bytes. */
static bool
encode_bytes(Walk *w, const AvroNode *node, const AvroJson *json,
			 const AvroPath *path)
{
	StringInfoData bytes;
	const uint8 *s = (const uint8 *) json->text;

	if (json->kind != JSON_KIND_STRING)
		return misfit(w, node, json, path);
	initStringInfo(&bytes);
	for (size_t i = 0; i < json->len; i++)
	{
		uint8		c = s[i];

		if (c >= 0x80)
		{
			if (c > 0xC3 || i + 1 >= json->len)
				return avro_fail(w->error, OUTBOX_AVRO_BAD_SCHEMA, path,
								 "Bytes are written as characters \\u0000 to \\u00FF.",
								 "default of bytes holds a character above \\u00FF");
			c = (uint8) ((c << 6) | (s[++i] & 0x3F));
		}
		appendStringInfoChar(&bytes, (char) c);
	}
	if (node->type == AVRO_TYPE_FIXED)
	{
		if ((size_t) bytes.len != node->size)
			return avro_fail(w->error, OUTBOX_AVRO_BAD_SCHEMA, path, NULL,
							 "default of fixed \"%s\" has %d bytes instead of %zu",
							 node->fullname, bytes.len, node->size);
		avro_put_raw(w->out, bytes.data, bytes.len);
	}
	else
		avro_put_sized(w->out, bytes.data, bytes.len);
	pfree(bytes.data);
	return true;
}

static bool
encode_symbol(Walk *w, const AvroNode *node, const AvroJson *json,
			  const AvroPath *path)
{
	if (json->kind != JSON_KIND_STRING)
		return misfit(w, node, json, path);
	for (int i = 0; i < node->symbol_count; i++)
		if (strlen(node->symbols[i]) == json->len &&
			memcmp(node->symbols[i], json->text, json->len) == 0)
		{
			avro_put_long(w->out, i);
			return true;
		}
	return avro_fail(w->error, OUTBOX_AVRO_BAD_SCHEMA, path, NULL,
					 "default \"%s\" is no symbol of enum \"%s\"",
					 json->text, node->fullname);
}

/* Array (object false) or map. */
static bool
encode_items(Walk *w, AvroNode *node, const AvroJson *json,
			 const AvroPath *path)
{
	bool		map = node->type == AVRO_TYPE_MAP;

	if (json->kind != (map ? JSON_KIND_OBJECT : JSON_KIND_ARRAY))
		return misfit(w, node, json, path);
	if (json->count > 0)
		avro_put_long(w->out, json->count);
	for (int i = 0; i < json->count; i++)
	{
		AvroPath	here = {path, NULL, 0, i};

		if (map)
		{
			here.name = json->keys[i];
			here.name_len = (int) strlen(here.name);
			avro_put_sized(w->out, here.name, here.name_len);
		}
		if (!encode_default(w, node->items, json->items[i], &here))
			return false;
	}
	avro_put_long(w->out, 0);
	return true;
}

static bool
encode_record(Walk *w, AvroNode *node, const AvroJson *json,
			  const AvroPath *path)
{
	int			used = 0;

	if (json->kind != JSON_KIND_OBJECT)
		return misfit(w, node, json, path);
	for (int i = 0; i < node->field_count; i++)
	{
		AvroField  *field = &node->fields[i];
		AvroJson   *value = avro_json_member(json, field->name);
		AvroPath	here = {path, field->name, field->name_len, 0};

		if (value != NULL)
		{
			used++;
			if (!encode_default(w, field->type, value, &here))
				return false;
		}
		else if (field->default_json == NULL)
			return avro_fail(w->error, OUTBOX_AVRO_BAD_SCHEMA, &here, NULL,
							 "default lacks field \"%s\", which has no default",
							 field->name);
		else if (!resolve_field(field, &here, w->error, w->depth))
			return false;
		else
			avro_put_raw(w->out, field->default_data, field->default_len);
	}
	if (used != json->count)
		return avro_fail(w->error, OUTBOX_AVRO_BAD_SCHEMA, path, NULL,
						 "default has members that are no fields of record \"%s\"",
						 node->fullname);
	return true;
}

static bool
encode_default(Walk *w, AvroNode *node, const AvroJson *json,
			   const AvroPath *path)
{
	bool		ok = true;

	if (++w->depth > OUTBOX_AVRO_MAX_DEPTH)
		return avro_fail(w->error, OUTBOX_AVRO_TOO_DEEP, path, NULL,
						 "default nested more than %d levels deep",
						 OUTBOX_AVRO_MAX_DEPTH);
	switch (node->type)
	{
		case AVRO_TYPE_NULL:
			ok = json->kind == JSON_KIND_NULL || misfit(w, node, json, path);
			break;
		case AVRO_TYPE_BOOLEAN:
			if (json->kind != JSON_KIND_TRUE && json->kind != JSON_KIND_FALSE)
				ok = misfit(w, node, json, path);
			else
				avro_put_byte(w->out, json->kind == JSON_KIND_TRUE);
			break;
		case AVRO_TYPE_INT:
		case AVRO_TYPE_LONG:
			ok = encode_integer(w, node, json, path);
			break;
		case AVRO_TYPE_FLOAT:
		case AVRO_TYPE_DOUBLE:
			ok = encode_floating(w, node, json, path);
			break;
		case AVRO_TYPE_BYTES:
		case AVRO_TYPE_FIXED:
			ok = encode_bytes(w, node, json, path);
			break;
		case AVRO_TYPE_STRING:
			if (json->kind != JSON_KIND_STRING)
				ok = misfit(w, node, json, path);
			else
				avro_put_sized(w->out, json->text, (int) json->len);
			break;
		case AVRO_TYPE_ENUM:
			ok = encode_symbol(w, node, json, path);
			break;
		case AVRO_TYPE_ARRAY:
		case AVRO_TYPE_MAP:
			ok = encode_items(w, node, json, path);
			break;
		case AVRO_TYPE_RECORD:
			ok = encode_record(w, node, json, path);
			break;
		case AVRO_TYPE_UNION:
			avro_put_long(w->out, 0);
			ok = encode_default(w, node->branches[0], json, path);
			if (!ok && w->error->kind == OUTBOX_AVRO_BAD_SCHEMA &&
				w->error->hint[0] == '\0')
				strcpy(w->error->hint,
					   "The default of a union fits its first branch; put "
					   "that branch first.");
			break;
	}
	w->depth--;
	if (ok && w->out->len > AVRO_MAX_DEFAULT)
		return avro_fail(w->error, OUTBOX_AVRO_BAD_SCHEMA, path, NULL,
						 "default is longer than %d bytes", AVRO_MAX_DEFAULT);
	return ok;
}

static bool
resolve_field(AvroField *field, const AvroPath *path,
			  OutboxAvroError *error, int depth)
{
	StringInfoData out;
	Walk		w = {error, &out, depth};

	if (field->has_default)
		return true;
	if (field->in_default)
		return avro_fail(error, OUTBOX_AVRO_BAD_SCHEMA, path, NULL,
						 "default contains itself without end");
	field->in_default = true;
	initStringInfo(&out);
	if (!encode_default(&w, field->type, field->default_json, path))
		return false;
	field->in_default = false;
	field->has_default = true;
	field->default_data = out.data;
	field->default_len = out.len;
	return true;
}

/* Work out the defaults of one record's fields; path leads to "fields". */
bool
avro_defaults_resolve(AvroNode *record, const AvroPath *path,
					  OutboxAvroError *error)
{
	for (int i = 0; i < record->field_count; i++)
	{
		AvroField  *field = &record->fields[i];
		AvroPath	element = {path, NULL, 0, i};
		AvroPath	here = {&element, "default", 7, 0};

		if (field->default_json != NULL &&
			!resolve_field(field, &here, error, 0))
			return false;
	}
	return true;
}
