/*-------------------------------------------------------------------------
 *
 * avro_schema.c
 *		Fuzz target: schema parser, renderings, fingerprints, compatibility.
 *
 * Input: a schema, a zero byte, another schema.  Checked beyond "does not
 * crash": a schema that parses renders to one that parses, renders to itself,
 * has the same canonical form and reads its own data; and the levels add up.
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz/fuzz.h"

#include "avro/compat.h"

int			LLVMFuzzerTestOneInput(const uint8 *data, size_t size);

static int
violations(const OutboxAvroSchema *new_schema, const OutboxAvroSchema *old,
		   OutboxCompatLevel level)
{
	OutboxCompatViolations *list =
	outbox_compat_check(new_schema, &old, 1, level);
	int			count = list->cut ? -1 : list->count;

	for (int i = 0; i < list->count; i++)
		if (strlen(list->items[i].rule) == 0 ||
			list->items[i].path[0] != '$' ||
			strlen(list->items[i].message) == 0)
			fuzz_die("a violation says nothing");
	outbox_compat_free(list);
	return count;
}

static OutboxAvroSchema *
check_schema(const uint8 *data, size_t len)
{
	OutboxAvroError error;
	OutboxAvroSchema *schema;
	OutboxAvroSchema *again;
	StringInfoData one,
				two;
	uint8		hash[32];

	schema = outbox_avro_parse(fuzz_copy(data, len), len, &error);
	if (schema == NULL)
		return NULL;
	initStringInfo(&one);
	initStringInfo(&two);
	outbox_avro_render(schema, &one);
	again = outbox_avro_parse(fuzz_copy(one.data, one.len), one.len, &error);
	if (again == NULL)
		fuzz_die("the rendering does not parse");
	outbox_avro_render(again, &two);
	if (strcmp(one.data, two.data) != 0)
		fuzz_die("the rendering is not stable");
	if (outbox_avro_crc64(schema) != outbox_avro_crc64(again))
		fuzz_die("the canonical form changed");
	outbox_avro_sha256(schema, hash);
	if (violations(schema, again, OUTBOX_COMPAT_FULL) != 0)
		fuzz_die("a schema does not read its own data");
	return schema;
}

int
LLVMFuzzerTestOneInput(const uint8 *data, size_t size)
{
	const uint8 *zero = memchr(data, 0, size);
	OutboxAvroSchema *one,
			   *two;

	one = check_schema(data, zero == NULL ? size : (size_t) (zero - data));
	if (one != NULL && zero != NULL &&
		(two = check_schema(zero + 1, data + size - zero - 1)) != NULL)
	{
		int			back = violations(one, two, OUTBOX_COMPAT_BACKWARD);
		int			forth = violations(one, two, OUTBOX_COMPAT_FORWARD);
		int			full = violations(one, two, OUTBOX_COMPAT_FULL_TRANSITIVE);

		if (back >= 0 && forth >= 0 && full >= 0 && back + forth != full)
			fuzz_die("the levels do not add up");
		if (violations(two, one, OUTBOX_COMPAT_FORWARD) != back)
			fuzz_die("forward is not backward the other way round");
	}
	return fuzz_end();
}
