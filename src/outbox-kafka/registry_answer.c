/*-------------------------------------------------------------------------
 *
 * registry_answer.c
 *		What a schema registry's answers say.
 *
 * The bytes come from outside, at most 1 MB (registry_http.c): everything is
 * checked, nothing is believed.  jansson bounds the nesting of JSON, our own
 * parser that of a schema.  Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-kafka/registry_answer.h"

#include "avro/avro.h"
#include "outbox-kafka/errors.h"

#include <jansson.h>

static json_t *
read_object(const char *body, size_t len)
{
	json_error_t ignored;
	json_t	   *json = json_loadb(body, len, JSON_REJECT_DUPLICATES, &ignored);

	if (json_is_object(json))
		return json;
	json_decref(json);
	return NULL;
}

/* An id of the wire format, 0 when it is none. */
static uint32
id_of(const json_t *object)
{
	const json_t *id = json_object_get(object, "id");

	return json_is_integer(id) && json_integer_value(id) > 0 &&
		json_integer_value(id) <= PG_INT32_MAX ?
		(uint32) json_integer_value(id) : 0;
}

bool
outbox_registry_read_id(const char *body, size_t len, uint32 *id)
{
	json_t	   *json = read_object(body, len);

	*id = json == NULL ? 0 : id_of(json);
	json_decref(json);
	return *id != 0;
}

bool
outbox_registry_read_schema(const char *body, size_t len,
							OutboxRegistrySchema *schema)
{
	json_t	   *json = read_object(body, len);
	const char *text = json_string_value(json_object_get(json, "schema"));
	const json_t *type = json_object_get(json, "schemaType");
	bool		good = text != NULL &&
		(type == NULL || json_is_null(type) ||
		 (json_is_string(type) && strcmp(json_string_value(type), "AVRO") == 0));

	memset(schema, 0, sizeof(*schema));
	if (good)
	{
		schema->id = id_of(json);
		schema->text = pstrdup(text);
		schema->references =
			json_array_size(json_object_get(json, "references")) > 0;
	}
	json_decref(json);
	return good;
}

int
outbox_registry_read_error(const char *body, size_t len,
						   char *message, size_t size)
{
	json_t	   *json = read_object(body, len);
	const char *text = json_string_value(json_object_get(json, "message"));
	const json_t *code = json_object_get(json, "error_code");
	int			value = 0;

	if (json_is_integer(code) && json_integer_value(code) > 0 &&
		json_integer_value(code) <= 99999)
		value = (int) json_integer_value(code);
	snprintf(message, size, "%s", text == NULL ? "" : text);
	outbox_clean_line(message);

	/* may be cut anywhere later, and is shown in any encoding */
	for (char *p = message; *p != '\0'; p++)
		if ((unsigned char) *p >= 0x80)
			*p = '?';
	json_decref(json);
	return value;
}

/* ---- the same values? ------------------------------------------------- */

/*
 * Logical types in the order in which they are met.  json is our own
 * rendering, so what it is has been checked.
 */
static void
put_logical(StringInfo out, const json_t *json)
{
	const json_t *member;
	size_t		i;

	if (json_is_array(json))
	{
		json_array_foreach((json_t *) json, i, member)
			put_logical(out, member);
		return;
	}
	if (!json_is_object(json))
	{
		appendStringInfoChar(out, '.');
		return;
	}
	member = json_object_get(json, "logicalType");
	if (json_is_string(member))
	{
		const json_t *precision = json_object_get(json, "precision");
		const json_t *scale = json_object_get(json, "scale");

		appendStringInfo(out, "%s(%lld,%lld)", json_string_value(member),
						 (long long) json_integer_value(precision),
						 (long long) json_integer_value(scale));
	}
	put_logical(out, json_object_get(json, "type"));
	put_logical(out, json_object_get(json, "items"));
	put_logical(out, json_object_get(json, "values"));
	json_array_foreach(json_object_get(json, "fields"), i, member)
		put_logical(out, json_object_get(member, "type"));
}

/* All that decides what bytes mean. */
static bool
put_values(StringInfo out, const char *text)
{
	OutboxAvroError error;
	OutboxAvroSchema *schema = outbox_avro_parse(text, strlen(text), &error);
	StringInfoData rendered;
	json_error_t ignored;
	json_t	   *json;

	if (schema == NULL)
		return false;
	outbox_avro_canonical(schema, out);
	initStringInfo(&rendered);
	outbox_avro_render(schema, &rendered);
	json = json_loadb(rendered.data, rendered.len, JSON_DECODE_ANY, &ignored);
	put_logical(out, json);
	json_decref(json);
	pfree(rendered.data);
	return true;
}

bool
outbox_registry_same_values(const char *one, const char *other)
{
	StringInfoData a,
				b;
	bool		same;

	if (strcmp(one, other) == 0)
		return true;
	initStringInfo(&a);
	initStringInfo(&b);
	same = put_values(&a, one) && put_values(&b, other) &&
		strcmp(a.data, b.data) == 0;
	pfree(a.data);
	pfree(b.data);
	return same;
}
