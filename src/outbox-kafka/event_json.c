/*-------------------------------------------------------------------------
 *
 * event_json.c
 *		One Kafka record as one line of JSON.
 *
 *	{"topic", "partition", "offset", "timestamp", "key", "headers",
 *	 "schema_id", "value"}
 *
 * The value: a null stays null; 0x00 and a big-endian schema id in front is
 * Avro and is decoded; text that is JSON passes through; anything else, and
 * Avro that cannot be decoded, is "value_base64" instead, with "problem" when
 * something is wrong.  Keys and header values that are no UTF-8 become
 * {"base64": "..."}.  A header name that occurs again gets an array.
 *
 * The bytes come from anybody who may write to the topic: everything that
 * parses them is bounded.  Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-kafka/event_json.h"

#include "common/base64.h"

#include <jansson.h>
#include <time.h>

#define FRAME_SIZE 5			/* magic byte and schema id */

static void
put_string(StringInfo out, const char *s)
{
	appendStringInfoChar(out, '"');
	for (; *s != '\0'; s++)
	{
		if (*s == '"' || *s == '\\')
			appendStringInfoChar(out, '\\');
		if ((unsigned char) *s < ' ')
			appendStringInfo(out, "\\u%04x", (unsigned char) *s);
		else
			appendStringInfoChar(out, *s);
	}
	appendStringInfoChar(out, '"');
}

static void
put_base64(StringInfo out, const void *data, size_t len)
{
	int			space = pg_b64_enc_len((int) len);
	int			n;

	appendStringInfoChar(out, '"');
	enlargeStringInfo(out, space + 1);
	n = pg_b64_encode(data, (int) len, out->data + out->len, space);
	out->len += Max(n, 0);
	out->data[out->len] = '\0';
	appendStringInfoChar(out, '"');
}

/*
 * Bytes as a JSON string, or as base64 when they are no UTF-8.
 */
static void
put_text(StringInfo out, const void *data, size_t len)
{
	json_t	   *text;
	char	   *quoted;

	if (data == NULL)
	{
		appendStringInfoString(out, "null");
		return;
	}
	text = json_stringn(data, len);
	quoted = text == NULL ? NULL : json_dumps(text, JSON_ENCODE_ANY);
	if (quoted != NULL)
		appendStringInfoString(out, quoted);
	else
	{
		appendStringInfoString(out, "{\"base64\": ");
		put_base64(out, data, len);
		appendStringInfoChar(out, '}');
	}
	free(quoted);
	json_decref(text);
}

static void
put_timestamp(StringInfo out, const rd_kafka_message_t *message)
{
	rd_kafka_timestamp_type_t type;
	int64		ms = rd_kafka_message_timestamp(message, &type);
	time_t		seconds = (time_t) (ms / 1000);
	struct tm	tm;
	char		text[64];

	if (type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE || ms < 0 ||
		gmtime_r(&seconds, &tm) == NULL ||
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		appendStringInfoString(out, "null");
	else
		appendStringInfo(out, "\"%s.%03dZ\"", text, (int) (ms % 1000));
}

/*
 * How often a header's name occurs before and after index i.
 */
static void
count_name(const rd_kafka_headers_t *headers, size_t i, const char *name,
		   int *before, int *after)
{
	const char *other;
	const void *value;
	size_t		size;

	*before = *after = 0;
	for (size_t k = 0; rd_kafka_header_get_all(headers, k, &other, &value,
											   &size) == 0; k++)
		if (k != i && strcmp(name, other) == 0)
			(*(k < i ? before : after))++;
}

static void
put_headers(StringInfo out, const rd_kafka_message_t *message)
{
	rd_kafka_headers_t *headers = NULL;
	const char *name;
	const void *value;
	size_t		size;
	bool		first = true;

	appendStringInfoChar(out, '{');
	if (rd_kafka_message_headers(message, &headers) != 0)
		headers = NULL;
	for (size_t i = 0; headers != NULL &&
		 rd_kafka_header_get_all(headers, i, &name, &value, &size) == 0; i++)
	{
		int			before,
					after;

		count_name(headers, i, name, &before, &after);
		if (before > 0)
			continue;			/* is in the array of the first one */
		appendStringInfoString(out, first ? "" : ", ");
		first = false;
		put_text(out, name, strlen(name));
		appendStringInfoString(out, after > 0 ? ": [" : ": ");
		put_text(out, value, size);
		for (size_t k = 0; after > 0 &&
			 rd_kafka_header_get(headers, k + 1, name, &value, &size) == 0; k++)
		{
			appendStringInfoString(out, ", ");
			put_text(out, value, size);
		}
		if (after > 0)
			appendStringInfoChar(out, ']');
	}
	appendStringInfoChar(out, '}');
}

static void
put_problem(StringInfo out, const void *data, size_t len, const char *problem)
{
	appendStringInfoString(out, ", \"value_base64\": ");
	put_base64(out, data, len);
	if (problem != NULL)
	{
		appendStringInfoString(out, ", \"problem\": ");
		put_string(out, problem);
	}
}

static void
put_avro(StringInfo out, const uint8 *data, size_t len,
		 OutboxSchemas *schemas, bool avro_json)
{
	uint32		id = (uint32) data[1] << 24 | (uint32) data[2] << 16 |
		(uint32) data[3] << 8 | data[4];
	const char *why;
	const OutboxAvroSchema *schema = outbox_schemas_find(schemas, id, &why);
	OutboxAvroError error = {0};
	int			start;
	char		problem[600];

	appendStringInfo(out, ", \"schema_id\": %u", id);
	start = out->len;
	if (schema == NULL)
		snprintf(problem, sizeof(problem), "schema %u: %s", id, why);
	else
	{
		appendStringInfoString(out, ", \"value\": ");
		if (outbox_avro_decode(schema, data + FRAME_SIZE, len - FRAME_SIZE,
							   avro_json, out, &error))
			return;
		out->len = start;
		out->data[start] = '\0';
		snprintf(problem, sizeof(problem), "cannot decode: %s at %s",
				 error.message, error.path);
	}
	put_problem(out, data, len, problem);
}

/*
 * Text that is JSON, as it is: a raw line break in it can only be white space.
 */
static bool
put_json(StringInfo out, const char *data, size_t len)
{
	json_error_t ignored;
	json_t	   *parsed = json_loadb(data, len, JSON_DECODE_ANY |
									JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL,
									&ignored);

	if (parsed == NULL)
		return false;
	json_decref(parsed);
	appendStringInfoString(out, ", \"schema_id\": null, \"value\": ");
	for (size_t i = 0; i < len; i++)
		appendStringInfoChar(out, data[i] == '\n' || data[i] == '\r' ? ' ' :
							 data[i]);
	return true;
}

void
outbox_event_json(StringInfo out, const rd_kafka_message_t *message,
				  const char *topic, OutboxSchemas *schemas,
				  bool avro_json)
{
	const uint8 *data = message->payload;

	appendStringInfoString(out, "{\"topic\": ");
	put_string(out, topic);
	appendStringInfo(out, ", \"partition\": %d, \"offset\": " INT64_FORMAT
					 ", \"timestamp\": ", message->partition,
					 (int64) message->offset);
	put_timestamp(out, message);
	appendStringInfoString(out, ", \"key\": ");
	put_text(out, message->key, message->key_len);
	appendStringInfoString(out, ", \"headers\": ");
	put_headers(out, message);
	if (data == NULL)
		appendStringInfoString(out, ", \"schema_id\": null, \"value\": null");
	else if (message->len >= FRAME_SIZE && data[0] == 0)
		put_avro(out, data, message->len, schemas, avro_json);
	else if (!put_json(out, message->payload, message->len))
	{
		appendStringInfoString(out, ", \"schema_id\": null");
		put_problem(out, data, message->len, NULL);
	}
	appendStringInfoString(out, "}\n");
}
