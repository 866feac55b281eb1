/*-------------------------------------------------------------------------
 *
 * pg_json_text.c
 *		Plain JSON text to jsonb, faster than jsonb_in().
 *
 * Parsing is most of what an event costs its writer when the payload comes as
 * text, so this does in two passes what jsonb_in() does by callbacks, copies and
 * sorting: the text becomes a flat list of values that point into it, and the
 * list is laid out as a jsonb.
 *
 * It knows plain texts only: an object at the top, of no great size or depth,
 * with no \u in its strings.  Whatever else comes, and each text that is no
 * JSON, is left to jsonb_in(), whose answers and errors are the truth; so no
 * rule of JSON need be stated here that is not followed by heart.  What is made
 * here is byte for byte what jsonb_in() makes (the fuzz target avro_encode
 * compares them), so nothing that reads it can tell.
 *
 * The text is in the server's encoding, which has no byte below 0x80 within a
 * character, and is valid, as every text value is.
 *
 * The list, copies of strings with escapes and numbers live in the caller's
 * memory context; the large ones are freed.  Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "avro/pg_avro.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#define MAX_TEXT	(1024 * 1024)	/* far below what a JEntry can hold */
#define MAX_DEPTH	32			/* of nested objects and arrays */
#define MAX_DIGITS	18			/* of an integer that fits 64 bits */
#define STACK_ITEMS 64
#define STACK_PAIRS 32

/* A value of the text, or the key before it. */
typedef struct Item
{
	uint32		type;			/* JENTRY_IS... */
	bool		is_object;		/* a container: object or array */
	int			len;			/* of p; container: elements, or pairs */
	int			next;			/* the item after this one with all in it */
	const char *p;				/* string, or Numeric */
} Item;

typedef struct Reader
{
	const char *p;
	const char *end;
	int			depth;
	Item	   *items;
	int			count;
	int			space;
	Item		stack_items[STACK_ITEMS];
} Reader;

static bool read_value(Reader *r);

static inline void
skip_space(Reader *r)
{
	while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' ||
							 *r->p == '\t' || *r->p == '\r'))
		r->p++;
}

/* The character that comes next, spaces aside; '\0' at the end. */
static inline char
peek(Reader *r)
{
	skip_space(r);
	return r->p < r->end ? *r->p : '\0';
}

static bool
accept(Reader *r, char c)
{
	if (peek(r) != c)
		return false;
	r->p++;
	return true;
}

/* Valid until the next one is added. */
static Item *
add_item(Reader *r, uint32 type)
{
	Item	   *item;

	if (r->count == r->space)
	{
		Item	   *more = palloc(2 * r->space * sizeof(Item));

		memcpy(more, r->items, r->count * sizeof(Item));
		if (r->items != r->stack_items)
			pfree(r->items);
		r->items = more;
		r->space *= 2;
	}
	item = &r->items[r->count];
	item->type = type;
	item->is_object = false;
	item->len = 0;
	item->p = NULL;
	item->next = ++r->count;
	return item;
}

/* A string from its first escape on: a copy, without escapes. */
static bool
read_escaped(Reader *r, Item *item)
{
	static const char codes[] = "\"\\/bfnrt";
	static const char meant[] = "\"\\/\b\f\n\r\t";
	const char *start = item->p;
	const char *p = r->p;
	char	   *copy;
	char	   *to;

	/* No more than what is left up to the closing quote, escapes and all. */
	while (p < r->end && *p != '"')
		p += *p == '\\' && p + 1 < r->end ? 2 : 1;
	if (p == r->end)
		return false;
	copy = to = palloc(p - start);
	memcpy(to, start, r->p - start);
	to += r->p - start;
	while (*r->p != '"')
	{
		if ((unsigned char) *r->p < 0x20)
			return false;
		if (*r->p == '\\')
		{
			const char *code = strchr(codes, *++r->p);

			if (code == NULL || *code == '\0')
				return false;
			*to++ = meant[code - codes];
			r->p++;
		}
		else
			*to++ = *r->p++;
	}
	item->p = copy;
	item->len = to - copy;
	r->p++;
	return true;
}

/* The opening quote is behind us. */
static bool
read_string(Reader *r)
{
	Item	   *item = add_item(r, JENTRY_ISSTRING);

	item->p = r->p;
	for (; r->p < r->end; r->p++)
	{
		if (*r->p == '"')
		{
			item->len = r->p - item->p;
			r->p++;
			return true;
		}
		if (*r->p == '\\')
			return read_escaped(r, item);
		if ((unsigned char) *r->p < 0x20)
			return false;
	}
	return false;
}

static int
skip_digits(Reader *r)
{
	const char *start = r->p;

	while (r->p < r->end && *r->p >= '0' && *r->p <= '9')
		r->p++;
	return r->p - start;
}

/* Fraction and exponent; *integer becomes false when there is either. */
static bool
read_rest_of_number(Reader *r, bool *integer)
{
	*integer = true;
	if (r->p < r->end && *r->p == '.')
	{
		*integer = false;
		r->p++;
		if (skip_digits(r) == 0)
			return false;
	}
	if (r->p < r->end && (*r->p == 'e' || *r->p == 'E'))
	{
		*integer = false;
		r->p++;
		if (r->p < r->end && (*r->p == '+' || *r->p == '-'))
			r->p++;
		if (skip_digits(r) == 0)
			return false;
	}
	return true;
}

static bool
read_number(Reader *r)
{
	const char *start = r->p;
	bool		negative = *r->p == '-';
	bool		integer;
	const char *first;
	int			digits;
	Item	   *item;
	Numeric		value;

	if (negative)
		r->p++;
	first = r->p;
	digits = skip_digits(r);
	if (digits == 0 || (digits > 1 && *first == '0') ||
		!read_rest_of_number(r, &integer))
		return false;

	if (integer && digits <= MAX_DIGITS)
	{
		int64		n = 0;

		for (int i = 0; i < digits; i++)
			n = n * 10 + (first[i] - '0');
		value = int64_to_numeric(negative ? -n : n);
	}
	else
	{
		char	   *text = pnstrdup(start, r->p - start);

		/* A number that numeric refuses is refused here, with its words. */
		value = DatumGetNumeric(DirectFunctionCall3(numeric_in,
													CStringGetDatum(text),
													ObjectIdGetDatum(InvalidOid),
													Int32GetDatum(-1)));
		pfree(text);
	}
	item = add_item(r, JENTRY_ISNUMERIC);
	item->p = (const char *) value;
	item->len = VARSIZE(value);
	return true;
}

static bool
read_word(Reader *r, const char *word, uint32 type)
{
	size_t		len = strlen(word);

	if ((size_t) (r->end - r->p) < len || memcmp(r->p, word, len) != 0)
		return false;
	r->p += len;
	(void) add_item(r, type);
	return true;
}

/* The opening bracket is behind us. */
static bool
read_container(Reader *r, bool is_object)
{
	char		closing = is_object ? '}' : ']';
	int			me = r->count;
	int			count = 0;

	(void) add_item(r, JENTRY_ISCONTAINER);
	if (++r->depth > MAX_DEPTH)
		return false;
	if (!accept(r, closing))
	{
		do
		{
			if (is_object &&
				!(accept(r, '"') && read_string(r) && accept(r, ':')))
				return false;
			if (!read_value(r))
				return false;
			count++;
		} while (accept(r, ','));
		if (!accept(r, closing))
			return false;
	}
	r->depth--;
	r->items[me].is_object = is_object;
	r->items[me].len = count;
	r->items[me].next = r->count;
	return true;
}

static bool
read_value(Reader *r)
{
	char		c = peek(r);

	switch (c)
	{
		case '{':
		case '[':
			r->p++;
			return read_container(r, c == '{');
		case '"':
			r->p++;
			return read_string(r);
		case 't':
			return read_word(r, "true", JENTRY_ISBOOL_TRUE);
		case 'f':
			return read_word(r, "false", JENTRY_ISBOOL_FALSE);
		case 'n':
			return read_word(r, "null", JENTRY_ISNULL);
		default:
			/* a word that goes on ("nullx") fails at what must follow it */
			return c == '-' || (c >= '0' && c <= '9') ? read_number(r) : false;
	}
}

/* ---- layout: jsonb.h says what it is ---- */

static inline int
compare_keys(const Item *a, const Item *b)
{
	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	return memcmp(a->p, b->p, a->len);
}

/*
 * The keys of an object, in jsonb's order; of equal ones the last counts.
 * Returns how many are left.  Most objects have few; those of many keys are
 * sorted by halves, so that no text makes this slow.
 */
static int
sort_keys(const Item *items, int *keys, int count, int *scratch)
{
	int			half = count / 2;
	int			left,
				right,
				n = 0;

	if (count < 2)
		return count;
	memcpy(scratch, keys, count * sizeof(int));
	left = sort_keys(items, scratch, half, keys);
	right = sort_keys(items, scratch + half, count - half, keys + half);
	for (int i = 0, j = 0; i < left || j < right;)
	{
		int			cmp = i == left ? 1 : j == right ? -1 :
			compare_keys(&items[scratch[i]], &items[scratch[half + j]]);

		if (cmp == 0)
			i++;				/* the later one stays */
		else if (cmp < 0)
			keys[n++] = scratch[i++];
		else
			keys[n++] = scratch[half + j++];
	}
	return n;
}

/* What is aligned in a jsonb is so from its start. */
static void
pad(StringInfo out)
{
	while (out->len % sizeof(int32) != 0)
		appendStringInfoCharMacro(out, '\0');
}

static void write_container(StringInfo out, const Item *items, int me);

/* The value's bytes, and its entry: every 32nd has an offset, others a length. */
static void
write_item(StringInfo out, const Item *items, int me, int entry_at, int index,
		   int *total)
{
	const Item *item = &items[me];
	int			start = out->len;
	JEntry		entry;

	switch (item->type)
	{
		case JENTRY_ISSTRING:
			appendBinaryStringInfo(out, item->p, item->len);
			break;
		case JENTRY_ISNUMERIC:
			pad(out);
			appendBinaryStringInfo(out, item->p, item->len);
			break;
		case JENTRY_ISCONTAINER:
			write_container(out, items, me);
			break;
		default:
			break;
	}
	*total += out->len - start;
	if (index % JB_OFFSET_STRIDE == 0)
		entry = item->type | *total | JENTRY_HAS_OFF;
	else
		entry = item->type | (out->len - start);
	memcpy(out->data + entry_at + index * sizeof(JEntry), &entry,
		   sizeof(JEntry));
}

/* Room for the entries of a container behind its header; where they are. */
static int
begin_container(StringInfo out, uint32 header, int entries)
{
	int			at;

	pad(out);
	appendBinaryStringInfo(out, (const char *) &header, sizeof(header));
	at = out->len;
	enlargeStringInfo(out, entries * sizeof(JEntry));
	out->len += entries * sizeof(JEntry);
	return at;
}

static void
write_object(StringInfo out, const Item *items, int me)
{
	int			stack_keys[2 * STACK_PAIRS];
	int		   *keys = stack_keys;
	int			count = items[me].len;
	int			total = 0;
	int			at;

	if (count > STACK_PAIRS)
		keys = palloc(2 * count * sizeof(int));
	for (int i = 0, key = me + 1; i < count; i++)
	{
		keys[i] = key;
		key = items[key + 1].next;
	}
	count = sort_keys(items, keys, count, keys + items[me].len);

	at = begin_container(out, count | JB_FOBJECT, 2 * count);
	for (int i = 0; i < count; i++)
		write_item(out, items, keys[i], at, i, &total);
	for (int i = 0; i < count; i++)
		write_item(out, items, keys[i] + 1, at, count + i, &total);
	if (keys != stack_keys)
		pfree(keys);
}

static void
write_array(StringInfo out, const Item *items, int me)
{
	int			count = items[me].len;
	int			at = begin_container(out, count | JB_FARRAY, count);
	int			total = 0;

	for (int i = 0, element = me + 1; i < count; i++)
	{
		write_item(out, items, element, at, i, &total);
		element = items[element].next;
	}
}

static void
write_container(StringInfo out, const Item *items, int me)
{
	CHECK_FOR_INTERRUPTS();
	if (items[me].is_object)
		write_object(out, items, me);
	else
		write_array(out, items, me);
}

/* NULL: not one of the plain texts. */
Jsonb *
outbox_avro_plain_json(const char *text, int len)
{
	Reader		r;
	Jsonb	   *jsonb = NULL;

	r.p = text;
	r.end = text + len;
	r.depth = r.count = 0;
	r.items = r.stack_items;
	r.space = STACK_ITEMS;
	if (len <= MAX_TEXT && accept(&r, '{') && read_container(&r, true) &&
		peek(&r) == '\0' && r.p == r.end)
	{
		StringInfoData out;

		initStringInfo(&out);
		enlargeStringInfo(&out, len);
		out.len = VARHDRSZ;
		write_container(&out, r.items, 0);
		jsonb = (Jsonb *) out.data;
		SET_VARSIZE(jsonb, out.len);
	}
	if (r.items != r.stack_items)
		pfree(r.items);
	return jsonb;
}

Jsonb *
outbox_avro_json_text(const text *json)
{
	Jsonb	   *jsonb = outbox_avro_plain_json(VARDATA_ANY(json),
											   VARSIZE_ANY_EXHDR(json));

	if (jsonb != NULL)
		return jsonb;
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in,
											  CStringGetDatum(text_to_cstring(json))));
}
