/*-------------------------------------------------------------------------
 *
 * compare.c
 *		Our decoder and defaults against avro-c, on random schemas and values.
 *
 * Schemas and values are made from a seed.  avro-c writes each value; we must
 * accept exactly these bytes, decode them to the JSON that avro-c gives
 * (compared as parsed JSON), reject every proper prefix, and parse our own
 * rendering of the schema to the same rendering.  That the server's encoder
 * writes the same bytes is test_encode.py's part: with arguments "emit SEED
 * COUNT" this program prints lines "schema TAB avro-json TAB hex" of its cases.
 * No namespaces: avro-c tags a union's branch by its short name.
 *
 *-------------------------------------------------------------------------
 */
#include "base/base.h"

#include <avro.h>
#include <jansson.h>
#include <math.h>

#include "avro/avro.h"

/* Schemas live until exit: there is nothing to free them with here. */
const char *
__asan_default_options(void)
{
	return "detect_leaks=0";
}

static uint64 rng;

static uint64
next_random(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

static int
below(int n)
{
	return (int) ((next_random() >> 11) % n);
}

/* ---- schemas ---- */

static int	names;

static void
make_type(StringInfo out, int depth, bool in_union)
{
	static const char *const scalars[] = {"null", "boolean", "int", "long",
	"float", "double", "bytes", "string"};
	int			kind = below(depth <= 0 ? 10 : 15);
	int			n;

	if (in_union && kind == 14)
		kind = 10;
	switch (kind)
	{
		case 8:
			appendStringInfo(out, "{\"type\":\"fixed\",\"name\":\"F%d\",\"size\":%d}",
							 names++, 1 + below(9));
			break;
		case 9:
			n = 1 + below(5);
			appendStringInfo(out, "{\"type\":\"enum\",\"name\":\"E%d\",\"symbols\":[",
							 names++);
			for (int i = 0; i < n; i++)
				appendStringInfo(out, "%s\"S%d\"", i ? "," : "", i);
			appendStringInfoString(out, "]}");
			break;
		case 10:
		case 11:
			n = 1 + below(5);
			appendStringInfo(out, "{\"type\":\"record\",\"name\":\"R%d\",\"fields\":[",
							 names++);
			for (int i = 0; i < n; i++)
			{
				appendStringInfo(out, "%s{\"name\":\"f%d\",\"type\":",
								 i ? "," : "", i);
				make_type(out, depth - 1, false);
				appendStringInfoChar(out, '}');
			}
			appendStringInfoString(out, "]}");
			break;
		case 12:
			appendStringInfoString(out, "{\"type\":\"array\",\"items\":");
			make_type(out, depth - 1, false);
			appendStringInfoChar(out, '}');
			break;
		case 13:
			appendStringInfoString(out, "{\"type\":\"map\",\"values\":");
			make_type(out, depth - 1, false);
			appendStringInfoChar(out, '}');
			break;
		case 14:
			/* distinct scalars, then perhaps one named or container type */
			n = below(8);
			appendStringInfo(out, "[\"%s\"", scalars[n]);
			if (below(2))
				appendStringInfo(out, ",\"%s\"",
								 scalars[(n + 1 + below(7)) % 8]);
			appendStringInfoChar(out, ',');
			if (below(2))
				appendStringInfo(out, "{\"type\":\"record\",\"name\":\"R%d\",\"fields\":[{\"name\":\"a\",\"type\":\"int\"},{\"name\":\"next\",\"type\":[\"null\",\"R%d\"]}]}",
								 names, names);
			else
				appendStringInfo(out, "{\"type\":\"enum\",\"name\":\"E%d\",\"symbols\":[\"A\",\"B\"]}",
								 names);
			names++;
			appendStringInfoChar(out, ']');
			break;
		default:
			appendStringInfo(out, "\"%s\"", scalars[kind]);
	}
}

static char *
make_schema(void)
{
	StringInfoData out;

	names = 0;
	initStringInfo(&out);
	appendStringInfoString(&out, "{\"type\":\"record\",\"name\":\"Top\",\"fields\":[");
	for (int i = 0, n = 1 + below(6); i < n; i++)
	{
		appendStringInfo(&out, "%s{\"name\":\"t%d\",\"type\":", i ? "," : "", i);
		make_type(&out, 3, false);
		appendStringInfoChar(&out, '}');
	}
	appendStringInfoString(&out, "]}");
	return out.data;
}

/* ---- values ---- */

static int64
make_long(void)
{
	uint64		v = next_random();

	switch (below(6))
	{
		case 0:
			return 0;
		case 1:
			return PG_INT64_MIN;
		case 2:
			return PG_INT64_MAX;
		default:
			return (int64) (v >> below(64)) * (below(2) ? -1 : 1);
	}
}

/* ASCII, quotes, control characters and longer sequences; never NUL. */
static int
make_text(char *to)
{
	static const char *const pieces[] = {"a", "Z", "\"", "\\", "\n", "\x01",
	"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", " ", "/"};
	int			n = below(9);

	*to = '\0';
	for (int i = 0; i < n; i++)
		strcat(to, pieces[below(lengthof(pieces))]);
	return (int) strlen(to);
}

static void
fill(avro_value_t *value, int depth)
{
	char		text[64];
	avro_value_t child;
	size_t		n;

	switch (avro_value_get_type(value))
	{
		case AVRO_NULL:
			avro_value_set_null(value);
			break;
		case AVRO_BOOLEAN:
			avro_value_set_boolean(value, below(2));
			break;
		case AVRO_INT32:
			avro_value_set_int(value, (int32) make_long());
			break;
		case AVRO_INT64:
			avro_value_set_long(value, make_long());
			break;
		case AVRO_FLOAT:
			avro_value_set_float(value, (float) below(2000001) / 64 - 15000);
			break;
		case AVRO_DOUBLE:
			avro_value_set_double(value, (double) make_long() / (1 + below(1000)));
			break;
		case AVRO_BYTES:
			n = below(12);
			for (size_t i = 0; i < n; i++)
				text[i] = (char) (1 + below(255));
			avro_value_set_bytes(value, text, n);
			break;
		case AVRO_STRING:
			n = make_text(text);
			avro_value_set_string_len(value, text, n + 1);
			break;
		case AVRO_FIXED:
			n = avro_schema_fixed_size(avro_value_get_schema(value));
			for (size_t i = 0; i < n; i++)
				text[i] = (char) (1 + below(255));
			avro_value_set_fixed(value, text, n);
			break;
		case AVRO_ENUM:
			avro_value_set_enum(value,
								below(avro_schema_enum_number_of_symbols(avro_value_get_schema(value))));
			break;
		case AVRO_RECORD:
			avro_value_get_size(value, &n);
			for (size_t i = 0; i < n; i++)
			{
				avro_value_get_by_index(value, i, &child, NULL);
				fill(&child, depth + 1);
			}
			break;
		case AVRO_ARRAY:
			n = below(4);
			for (size_t i = 0; i < n; i++)
			{
				avro_value_append(value, &child, NULL);
				fill(&child, depth + 1);
			}
			break;
		case AVRO_MAP:
			n = below(4);
			for (size_t i = 0; i < n; i++)
			{
				snprintf(text, sizeof(text), "k%zu", i);
				avro_value_add(value, text, &child, NULL, NULL);
				fill(&child, depth + 1);
			}
			break;
		case AVRO_UNION:
			n = avro_schema_union_size(avro_value_get_schema(value));
			avro_value_set_branch(value, depth > 8 ? 0 : below((int) n), &child);
			fill(&child, depth + 1);
			break;
		default:
			break;
	}
}

/* ---- the comparison ---- */

static int	failures;

static void
complain(const char *what, const char *schema, const char *detail)
{
	if (failures++ < 10)
		printf("# %s\n#   schema %.2000s\n#   %.2000s\n", what, schema, detail);
}

/* Floats come out with different digits; compare them as numbers. */
static bool
same_json(const json_t *a, const json_t *b)
{
	const char *key;
	json_t	   *item;

	if (json_is_number(a) && json_is_number(b))
	{
		double		x = json_number_value(a);
		double		y = json_number_value(b);

		if (json_is_integer(a) && json_is_integer(b))
			return json_integer_value(a) == json_integer_value(b);
		return x == y || (float) x == (float) y ||
			fabs(x - y) <= 1e-9 * fabs(x);
	}
	if (json_typeof(a) != json_typeof(b))
		return false;
	if (json_is_object(a))
	{
		if (json_object_size(a) != json_object_size(b))
			return false;
		json_object_foreach((json_t *) a, key, item)
			if (json_object_get(b, key) == NULL ||
				!same_json(item, json_object_get(b, key)))
				return false;
		return true;
	}
	if (json_is_array(a))
	{
		if (json_array_size(a) != json_array_size(b))
			return false;
		for (size_t i = 0; i < json_array_size(a); i++)
			if (!same_json(json_array_get(a, i), json_array_get(b, i)))
				return false;
		return true;
	}
	return json_equal(a, b);
}

static void
check_value(const char *text, OutboxAvroSchema *ours, avro_value_t *value,
			bool emit)
{
	size_t		len;
	char	   *bytes;
	char	   *theirs;
	avro_writer_t writer;
	StringInfoData json;
	OutboxAvroError error;

	avro_value_sizeof(value, &len);
	bytes = palloc(len + 1);
	writer = avro_writer_memory(bytes, len);
	if (avro_value_write(writer, value) != 0 ||
		avro_value_to_json(value, 1, &theirs) != 0)
	{
		complain("avro-c failed", text, avro_strerror());
		return;
	}
	avro_writer_free(writer);
	initStringInfo(&json);
	if (emit)
	{
		printf("%s\t%s\t", text, theirs);
		for (size_t i = 0; i < len; i++)
			printf("%02x", (uint8) bytes[i]);
		printf("\n");
	}
	else if (!outbox_avro_decode(ours, bytes, len, true, &json, &error))
		complain("our decoder refuses avro-c's bytes", text, error.message);
	else
	{
		json_t	   *a = json_loadb(json.data, json.len, JSON_DECODE_ANY, NULL);
		json_t	   *b = json_loads(theirs, JSON_DECODE_ANY, NULL);

		if (a == NULL || b == NULL || !same_json(a, b))
		{
			complain("JSON differs, ours:", text, json.data);
			complain("JSON differs, avro-c's:", text, theirs);
		}
		json_decref(a);
		json_decref(b);
		for (size_t cut = 0; cut < len; cut++)
		{
			/* a copy of that size, so that the sanitizer sees overreads */
			char	   *part = malloc(cut + 1);

			memmove(part + 1, bytes, cut);
			if (outbox_avro_validate(ours, part + 1, cut, &error))
				complain("a prefix is accepted", text, json.data);
			free(part);
		}
	}
	pfree(json.data);
	pfree(bytes);
	free(theirs);
}

static void
check_schema(const char *text, int values, bool emit)
{
	avro_schema_t schema;
	avro_value_iface_t *class;
	avro_value_t value;
	OutboxAvroError error;
	OutboxAvroSchema *ours = outbox_avro_parse(text, strlen(text), &error);
	OutboxAvroSchema *again;
	StringInfoData one,
				two;

	if (ours == NULL)
	{
		complain("our parser refuses", text, error.message);
		return;
	}
	initStringInfo(&one);
	initStringInfo(&two);
	outbox_avro_render(ours, &one);
	again = outbox_avro_parse(one.data, one.len, &error);
	if (again != NULL)
		outbox_avro_render(again, &two);
	if (again == NULL || strcmp(one.data, two.data) != 0 ||
		outbox_avro_crc64(ours) != outbox_avro_crc64(again))
		complain("rendering is not stable", text, one.data);
	if (avro_schema_from_json_length(one.data, one.len, &schema) != 0)
	{
		complain("avro-c refuses our rendering", text, avro_strerror());
		return;
	}
	class = avro_generic_class_from_schema(schema);
	for (int i = 0; i < values; i++)
	{
		avro_generic_value_new(class, &value);
		fill(&value, 0);
		check_value(text, ours, &value, emit);
		avro_value_decref(&value);
	}
	avro_value_iface_decref(class);
	avro_schema_decref(schema);
	pfree(one.data);
	pfree(two.data);
}

int
main(int argc, char **argv)
{
	bool		emit = argc > 1 && strcmp(argv[1], "emit") == 0;
	int			seed = argc > 2 ? atoi(argv[2]) : 1;
	int			count = argc > 3 ? atoi(argv[3]) : 400;

	rng = UINT64CONST(0x9E3779B97F4A7C15) * (uint64) (seed + 1);
	for (int i = 0; i < count; i++)
		check_schema(make_schema(), 5, emit);
	if (emit)
		return failures != 0;
	printf("%s 1 - %d schemas, %d values: bytes and JSON as avro-c\n",
		   failures ? "not ok" : "ok", count, count * 5);
	printf("1..1\n");
	return failures != 0;
}
