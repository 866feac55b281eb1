/*-------------------------------------------------------------------------
 *
 * avro_decode.c
 *		Fuzz target: the Avro decoder, under random schemas.
 *
 * Input: a schema, a zero byte, Avro bytes.  Checked beyond "does not crash":
 * decoding and validating agree, and what comes out is JSON.
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz/fuzz.h"

#include "avro/model.h"

/*
 * A few bytes may be a million items that take none (decode.c allows that
 * many); to parse what these become takes seconds under the sanitizers.
 */
#define MAX_PARSED (256 * 1024)

int			LLVMFuzzerTestOneInput(const uint8 *data, size_t size);

static void
check_bytes(const OutboxAvroSchema *schema, const char *bytes, size_t len,
			bool avro_json)
{
	OutboxAvroError error;
	OutboxAvroError why;
	StringInfoData out;
	bool		decoded;

	initStringInfo(&out);
	decoded = outbox_avro_decode(schema, bytes, len, avro_json, &out, &error);
	/* a decimal's digits count in natural JSON only */
	if (!avro_json &&
		decoded != outbox_avro_validate(schema, bytes, len, &why) &&
		(decoded || strcmp(error.message, "decoded value is too long") != 0))
		fuzz_die("decoding and validating disagree");
	/* keys of maps may repeat, or hold NUL, and this parser minds */
	if (decoded && out.len <= MAX_PARSED && avro_json_parse(out.data, out.len, &error) == NULL &&
		strstr(error.message, "occurs twice") == NULL &&
		strstr(error.message, "u0000") == NULL &&
		error.kind != OUTBOX_AVRO_TOO_DEEP)
		fuzz_die("what was decoded is not JSON");
}

int
LLVMFuzzerTestOneInput(const uint8 *data, size_t size)
{
	const uint8 *zero = memchr(data, 0, size);
	size_t		schema_len = zero == NULL ? size : (size_t) (zero - data);
	size_t		len = zero == NULL ? 0 : size - schema_len - 1;
	OutboxAvroError error;
	OutboxAvroSchema *schema;

	schema = outbox_avro_parse(fuzz_copy(data, schema_len), schema_len,
							   &error);
	if (schema != NULL)
	{
		const char *bytes = fuzz_copy(zero == NULL ? NULL : zero + 1, len);

		check_bytes(schema, bytes, len, false);
		check_bytes(schema, bytes, len, true);
	}
	return fuzz_end();
}
