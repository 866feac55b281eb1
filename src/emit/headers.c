/*-------------------------------------------------------------------------
 *
 * headers.c
 *		The header block of an event.
 *
 * From, in this order: the caller's headers object, columns of an outbox
 * table, the session's outbox.traceparent unless the caller gave one.  Header
 * "id" is added by outbox-kafka from the event id; it and "outbox.*" are
 * reserved.  Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "emit/emit.h"
#include "mb/pg_wchar.h"
#include "record/wal_message.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#define TRACEPARENT "traceparent"

static bool
has_control_character(const char *s, int len)
{
	for (int i = 0; i < len; i++)
	{
		if ((unsigned char) s[i] < 0x20 || s[i] == 0x7F)
			return true;
	}
	return false;
}

static void
refuse(const char *name, int name_len, const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid event header \"%.*s\": %s",
					pg_mbcliplen(name, name_len, OUTBOX_MAX_HEADER_NAME), name,
					problem),
			 errhint("Headers are an object of at most %d strings, numbers, booleans or nulls with names of 1 to %d bytes.",
					 OUTBOX_MAX_HEADERS, OUTBOX_MAX_HEADER_NAME)));
}

static void
add_header(StringInfo out, int *count, const char *name, int name_len,
		   const char *value, int value_len)
{
	int			utf8_name_len;
	int			utf8_len = -1;
	const char *utf8_name = outbox_to_utf8(name, name_len, &utf8_name_len);
	const char *utf8 = NULL;

	if (utf8_name_len == 0)
		refuse(name, name_len, "the name is empty");
	if (utf8_name_len > OUTBOX_MAX_HEADER_NAME)
		refuse(name, name_len, "the name is too long");
	if (has_control_character(name, name_len))
		refuse(name, name_len, "the name has a control character");
	if ((name_len == 2 && memcmp(name, "id", 2) == 0) ||
		(name_len >= 7 && memcmp(name, "outbox.", 7) == 0))
		refuse(name, name_len, "the name is reserved");
	if (++*count > OUTBOX_MAX_HEADERS)
		refuse(name, name_len, "there are too many");
	if (value != NULL)
	{
		utf8 = outbox_to_utf8(value, value_len, &utf8_len);
		if (utf8_len > outbox_max_event_size)
			refuse(name, name_len, "the value is too long");
	}
	if (out->len == 0)
		outbox_headers_begin(out);
	if (!outbox_headers_add(out, utf8_name, utf8_name_len, utf8, utf8_len))
		refuse(name, name_len, "it does not fit");
}

static void
add_json_value(StringInfo out, int *count, const JsonbValue *name,
			   const JsonbValue *value)
{
	const char *n = name->val.string.val;
	int			n_len = name->val.string.len;
	char	   *number;

	switch (value->type)
	{
		case jbvNull:
			add_header(out, count, n, n_len, NULL, -1);
			break;
		case jbvString:
			add_header(out, count, n, n_len,
					   value->val.string.val, value->val.string.len);
			break;
		case jbvBool:
			if (value->val.boolean)
				add_header(out, count, n, n_len, "true", 4);
			else
				add_header(out, count, n, n_len, "false", 5);
			break;
		case jbvNumeric:
			number = DatumGetCString(DirectFunctionCall1(numeric_out,
														 NumericGetDatum(value->val.numeric)));
			add_header(out, count, n, n_len, number, strlen(number));
			break;
		default:
			refuse(n, n_len, "the value is an object or an array");
	}
}

static void
add_json(StringInfo out, int *count, Jsonb *headers)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	name;
	JsonbValue	value;

	if (!JB_ROOT_IS_OBJECT(headers))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("event headers must be a JSON object"),
				 errhint("Pass for example '{\"tenant\": \"42\"}'.")));
	it = JsonbIteratorInit(&headers->root);
	while ((token = JsonbIteratorNext(&it, &name, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&it, &value, true);
		add_json_value(out, count, &name, &value);
	}
}

/* Whether the caller set the header himself. */
static bool
has_header(const OutboxEvent *event, const char *name)
{
	JsonbValue	found;

	for (int i = 0; i < event->nextra_headers; i++)
	{
		if (strcmp(event->extra_headers[i].name, name) == 0)
			return true;
	}
	return event->headers != NULL && JB_ROOT_IS_OBJECT(event->headers) &&
		getKeyJsonValueFromContainer(&event->headers->root, name,
									 strlen(name), &found) != NULL;
}

void
outbox_headers_build(const OutboxEvent *event, StringInfo out)
{
	int			count = 0;

	if (event->headers != NULL)
		add_json(out, &count, event->headers);
	for (int i = 0; i < event->nextra_headers; i++)
	{
		const OutboxExtraHeader *extra = &event->extra_headers[i];

		add_header(out, &count, extra->name, strlen(extra->name),
				   extra->value,
				   extra->value == NULL ? -1 : (int) strlen(extra->value));
	}
	if (outbox_traceparent != NULL && outbox_traceparent[0] != '\0' &&
		!has_header(event, TRACEPARENT))
		add_header(out, &count, TRACEPARENT, strlen(TRACEPARENT),
				   outbox_traceparent, strlen(outbox_traceparent));
}
