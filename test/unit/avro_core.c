/*-------------------------------------------------------------------------
 *
 * avro_core.c
 *		The core of avro/ as programs use it: parsing, rendering, canonical
 *		form, fingerprints, decoding, and what it does with broken input.
 *
 *-------------------------------------------------------------------------
 */
#include "base/base.h"

#include "avro/avro.h"

/* Schemas live until exit: there is nothing to free them with here. */
const char *
__asan_default_options(void)
{
	return "detect_leaks=0";
}

static int	tests;
static int	failed;

static void
ok(bool good, const char *name)
{
	tests++;
	if (!good)
		failed++;
	printf("%s %d - %s\n", good ? "ok" : "not ok", tests, name);
}

static void
same(const char *got, const char *wanted, const char *name)
{
	bool		good = strcmp(got, wanted) == 0;

	ok(good, name);
	if (!good)
		printf("# got    %s\n# wanted %s\n", got, wanted);
}

static OutboxAvroSchema *
parse(const char *text)
{
	OutboxAvroError error;
	OutboxAvroSchema *schema = outbox_avro_parse(text, strlen(text), &error);

	if (schema == NULL)
		printf("# %s: %s %s\n", text, error.path, error.message);
	return schema;
}

static char *
rendered(const char *text)
{
	OutboxAvroSchema *schema = parse(text);
	StringInfoData out;

	initStringInfo(&out);
	if (schema != NULL)
		outbox_avro_render(schema, &out);
	return out.data;
}

static char *
canonical(const char *text)
{
	OutboxAvroSchema *schema = parse(text);
	StringInfoData out;

	initStringInfo(&out);
	if (schema != NULL)
		outbox_avro_canonical(schema, &out);
	return out.data;
}

static void
renders(const char *text, const char *wanted, const char *name)
{
	char	   *once = rendered(text);

	same(once, wanted, name);
	same(rendered(once), once, "... and parses to itself");
}

static void
test_render(void)
{
	renders(" { \"type\" : \"int\" } ", "\"int\"", "a primitive");
	renders("{\"zz\":[1, {\"b\":2,\"a\":1.50}],\"type\":\"int\",\"aa\":null}",
			"{\"type\":\"int\",\"aa\":null,\"zz\":[1,{\"a\":1.50,\"b\":2}]}",
			"unknown attributes are kept, sorted");
	renders("{\"scale\":0,\"precision\":4,\"type\":\"bytes\",\"logicalType\":\"decimal\"}",
			"{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":4}",
			"scale 0 is the same as none");
	renders("{\"logicalType\":\"decimal\",\"type\":\"bytes\",\"precision\":4,\"scale\":5}",
			"{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":4,\"scale\":5}",
			"an invalid logical type is kept as it is");
}

static void
test_render_record(void)
{
	const char *text = "{\"namespace\":\"a.b\",\"name\":\"R\",\"doc\":\"\\u00e9\\n\",\"type\":\"record\",\"aliases\":[\"Old\",\"a.b.Older\",\"c.Oldest\"],\"fields\":["
		"{\"type\":[\"null\",\"R\"],\"name\":\"next\",\"default\":null,\"order\":\"ascending\"},"
		"{\"type\":{\"type\":\"enum\",\"name\":\"c.E\",\"symbols\":[\"X\"],\"default\":\"X\"},\"name\":\"e\",\"aliases\":[\"f\"],\"order\":\"descending\",\"default\":\"X\"},"
		"{\"name\":\"e2\",\"type\":\"c.E\",\"p\":true},"
		"{\"name\":\"b\",\"type\":\"bytes\",\"default\":\"\\u0000\\u00ff\"},"
		"{\"name\":\"q\",\"type\":{\"type\":\"fixed\",\"name\":\"F\",\"namespace\":\"\",\"size\":0}}]}";

	renders(text,
			"{\"type\":\"record\",\"name\":\"R\",\"namespace\":\"a.b\",\"doc\":\"\xc3\xa9\\n\",\"aliases\":[\"Old\",\"Older\",\"c.Oldest\"],\"fields\":["
			"{\"name\":\"next\",\"type\":[\"null\",\"R\"],\"default\":null},"
			"{\"name\":\"e\",\"type\":{\"type\":\"enum\",\"name\":\"E\",\"namespace\":\"c\",\"symbols\":[\"X\"],\"default\":\"X\"},\"default\":\"X\",\"aliases\":[\"f\"],\"order\":\"descending\"},"
			"{\"name\":\"e2\",\"type\":\"c.E\",\"p\":true},"
			"{\"name\":\"b\",\"type\":\"bytes\",\"default\":\"\\u0000\xc3\xbf\"},"
			"{\"name\":\"q\",\"type\":{\"type\":\"fixed\",\"name\":\"F\",\"namespace\":\"\",\"size\":0}}]}",
			"a record with everything");
	same(canonical(text),
		 "{\"name\":\"a.b.R\",\"type\":\"record\",\"fields\":["
		 "{\"name\":\"next\",\"type\":[\"null\",\"a.b.R\"]},"
		 "{\"name\":\"e\",\"type\":{\"name\":\"c.E\",\"type\":\"enum\",\"symbols\":[\"X\"]}},"
		 "{\"name\":\"e2\",\"type\":\"c.E\"},{\"name\":\"b\",\"type\":\"bytes\"},"
		 "{\"name\":\"q\",\"type\":{\"name\":\"F\",\"type\":\"fixed\",\"size\":0}}]}",
		 "canonical form");
	ok(outbox_avro_is_record(parse(text)) &&
	   strcmp(outbox_avro_fullname(parse(text)), "a.b.R") == 0,
	   "a record and its full name");
	ok(!outbox_avro_is_record(parse("[\"null\"]")) &&
	   outbox_avro_fullname(parse("[\"null\"]")) == NULL,
	   "a union is no record and has no name");
}

static void
test_fingerprints(void)
{
	uint8		hash[32];
	static const uint8 wanted[4] = {0x3f, 0x2b, 0x87, 0xa9};

	ok(outbox_avro_crc64(parse("\"int\"")) == UINT64CONST(0x7275d51a3f395c8f),
	   "CRC-64-AVRO of the specification's example");
	outbox_avro_sha256(parse("{\"type\":\"int\"}"), hash);
	ok(memcmp(hash, wanted, 4) == 0, "SHA-256");
}

static void
decodes(const char *schema, const char *bytes, size_t len, bool avro_json,
		const char *wanted, const char *name)
{
	OutboxAvroError error;
	StringInfoData out;
	/* a copy of that size, so that the sanitizer sees overreads */
	char	   *copy = malloc(len + 1);

	initStringInfo(&out);
	if (len > 0)
		memcpy(copy + 1, bytes, len);
	if (!outbox_avro_decode(parse(schema), copy + 1, len, avro_json, &out,
							&error))
	{
		resetStringInfo(&out);
		appendStringInfo(&out, "%d %s: %s", error.kind, error.path,
						 error.message);
	}
	same(out.data, wanted, name);
	ok(outbox_avro_validate(parse(schema), copy + 1, len, &error) ==
	   !(wanted[0] >= '0' && wanted[0] <= '9' && strchr(wanted, '$') != NULL),
	   "... and validation agrees");
	free(copy);
}

#define BYTES(s) s, sizeof(s) - 1

static void
test_decode(void)
{
	const char *bomb = "{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":\"N\",\"fields\":[{\"name\":\"n\",\"type\":\"null\"}]}}";

	decodes("\"string\"", BYTES("\x06" "a\0b"), false, "\"a\\u0000b\"",
			"a string with NUL");
	decodes("\"bytes\"", BYTES("\x06" "\0\x7f\xff"), true,
			"\"\\u0000\x7f\xc3\xbf\"", "bytes in Avro's JSON");
	decodes("\"bytes\"", BYTES("\x06" "\0\x7f\xff"), false, "\"AH//\"",
			"bytes in natural JSON");
	decodes("[\"null\",{\"type\":\"fixed\",\"name\":\"a.F\",\"size\":1}]",
			BYTES("\x02" "x"), true, "{\"a.F\":\"x\"}", "a tagged union");
	decodes("{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":40,\"scale\":2}",
			BYTES("\x20" "\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), false,
			"-1701411834604692317316873037158841057.28",
			"the lowest 16-byte decimal");
	decodes("{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":2}",
			BYTES("\x02" "\x64"), false, "2 $: decimal has more than 2 digits",
			"a digit more than the bytes promise");
	decodes(bomb, BYTES("\x06\0"), false,
			"[{\"n\":null},{\"n\":null},{\"n\":null}]", "items without bytes");
	decodes(bomb, BYTES("\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\0"), false,
			"2 $: more than 1000000 items without bytes",
			"a bomb of items without bytes");
	decodes("{\"type\":\"array\",\"items\":\"long\"}",
			BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\0"), false,
			"2 $: negative item count", "the lowest count");
	decodes("{\"type\":\"map\",\"values\":\"bytes\"}",
			BYTES("\x02\x02" "k" "\x08" "abc"), false,
			"2 $.k: bytes end early: 4 needed, 3 left", "a path in a map");
	{
		StringInfoData bytes;
		char		wanted[300];

		/* its path is cut after 200 bytes, between characters */
		initStringInfo(&bytes);
		appendStringInfoString(&bytes, "\x02\x9e\x04");
		for (int i = 0; i < 90; i++)
			appendStringInfoString(&bytes, "\xe2\x82\xac");
		appendStringInfoChar(&bytes, 'x');
		bytes.data[1] = (char) (((271 * 2) & 0x7f) | 0x80);
		bytes.data[2] = (char) ((271 * 2) >> 7);
		strcpy(wanted, "2 $[\"");
		for (int i = 0; i < 66; i++)
			strcat(wanted, "\xe2\x82\xac");
		strcat(wanted, "\"]: bytes end within a number");
		decodes("{\"type\":\"map\",\"values\":\"int\"}", bytes.data,
				bytes.len, false, wanted, "a long key in a path");
	}
	decodes("\"int\"", NULL, 0, false, "2 $: bytes end within a number",
			"no bytes");
	decodes("{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"r\",\"type\":\"R\"}]}",
			NULL, 0, false,
			"3 $..r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r.r: nested more than 512 levels deep",
			"a record that holds itself");
}

static void
refuses(const char *text, size_t len, OutboxAvroErrorKind kind,
		const char *name)
{
	OutboxAvroError error;

	ok(outbox_avro_parse(text, len, &error) == NULL && error.kind == kind &&
	   error.message[0] != '\0' && error.path[0] == '$', name);
}

static void
test_bad_schemas(void)
{
	char	   *deep = palloc(200001);
	OutboxAvroError error;
	StringInfoData text;

	refuses(BYTES(""), OUTBOX_AVRO_BAD_JSON, "nothing");
	refuses(BYTES("\"in\0t\""), OUTBOX_AVRO_BAD_JSON, "a NUL byte");
	refuses(BYTES("\"\xff\""), OUTBOX_AVRO_BAD_JSON, "invalid UTF-8");
	refuses(BYTES("\"\\ud83d\""), OUTBOX_AVRO_BAD_JSON, "half a surrogate pair");
	refuses(BYTES("\"\\"), OUTBOX_AVRO_BAD_JSON, "an escape at the end");
	refuses(BYTES("\"\\u00"), OUTBOX_AVRO_BAD_JSON, "half an escape");
	refuses(BYTES("\"a\\\\u0041\""), OUTBOX_AVRO_BAD_SCHEMA,
			"a backslash before a u");
	memset(deep, '[', 200000);
	refuses(deep, 200000, OUTBOX_AVRO_TOO_DEEP, "200,000 brackets");
	memset(deep, '{', 200000);
	refuses(deep, 200000, OUTBOX_AVRO_TOO_DEEP, "200,000 braces");

	initStringInfo(&text);
	for (int i = 0; i < 520; i++)
		appendStringInfoString(&text, "{\"type\":\"array\",\"items\":");
	refuses(text.data, text.len, OUTBOX_AVRO_BAD_JSON, "an unfinished schema");
	appendStringInfoString(&text, "\"int\"");
	for (int i = 0; i < 520; i++)
		appendStringInfoChar(&text, '}');
	refuses(text.data, text.len, OUTBOX_AVRO_TOO_DEEP, "520 arrays");

	/* a message longer than its buffer is cut at a character */
	resetStringInfo(&text);
	appendStringInfoChar(&text, '"');
	for (int i = 0; i < 300; i++)
		appendStringInfoString(&text, "\xe2\x82\xac");
	appendStringInfoChar(&text, '"');
	ok(outbox_avro_parse(text.data, text.len, &error) == NULL &&
	   strlen(error.message) < sizeof(error.message) &&
	   strcmp(error.message + strlen(error.message) - 6, "\xe2\x82\xac...") == 0,
	   "a long message is cut between characters");
}

int
main(void)
{
	test_render();
	test_render_record();
	test_fingerprints();
	test_decode();
	test_bad_schemas();
	printf("1..%d\n", tests);
	return failed != 0;
}
