/*-------------------------------------------------------------------------
 *
 * compat_lines.c
 *		Our verdicts for test_compat.py: one line of JSON in, one out.
 *
 * In:  ["check", NEW, [OLD...]]
 * Out: {"pairs": [[NEW reads OLD, OLD reads NEW]...], "levels": "1101001"}
 * where each reading is a list of "RULE path", and levels are in the order of
 * OutboxCompatLevel, 1 for allowed.  OLD is oldest first.
 *
 * Without input (as check.sh runs each program of this folder) it answers
 * nothing and is content.
 *
 *-------------------------------------------------------------------------
 */
#include "base/base.h"

#include <jansson.h>

#include "avro/compat.h"

/* Schemas live until exit: there is nothing to free them with here. */
const char *
__asan_default_options(void)
{
	return "detect_leaks=0";
}

#define MAX_OLD 64

static OutboxAvroSchema *
parse(const json_t *value)
{
	char	   *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
	OutboxAvroError error;
	OutboxAvroSchema *schema = outbox_avro_parse(text, strlen(text), &error);

	if (schema == NULL)
		printf("{\"error\": \"%s: %s\"}\n", error.path, error.message);
	free(text);
	return schema;
}

static void
put_reading(const OutboxAvroSchema *reader, const OutboxAvroSchema *writer)
{
	OutboxCompatViolations *list = outbox_compat_read(reader, writer);

	printf("[");
	for (int i = 0; i < list->count; i++)
		printf("%s\"%s %s\"", i ? ", " : "", list->items[i].rule,
			   list->items[i].path);
	printf("]");
	outbox_compat_free(list);
}

static void
answer(const json_t *ask)
{
	const json_t *list = json_array_get(ask, 2);
	int			n = (int) json_array_size(list);
	const OutboxAvroSchema *old[MAX_OLD];
	OutboxAvroSchema *new_schema = parse(json_array_get(ask, 1));

	if (new_schema == NULL || n > MAX_OLD)
		return;
	for (int i = 0; i < n; i++)
		if ((old[i] = parse(json_array_get(list, i))) == NULL)
			return;
	printf("{\"pairs\": [");
	for (int i = 0; i < n; i++)
	{
		printf("%s[", i ? ", " : "");
		put_reading(new_schema, old[i]);
		printf(", ");
		put_reading(old[i], new_schema);
		printf("]");
	}
	printf("], \"levels\": \"");
	for (int level = OUTBOX_COMPAT_NONE; level <= OUTBOX_COMPAT_FULL_TRANSITIVE; level++)
	{
		OutboxCompatViolations *found =
		outbox_compat_check(new_schema, old, n, (OutboxCompatLevel) level);

		printf("%c", found->count == 0 ? '1' : '0');
		outbox_compat_free(found);
	}
	printf("\"}\n");
}

int
main(void)
{
	char	   *line = NULL;
	size_t		space = 0;
	ssize_t		len;
	long		lines = 0;

	while ((len = getline(&line, &space, stdin)) > 0)
	{
		json_t	   *ask = json_loadb(line, len, 0, NULL);

		if (ask == NULL)
			printf("{\"error\": \"no JSON\"}\n");
		else
			answer(ask);
		json_decref(ask);
		fflush(stdout);
		lines++;
	}
	free(line);
	if (lines == 0)
		printf("ok 1 - answers lines, of which there are none\n1..1\n");
	return 0;
}
