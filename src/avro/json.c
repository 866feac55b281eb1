/*-------------------------------------------------------------------------
 *
 * json.c
 *		JSON text to a tree of values, with PostgreSQL's own parser, and the
 *		normalised rendering of such a tree.
 *
 * Input and output are UTF-8 in both worlds, whatever the database's encoding.
 * Objects come out sorted by key; a repeated key is an error.
 *
 * Two things stand between the text and pg_parse_json():
 *
 * - Depth is bounded before it runs, since it recurses and has no stack check
 *   in programs.
 * - It would convert \uXXXX into the database's encoding and refuses \u0000,
 *   which is a legal and common character in defaults of Avro bytes.  So the
 *   copy it reads has "\u" and "\\" doubled ("\\u", "\\\\"); what it hands
 *   over still holds these two escapes, which are resolved here.
 *
 *-------------------------------------------------------------------------
 */
#include "base/base.h"

#define OUTBOX_COMPAT_JSON
#include "avro/model.h"
#include "../compat.h"
#include "mb/pg_wchar.h"

#define MAX_JSON_DEPTH (OUTBOX_AVRO_MAX_DEPTH * 4)

/* One open array or object while the parser runs. */
typedef struct Builder
{
	struct Builder *outer;
	bool		is_object;
	const char *key;			/* of the member being read */
	int			count;
	int			space;
	AvroJson  **items;
	const char **keys;
} Builder;

typedef struct BuildState
{
	Builder    *open;
	AvroJson   *root;
	bool		bad_escape;		/* a \u that is none, or a lone surrogate */
	bool		nul_key;
	const char *repeated;		/* a key that occurs twice */
} BuildState;

static int
hex4(const char *s, const char *end)
{
	int			v = 0;

	if (end - s < 4)
		return -1;
	for (int i = 0; i < 4; i++)
	{
		char		c = s[i];

		v <<= 4;
		if (c >= '0' && c <= '9')
			v |= c - '0';
		else if (c >= 'a' && c <= 'f')
			v |= c - 'a' + 10;
		else if (c >= 'A' && c <= 'F')
			v |= c - 'A' + 10;
		else
			return -1;
	}
	return v;
}

/* Resolve the escapes protect_escapes() kept from the parser, in place. */
static size_t
resolve_escapes(BuildState *state, char *s)
{
	char	   *from = s;
	char	   *to = s;
	char	   *end = s + strlen(s);

	while (from < end)
	{
		int			c;

		if (*from != '\\')
		{
			*to++ = *from++;
			continue;
		}
		if (from[1] == '\\')
		{
			*to++ = '\\';
			from += 2;
			continue;
		}
		c = hex4(from + 2, end);
		from += 6;
		if (c >= 0xD800 && c <= 0xDBFF && end - from >= 6 &&
			from[0] == '\\' && from[1] == 'u')
		{
			int			low = hex4(from + 2, end);

			if (low >= 0xDC00 && low <= 0xDFFF)
			{
				c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
				from += 6;
			}
		}
		if (c < 0 || (c >= 0xD800 && c <= 0xDFFF))
		{
			state->bad_escape = true;
			break;
		}
		unicode_to_utf8(c, (unsigned char *) to);
		to += pg_utf_mblen((unsigned char *) to);
	}
	*to = '\0';
	return to - s;
}

static void
add_value(BuildState *state, AvroJson *value)
{
	Builder    *b = state->open;

	if (b == NULL)
	{
		state->root = value;
		return;
	}
	if (b->count == b->space)
	{
		b->space = b->space == 0 ? 8 : b->space * 2;
		b->items = b->items == NULL ? palloc(b->space * sizeof(void *)) :
			repalloc(b->items, b->space * sizeof(void *));
		b->keys = b->keys == NULL ? palloc(b->space * sizeof(void *)) :
			repalloc(b->keys, b->space * sizeof(void *));
	}
	b->keys[b->count] = b->key;
	b->items[b->count++] = value;
}

static void
open_container(BuildState *state, bool is_object)
{
	Builder    *b = palloc0(sizeof(Builder));

	b->is_object = is_object;
	b->outer = state->open;
	state->open = b;
}

typedef struct Member
{
	const char *key;
	AvroJson   *value;
} Member;

static int
compare_members(const void *a, const void *b)
{
	return strcmp(((const Member *) a)->key, ((const Member *) b)->key);
}

static void
sort_members(BuildState *state, Builder *b)
{
	Member	   *m = palloc(b->count * sizeof(Member));

	for (int i = 0; i < b->count; i++)
	{
		m[i].key = b->keys[i];
		m[i].value = b->items[i];
	}
	qsort(m, b->count, sizeof(Member), compare_members);
	for (int i = 0; i < b->count; i++)
	{
		b->keys[i] = m[i].key;
		b->items[i] = m[i].value;
		if (i > 0 && strcmp(b->keys[i - 1], b->keys[i]) == 0)
			state->repeated = b->keys[i];
	}
	pfree(m);
}

static void
close_container(BuildState *state)
{
	Builder    *b = state->open;
	AvroJson   *value = palloc0(sizeof(AvroJson));

	value->kind = b->is_object ? JSON_KIND_OBJECT : JSON_KIND_ARRAY;
	if (b->is_object && b->count > 1)
		sort_members(state, b);
	value->count = b->count;
	value->items = b->items;
	value->keys = b->keys;
	state->open = b->outer;
	pfree(b);
	add_value(state, value);
}

static OutboxJsonActionResult
object_start(void *state)
{
	open_container(state, true);
	OUTBOX_JSON_ACTION_DONE;
}

static OutboxJsonActionResult
array_start(void *state)
{
	open_container(state, false);
	OUTBOX_JSON_ACTION_DONE;
}

static OutboxJsonActionResult
container_end(void *state)
{
	close_container(state);
	OUTBOX_JSON_ACTION_DONE;
}

static OutboxJsonActionResult
field_start(void *arg, char *name, bool isnull)
{
	BuildState *state = arg;
	size_t		len = resolve_escapes(state, name);

	if (strlen(name) != len)
		state->nul_key = true;
	state->open->key = name;
	OUTBOX_JSON_ACTION_DONE;
}

static OutboxJsonActionResult
scalar(void *arg, char *token, JsonTokenType type)
{
	BuildState *state = arg;
	AvroJson   *value = palloc0(sizeof(AvroJson));

	switch (type)
	{
		case JSON_TOKEN_STRING:
			value->kind = JSON_KIND_STRING;
			value->text = token;
			value->len = resolve_escapes(state, token);
			break;
		case JSON_TOKEN_NUMBER:
			value->kind = JSON_KIND_NUMBER;
			value->text = token;
			value->len = strlen(token);
			break;
		case JSON_TOKEN_TRUE:
			value->kind = JSON_KIND_TRUE;
			break;
		case JSON_TOKEN_FALSE:
			value->kind = JSON_KIND_FALSE;
			break;
		default:
			value->kind = JSON_KIND_NULL;
			break;
	}
	add_value(state, value);
	OUTBOX_JSON_ACTION_DONE;
}

/* See the banner.  False when nesting is too deep. */
static bool
protect_escapes(const char *text, size_t len, StringInfo out)
{
	bool		in_string = false;
	int			depth = 0;

	for (size_t i = 0; i < len; i++)
	{
		char		c = text[i];

		if (c == '"')
			in_string = !in_string;
		else if (in_string && c == '\\' && i + 1 < len)
		{
			char		next = text[++i];

			if (next == 'u')
				appendStringInfoString(out, "\\\\u");
			else if (next == '\\')
				appendStringInfoString(out, "\\\\\\\\");
			else
			{
				appendStringInfoCharMacro(out, c);
				appendStringInfoCharMacro(out, next);
			}
			continue;
		}
		else if (!in_string && (c == '[' || c == '{') &&
				 ++depth > MAX_JSON_DEPTH)
			return false;
		else if (!in_string && (c == ']' || c == '}'))
			depth--;
		appendStringInfoCharMacro(out, c);
	}
	return true;
}

AvroJson *
avro_json_parse(const char *text, size_t len, OutboxAvroError *error)
{
	static const AvroPath root = {0};
	StringInfoData safe;
	BuildState	state = {0};
	JsonSemAction actions = {0};
	JsonLexContext *lex;
	JsonParseErrorType result;

	if (len > AVRO_MAX_SCHEMA)
	{
		avro_fail(error, OUTBOX_AVRO_BAD_JSON, &root, NULL, "too long");
		return NULL;
	}
	if (pg_encoding_verifymbstr(PG_UTF8, text, (int) len) != (int) len)
	{
		avro_fail(error, OUTBOX_AVRO_BAD_JSON, &root, NULL,
				  "not valid UTF-8");
		return NULL;
	}
	initStringInfo(&safe);
	if (!protect_escapes(text, len, &safe))
	{
		avro_fail(error, OUTBOX_AVRO_TOO_DEEP, &root, NULL,
				  "nested more than %d levels deep", MAX_JSON_DEPTH);
		return NULL;
	}

	actions.semstate = &state;
	actions.object_start = object_start;
	actions.object_end = container_end;
	actions.array_start = array_start;
	actions.array_end = container_end;
	actions.object_field_start = field_start;
	actions.scalar = scalar;
	lex = outbox_compat_json_lex(safe.data, safe.len);
	result = pg_parse_json(lex, &actions);

	if (result != JSON_SUCCESS)
		avro_fail(error, OUTBOX_AVRO_BAD_JSON, &root,
				  outbox_compat_json_detail(result, lex), "not valid JSON");
	else if (state.bad_escape)
		avro_fail(error, OUTBOX_AVRO_BAD_JSON, &root,
				  "\"\\u\" must be followed by four hexadecimal digits, and "
				  "surrogates come in pairs.",
				  "not valid JSON");
	else if (state.nul_key)
		avro_fail(error, OUTBOX_AVRO_BAD_JSON, &root, NULL,
				  "a key holds \\u0000");
	else if (state.repeated != NULL)
		avro_fail(error, OUTBOX_AVRO_BAD_JSON, &root, NULL,
				  "key \"%s\" occurs twice in one object", state.repeated);
	else
		return state.root;
	return NULL;
}

AvroJson *
avro_json_member(const AvroJson *object, const char *key)
{
	int			low = 0;
	int			high = object->count - 1;

	while (low <= high)
	{
		int			mid = (low + high) / 2;
		int			order = strcmp(object->keys[mid], key);

		if (order == 0)
			return object->items[mid];
		if (order < 0)
			low = mid + 1;
		else
			high = mid - 1;
	}
	return NULL;
}

static inline void
quote_char(StringInfo out, unsigned char c)
{
	switch (c)
	{
		case '"':
			appendStringInfoString(out, "\\\"");
			break;
		case '\\':
			appendStringInfoString(out, "\\\\");
			break;
		case '\b':
			appendStringInfoString(out, "\\b");
			break;
		case '\f':
			appendStringInfoString(out, "\\f");
			break;
		case '\n':
			appendStringInfoString(out, "\\n");
			break;
		case '\r':
			appendStringInfoString(out, "\\r");
			break;
		case '\t':
			appendStringInfoString(out, "\\t");
			break;
		default:
			if (c < ' ')
				appendStringInfo(out, "\\u%04x", c);
			else
				appendStringInfoCharMacro(out, (char) c);
	}
}

void
avro_json_quote(StringInfo out, const char *s, size_t len)
{
	appendStringInfoCharMacro(out, '"');
	for (size_t i = 0; i < len; i++)
	{
		size_t		run = i;

		/* Copy what needs no escape in one piece. */
		while (run < len && (unsigned char) s[run] >= ' ' &&
			   s[run] != '"' && s[run] != '\\')
			run++;
		appendBinaryStringInfo(out, s + i, run - i);
		i = run;
		if (i < len)
			quote_char(out, (unsigned char) s[i]);
	}
	appendStringInfoCharMacro(out, '"');
}

void
outbox_avro_json_quote(StringInfo out, const char *text, size_t len)
{
	avro_json_quote(out, text, len);
}

/* Bytes as a string of code points 0 to 255: Avro's JSON form of bytes. */
void
avro_json_quote_latin1(StringInfo out, const uint8 *s, size_t len)
{
	appendStringInfoCharMacro(out, '"');
	for (size_t i = 0; i < len; i++)
	{
		if (s[i] < 0x80)
			quote_char(out, s[i]);
		else
		{
			appendStringInfoCharMacro(out, (char) (0xC0 | (s[i] >> 6)));
			appendStringInfoCharMacro(out, (char) (0x80 | (s[i] & 0x3F)));
		}
	}
	appendStringInfoCharMacro(out, '"');
}

void
avro_json_render(const AvroJson *value, StringInfo out)
{
	switch (value->kind)
	{
		case JSON_KIND_NULL:
			appendStringInfoString(out, "null");
			break;
		case JSON_KIND_FALSE:
			appendStringInfoString(out, "false");
			break;
		case JSON_KIND_TRUE:
			appendStringInfoString(out, "true");
			break;
		case JSON_KIND_NUMBER:
			appendBinaryStringInfo(out, value->text, (int) value->len);
			break;
		case JSON_KIND_STRING:
			avro_json_quote(out, value->text, value->len);
			break;
		case JSON_KIND_ARRAY:
		case JSON_KIND_OBJECT:
			{
				bool		object = value->kind == JSON_KIND_OBJECT;

				appendStringInfoChar(out, object ? '{' : '[');
				for (int i = 0; i < value->count; i++)
				{
					if (i > 0)
						appendStringInfoChar(out, ',');
					if (object)
					{
						avro_json_quote(out, value->keys[i],
										strlen(value->keys[i]));
						appendStringInfoChar(out, ':');
					}
					avro_json_render(value->items[i], out);
				}
				appendStringInfoChar(out, object ? '}' : ']');
			}
			break;
	}
}

const char *
avro_json_kind_name(AvroJsonKind kind)
{
	switch (kind)
	{
		case JSON_KIND_NULL:
			return "null";
		case JSON_KIND_FALSE:
		case JSON_KIND_TRUE:
			return "a boolean";
		case JSON_KIND_NUMBER:
			return "a number";
		case JSON_KIND_STRING:
			return "a string";
		case JSON_KIND_ARRAY:
			return "an array";
		case JSON_KIND_OBJECT:
			return "an object";
	}
	return "a value";
}
