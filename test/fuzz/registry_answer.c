/*-------------------------------------------------------------------------
 *
 * registry_answer.c
 *		Fuzz target: what a schema registry answers, and a damaged REGISTER.
 *
 * Input: the body of an answer, as one that passed the limits of
 * registry_http.c.  Checked beyond "does not crash": an id that is accepted
 * fits the wire format, a message is one printable line, and a schema that is
 * one has its own values.
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz/fuzz.h"

#include "avro/avro.h"
#include "outbox-kafka/registry_answer.h"
#include "record/register.h"

#define KNOWN "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"n\",\"type\":\"long\"}]}"

int			LLVMFuzzerTestOneInput(const uint8 *data, size_t size);

static void
check_id(const char *body, size_t len)
{
	uint32		id;

	if (outbox_registry_read_id(body, len, &id) !=
		(id > 0 && id <= PG_INT32_MAX))
		fuzz_die("an id that is none");
}

static void
check_error(const char *body, size_t len)
{
	char		message[64];
	int			code = outbox_registry_read_error(body, len, message,
												  sizeof(message));

	if (code < 0 || code > 99999)
		fuzz_die("a code out of bounds");
	for (const char *p = message; *p != '\0'; p++)
		if (*p < ' ' || *p > '~')
			fuzz_die("a message that is not printable");
}

static void
check_schema(const char *body, size_t len)
{
	OutboxRegistrySchema schema;
	OutboxAvroError error;

	if (!outbox_registry_read_schema(body, len, &schema))
		return;
	if (schema.id > PG_INT32_MAX || schema.text == NULL)
		fuzz_die("a schema without its parts");
	if (outbox_registry_same_values(KNOWN, schema.text) !=
		outbox_registry_same_values(schema.text, KNOWN))
		fuzz_die("the comparison depends on its order");
	if (outbox_avro_parse(schema.text, strlen(schema.text), &error) != NULL)
	{
		char	   *spaced = psprintf(" %s", schema.text);

		if (!outbox_registry_same_values(schema.text, spaced))
			fuzz_die("a schema does not have its own values");
		pfree(spaced);
	}
	pfree(schema.text);
}

static void
check_frames(const char *body, size_t len)
{
	OutboxRegister what;
	OutboxRegistered answer;
	StringInfoData buf;

	if (outbox_register_read(body, len, &what))
	{
		initStringInfo(&buf);
		outbox_register_write(&buf, &what);
		if (buf.len != len || memcmp(buf.data, body, len) != 0)
			fuzz_die("REGISTER is not written as it was read");
	}
	if (outbox_registered_read(body, len, &answer) &&
		answer.class == OUTBOX_OK && answer.external_id == 0)
		fuzz_die("REGISTERED without an id");
}

int
LLVMFuzzerTestOneInput(const uint8 *data, size_t size)
{
	const char *body = fuzz_copy(data, size);

	check_id(body, size);
	check_error(body, size);
	check_schema(body, size);
	check_frames(body, size);
	return fuzz_end();
}
