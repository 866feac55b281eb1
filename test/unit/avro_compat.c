/*-------------------------------------------------------------------------
 *
 * avro_compat.c
 *		Compatibility of schemas: each rule of the specification, each stricter
 *		one, levels, and that work is bounded.  The figure of a 200-field
 *		record's check is printed, not asserted.
 *
 *-------------------------------------------------------------------------
 */
#include "base/base.h"

#include "avro/compat.h"
#include "unit/tap.h"

#include <time.h>

/* Schemas live until exit: there is nothing to free them with here. */
const char *
__asan_default_options(void)
{
	return "detect_leaks=0";
}

static OutboxAvroSchema *
parse(const char *text)
{
	OutboxAvroError error;
	OutboxAvroSchema *schema = outbox_avro_parse(text, strlen(text), &error);

	if (schema == NULL)
	{
		printf("Bail out! %s: %s %s\n", text, error.path, error.message);
		exit(1);
	}
	return schema;
}

/* "RULE path, RULE path", or "" */
static char *
verdict(const OutboxCompatViolations *list)
{
	StringInfoData out;

	initStringInfo(&out);
	for (int i = 0; i < list->count; i++)
		appendStringInfo(&out, "%s%s %s", i ? ", " : "", list->items[i].rule,
						 list->items[i].path);
	return out.data;
}

/* Fields of record a.R around a field type */
#define R(fields) "{\"type\":\"record\",\"name\":\"R\",\"namespace\":\"a\",\"fields\":[" fields "]}"
#define F(name, type) "{\"name\":\"" name "\",\"type\":" type "}"
#define FD(name, type, value) "{\"name\":\"" name "\",\"type\":" type ",\"default\":" value "}"
#define FA(name, type, alias) "{\"name\":\"" name "\",\"type\":" type ",\"aliases\":[\"" alias "\"]}"
#define REC(name, fields) "{\"type\":\"record\",\"name\":\"" name "\",\"fields\":[" fields "]}"
#define RECA(name, alias, fields) "{\"type\":\"record\",\"name\":\"" name "\",\"aliases\":[\"" alias "\"],\"fields\":[" fields "]}"
#define ENUM(name, symbols) "{\"type\":\"enum\",\"name\":\"" name "\",\"symbols\":[" symbols "]}"
#define ENUMD(name, symbols, value) "{\"type\":\"enum\",\"name\":\"" name "\",\"symbols\":[" symbols "],\"default\":\"" value "\"}"
#define FIXED(name, size) "{\"type\":\"fixed\",\"name\":\"" name "\",\"size\":" size "}"
#define ARRAY(items) "{\"type\":\"array\",\"items\":" items "}"
#define MAP(values) "{\"type\":\"map\",\"values\":" values "}"
#define L(type, logical) "{\"type\":\"" type "\",\"logicalType\":\"" logical "\"}"
#define DEC(p, s) "{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":" p ",\"scale\":" s "}"

static const struct
{
	const char *name;
	const char *reader;
	const char *writer;
	const char *wanted;			/* reader reads writer's */
}			cases[] =
{
	/* primitives and promotions */
	{"the same", "\"int\"", "\"int\"", ""},
	{"int as long", "\"long\"", "\"int\"", ""},
	{"int as float", "\"float\"", "\"int\"", ""},
	{"int as double", "\"double\"", "\"int\"", ""},
	{"long as float", "\"float\"", "\"long\"", ""},
	{"long as double", "\"double\"", "\"long\"", ""},
	{"float as double", "\"double\"", "\"float\"", ""},
	{"string as bytes", "\"bytes\"", "\"string\"", ""},
	{"bytes as string", "\"string\"", "\"bytes\"", ""},
	{"long as int", "\"int\"", "\"long\"", "TYPE_MISMATCH $"},
	{"double as float", "\"float\"", "\"double\"", "TYPE_MISMATCH $"},
	{"float as long", "\"long\"", "\"float\"", "TYPE_MISMATCH $"},
	{"boolean as int", "\"int\"", "\"boolean\"", "TYPE_MISMATCH $"},
	{"int as string", "\"string\"", "\"int\"", "TYPE_MISMATCH $"},
	{"null as string", "\"string\"", "\"null\"", "TYPE_MISMATCH $"},
	{"enum as string", "\"string\"", ENUM("E", "\"A\""), "TYPE_MISMATCH $"},
	{"fixed as bytes", "\"bytes\"", FIXED("X", "4"), "TYPE_MISMATCH $"},
	{"array as map", MAP("\"int\""), ARRAY("\"int\""), "TYPE_MISMATCH $"},

	/* containers */
	{"items promoted", ARRAY("\"long\""), ARRAY("\"int\""), ""},
	{"items not", ARRAY("\"int\""), ARRAY("\"long\""), "TYPE_MISMATCH $[]"},
	{"values promoted", MAP("\"double\""), MAP("\"float\""), ""},
	{"values not", MAP(ARRAY("\"int\"")), MAP(ARRAY("\"string\"")),
	"TYPE_MISMATCH ${}[]"},

	/* fixed and enum */
	{"fixed", FIXED("X", "4"), FIXED("X", "4"), ""},
	{"fixed of another size", FIXED("X", "4"), FIXED("X", "5"),
	"FIXED_SIZE_MISMATCH $"},
	{"fixed of another name", FIXED("X", "4"), FIXED("Y", "4"),
	"NAME_MISMATCH $"},
	{"fixed of another name and size", FIXED("X", "4"), FIXED("Y", "5"),
	"NAME_MISMATCH $, FIXED_SIZE_MISMATCH $"},
	{"fixed of another namespace", FIXED("a.X", "4"), FIXED("b.X", "4"), ""},
	{"symbol removed", ENUM("E", "\"A\""), ENUM("E", "\"A\",\"B\""),
	"MISSING_ENUM_SYMBOLS $"},
	{"symbol added", ENUM("E", "\"A\",\"B\""), ENUM("E", "\"B\""), ""},
	{"symbol removed, default", ENUMD("E", "\"A\"", "A"),
	ENUM("E", "\"B\",\"A\""), ""},
	{"writer's default does not help", ENUM("E", "\"A\""),
	ENUMD("E", "\"A\",\"B\"", "A"), "MISSING_ENUM_SYMBOLS $"},
	{"enum renamed", ENUM("E", "\"A\""), ENUM("D", "\"A\""),
	"NAME_MISMATCH $"},

	/* fields */
	{"field added with default", R(F("a", "\"int\"") "," FD("b", "\"int\"", "1")),
	R(F("a", "\"int\"")), ""},
	{"field added without", R(F("a", "\"int\"") "," F("b", "[\"null\",\"int\"]")),
	R(F("a", "\"int\"")), "READER_FIELD_MISSING_DEFAULT_VALUE $.b"},
	{"an enum's default is none of the field", R(F("b", ENUMD("E", "\"A\"", "A"))),
	R(""), "READER_FIELD_MISSING_DEFAULT_VALUE $.b"},
	{"field removed", R(""), R(F("a", "\"int\"")), ""},
	{"fields in another order", R(F("a", "\"int\"") "," F("b", "\"string\"") "," F("c", "\"long\"")),
	R(F("c", "\"int\"") "," F("b", "\"string\"") "," F("a", "\"int\"")), ""},
	{"field renamed", R(F("b", "\"int\"")), R(F("a", "\"int\"")),
	"READER_FIELD_MISSING_DEFAULT_VALUE $.b"},
	{"field renamed with alias", R(FA("b", "\"int\"", "a")), R(F("a", "\"int\"")), ""},
	{"the writer's alias does not help", R(F("b", "\"int\"")),
	R(FA("a", "\"int\"", "b")), "READER_FIELD_MISSING_DEFAULT_VALUE $.b"},
	{"alias and another type", R(FA("b", "\"int\"", "a")), R(F("a", "\"string\"")),
	"TYPE_MISMATCH $.b"},
	{"all that is wrong", R(F("a", "\"int\"") "," F("b", "\"int\"") "," F("c", FIXED("X", "1"))),
	R(F("a", "\"long\"") "," F("c", FIXED("X", "2"))),
	"TYPE_MISMATCH $.a, READER_FIELD_MISSING_DEFAULT_VALUE $.b, FIXED_SIZE_MISMATCH $.c"},
	{"a name and its alias both there", R(FA("b", "\"int\"", "a")),
	R(F("a", "\"int\"") "," F("b", "\"int\"")), "AMBIGUOUS_ALIAS $.b"},
	{"an alias that repeats the name", R(FA("b", "\"int\"", "b") "," F("c", "\"int\"")),
	R(F("b", "\"int\"") "," F("c", "\"int\"")), "AMBIGUOUS_ALIAS $.b"},
	{"... reads itself", R(FA("b", "\"int\"", "b")), R(FA("b", "\"int\"", "b")), ""},
	{"aliases in a circle", R(FA("d", "\"int\"", "b") "," "{\"name\":\"a\",\"type\":\"int\",\"default\":1,\"aliases\":[\"d\"]}"),
	R(F("b", "\"int\"")), "AMBIGUOUS_ALIAS $.d"},
	{"two fields for one", R(FA("b", "\"int\"", "a") "," FD("a", "\"int\"", "0")),
	R(F("a", "\"int\"")), "AMBIGUOUS_ALIAS $.a"},

	/* nested */
	{"nested field", R(F("items", ARRAY(REC("I", F("price", "\"int\""))))),
	R(F("items", ARRAY(REC("I", F("price", "\"long\""))))),
	"TYPE_MISMATCH $.items[].price"},
	{"nested field in a map", R(F("m", MAP(REC("I", F("x", "\"int\""))))),
	R(F("m", MAP(REC("I", "")))),
	"READER_FIELD_MISSING_DEFAULT_VALUE $.m{}.x"},
	{"nested record in a union", R(F("o", "[\"null\"," REC("I", F("x", "\"int\"")) "]")),
	R(F("o", "[\"null\"," REC("I", "") "]")),
	"READER_FIELD_MISSING_DEFAULT_VALUE $.o.x"},
	{"the same type in two places is told once",
	R(F("a", REC("I", F("x", "\"int\""))) "," F("b", "\"I\"")),
	R(F("a", REC("I", "")) "," F("b", "\"I\"")),
	"READER_FIELD_MISSING_DEFAULT_VALUE $.a.x"},

	/* names of records */
	{"record renamed", REC("S", F("a", "\"int\"")), REC("T", F("a", "\"long\"")),
	"NAME_MISMATCH $, TYPE_MISMATCH $.a"},
	{"record renamed with alias", RECA("S", "T", F("a", "\"int\"")),
	REC("T", F("a", "\"int\"")), ""},
	{"an alias is of the reader's namespace", RECA("x.S", "T", ""), REC("x.T", ""), ""},
	{"... not of another", RECA("x.S", "T", ""), REC("y.T", ""), "NAME_MISMATCH $"},
	{"another namespace", REC("x.S", F("a", "\"int\"")), REC("y.S", F("a", "\"int\"")), ""},
	{"another namespace and a field's alias", REC("x.S", FA("b", "\"int\"", "a")),
	REC("y.S", F("a", "\"int\"")), "NAMESPACE_MISMATCH $.b"},
	{"... with the type's alias", RECA("x.S", "y.S", FA("b", "\"int\"", "a")),
	REC("y.S", F("a", "\"int\"")), ""},

	/* unions */
	{"null added", "[\"null\",\"int\"]", "\"int\"", ""},
	{"null removed", "\"int\"", "[\"null\",\"int\"]", "TYPE_MISMATCH $"},
	{"union reordered", "[\"int\",\"null\"]", "[\"null\",\"int\"]", ""},
	{"branch added", "[\"null\",\"int\",\"string\"]", "[\"null\",\"int\"]", ""},
	{"branch removed", "[\"null\",\"int\"]", "[\"null\",\"int\",\"string\"]",
	"MISSING_UNION_BRANCH $"},
	{"two branches removed", "[\"null\"]", "[\"null\",\"int\",\"string\"]",
	"MISSING_UNION_BRANCH $, MISSING_UNION_BRANCH $"},
	{"promotion into a union", "[\"null\",\"double\"]", "[\"null\",\"int\"]", ""},
	{"no promotion into a union", "[\"null\",\"int\"]", "\"long\"",
	"MISSING_UNION_BRANCH $"},
	{"every branch of the writer is read", "\"double\"", "[\"int\",\"float\"]", ""},
	{"one branch", "\"int\"", "[\"int\"]", ""},
	{"items in a union", "[\"null\"," ARRAY("\"int\"") "]", ARRAY("\"string\""),
	"TYPE_MISMATCH $[]"},
	{"enum in a union", "[\"null\"," ENUM("E", "\"A\"") "]", ENUM("E", "\"A\",\"B\""),
	"MISSING_ENUM_SYMBOLS $"},
	{"record of another name in a union", "[\"null\"," REC("S", "") "]", REC("T", ""),
	"MISSING_UNION_BRANCH $"},
	{"record by alias in a union", "[\"null\"," RECA("S", "T", "") "]", REC("T", ""), ""},
	{"record of another namespace in a union", "[\"null\"," REC("x.S", "") "]",
	REC("y.S", ""), ""},
	{"enum of another namespace in a union", "[\"null\"," ENUM("x.E", "\"A\"") "]",
	ENUM("y.E", "\"A\""), "NAMESPACE_MISMATCH $"},
	{"two branches of the name", "[" REC("x.S", "") "," REC("y.S", "") "]",
	REC("z.S", ""), "AMBIGUOUS_UNION_BRANCH $"},
	{"the branch of the full name is taken",
	"[" REC("x.S", F("n", "\"int\"")) "," REC("y.S", "") "]", REC("y.S", ""), ""},
	{"... and no other",
	"[" REC("x.S", F("n", "\"int\"")) "," REC("y.S", "") "]", REC("x.S", ""),
	"READER_FIELD_MISSING_DEFAULT_VALUE $.n"},

	/* type aliases that claim too much */
	{"alias of a type the reader has too",
	R(F("a", RECA("S", "a.T", "")) "," F("b", REC("T", ""))),
	R(F("a", REC("T", "")) "," F("b", "\"T\"")), "AMBIGUOUS_ALIAS $"},
	{"two types of the writer become one",
	R(F("a", RECA("S", "T", ""))),
	R(F("a", REC("S", "")) "," F("b", REC("T", ""))), "AMBIGUOUS_ALIAS $"},
	{"an alias that leads on",
	R(F("a", RECA("S", "T", "")) "," FD("b", "[\"null\"," RECA("U", "S", "") "]", "null")),
	R(F("a", REC("T", ""))), "AMBIGUOUS_ALIAS $"},
	{"fields of a record that is not read become one",
	R(FD("f", REC("B", FA("h", "\"int\"", "c")), "{\"h\":1}")),
	R(F("g", REC("B", F("c", "\"int\"") "," F("h", "\"int\"")))), "AMBIGUOUS_ALIAS $"},
	{"one alias for two types",
	R(F("a", RECA("S", "U", "")) "," F("b", RECA("T", "U", ""))),
	R(F("a", REC("U", "")) "," F("b", "\"U\"")), "AMBIGUOUS_ALIAS $"},

	/* logical types */
	{"the same decimal", DEC("8", "2"), DEC("8", "2"), ""},
	{"decimal of another precision", DEC("9", "2"), DEC("8", "2"),
	"DECIMAL_MISMATCH $"},
	{"decimal of another scale", DEC("8", "3"), DEC("8", "2"),
	"DECIMAL_MISMATCH $"},
	{"decimal no more", "\"bytes\"", DEC("8", "2"), "LOGICAL_TYPE_MISMATCH $"},
	{"decimal where none was", DEC("8", "2"), "\"bytes\"",
	"LOGICAL_TYPE_MISMATCH $"},
	{"millis as micros", L("long", "timestamp-micros"),
	L("long", "timestamp-millis"), "LOGICAL_TYPE_MISMATCH $"},
	{"local or not", L("long", "timestamp-micros"),
	L("long", "local-timestamp-micros"), "LOGICAL_TYPE_MISMATCH $"},
	{"date as long", "\"long\"", L("int", "date"), "LOGICAL_TYPE_MISMATCH $"},
	{"uuid as string", "\"string\"", L("string", "uuid"),
	"LOGICAL_TYPE_MISMATCH $"},
	{"an unknown logical type", L("long", "epoch-days"), L("long", "epoch-weeks"),
	"LOGICAL_TYPE_MISMATCH $"},
	{"one that does not fit counts as none", L("int", "uuid"), "\"int\"", ""},
	{"in a union", "[\"null\"," L("int", "date") "]", "[\"null\",\"int\"]",
	"LOGICAL_TYPE_MISMATCH $"},
	{"a union keeps the writer's type before a promotion",
	"[" DEC("4", "0") ",\"string\"]", "\"string\"", ""},

	/* recursion */
	{"a list of itself",
	REC("N", F("v", "\"long\"") "," F("next", "[\"null\",\"N\"]")),
	REC("N", F("v", "\"int\"") "," F("next", "[\"null\",\"N\"]")), ""},
	{"wrong at every turn, told once",
	REC("N", F("v", "\"int\"") "," F("next", "[\"null\",\"N\"]")),
	REC("N", F("v", "\"long\"") "," F("next", "[\"null\",\"N\"]")),
	"TYPE_MISMATCH $.v"},
	{"recursion through an alias",
	RECA("M", "N", FA("w", "\"int\"", "v") "," F("next", "[\"null\",\"M\"]")),
	REC("N", F("v", "\"int\"") "," F("next", "[\"null\",\"N\"]")), ""},
	{"unlike cycles",
	REC("A", F("x", REC("B", F("x", "[\"null\",\"A\"]")))),
	REC("A", F("x", "[\"null\",\"A\"]")),
	"TYPE_MISMATCH $.x, NAME_MISMATCH $.x"},
};

static void
test_cases(void)
{
	for (int i = 0; i < lengthof(cases); i++)
	{
		OutboxAvroSchema *reader = parse(cases[i].reader);
		OutboxAvroSchema *writer = parse(cases[i].writer);
		OutboxCompatViolations *list = outbox_compat_read(reader, writer);
		char	   *got = verdict(list);

		ok(strcmp(got, cases[i].wanted) == 0, cases[i].name);
		if (strcmp(got, cases[i].wanted) != 0)
			printf("# got    %s\n# wanted %s\n", got, cases[i].wanted);
		for (int j = 0; j < list->count; j++)
			if (list->items[j].message[0] == '\0' ||
				list->items[j].reader[0] == '\0' ||
				list->items[j].writer[0] == '\0')
				ok(false, "a violation says nothing");
		outbox_compat_free(list);
		list = outbox_compat_read(reader, reader);
		if (list->count > 0)
			ok(false, "a schema does not read itself");
		outbox_compat_free(list);
	}
}

static void
test_texts(void)
{
	OutboxCompatViolations *list =
	outbox_compat_read(parse(R(FD("e", ENUM("E", "\"A\""), "\"A\"") "," F("d", "[\"null\"," DEC("8", "2") "]") "," FD("n", "\"int\"", "1"))),
					   parse(R(F("e", ENUM("E", "\"C\",\"A\",\"B\"")) "," F("d", "[" DEC("9", "2") ",\"null\"]") "," F("n", "\"string\""))));

	ok(list->count == 3, "three violations");
	if (list->count != 3)
		return;
	ok(strcmp(list->items[0].message, "the reader's enum has no default and lacks \"C\", \"B\"") == 0 &&
	   strcmp(list->items[0].reader, "enum a.E") == 0,
	   "missing symbols are named");
	ok(strcmp(list->items[1].message, "decimal(9,2) was written, decimal(8,2) is read") == 0 &&
	   strcmp(list->items[1].writer, "bytes (decimal(9,2))") == 0,
	   "decimals are told with precision and scale");
	ok(strcmp(list->items[2].message, "string cannot be read as int") == 0,
	   "types are named");
}

/* Three versions: optional field added, then required one removed */
static void
test_levels(void)
{
	static const struct
	{
		OutboxCompatLevel level;
		const char *wanted;
	}			table[] =
	{
		{OUTBOX_COMPAT_NONE, ""},
		{OUTBOX_COMPAT_BACKWARD, ""},
		{OUTBOX_COMPAT_BACKWARD_TRANSITIVE, "0> $.c"},
		{OUTBOX_COMPAT_FORWARD, "1< $.a"},
		{OUTBOX_COMPAT_FORWARD_TRANSITIVE, "0< $.a 1< $.a"},
		{OUTBOX_COMPAT_FULL, "1< $.a"},
		{OUTBOX_COMPAT_FULL_TRANSITIVE, "0> $.c 0< $.a 1< $.a"},
	};
	const OutboxAvroSchema *old[2];
	OutboxAvroSchema *new_schema = parse(R(F("b", "\"int\"") "," F("c", "\"int\"")));
	OutboxCompatLevel level;

	old[0] = parse(R(F("a", "\"int\"") "," F("b", "\"int\"")));
	old[1] = parse(R(F("a", "\"int\"") "," F("b", "\"int\"") "," FD("c", "\"int\"", "0")));
	for (int i = 0; i < lengthof(table); i++)
	{
		OutboxCompatViolations *list = outbox_compat_check(new_schema, old, 2, table[i].level);
		StringInfoData got;

		initStringInfo(&got);
		for (int j = 0; j < list->count; j++)
			appendStringInfo(&got, "%s%d%c %s", j ? " " : "", list->items[j].version,
							 list->items[j].direction == OUTBOX_COMPAT_NEW_READS_OLD ? '>' : '<',
							 list->items[j].path);
		ok(strcmp(got.data, table[i].wanted) == 0, outbox_compat_level_name(table[i].level));
		if (strcmp(got.data, table[i].wanted) != 0)
			printf("# got %s\n", got.data);
		ok(outbox_compat_check(new_schema, old, 0, table[i].level)->count == 0,
		   "... the first version may be anything");
		ok(outbox_compat_level_parse(outbox_compat_level_name(table[i].level), &level) &&
		   level == table[i].level, "... and its name");
	}
	ok(outbox_compat_level_parse("full_transitive", &level) &&
	   level == OUTBOX_COMPAT_FULL_TRANSITIVE, "a level in lower case");
	ok(!outbox_compat_level_parse("Full", &level) &&
	   !outbox_compat_level_parse("", &level), "no level");
}

static double
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

/* A record of n fields of mixed types, every step-th renamed with alias. */
static char *
wide(int n, bool renamed)
{
	static const char *const types[] = {"\"int\"", "[\"null\",\"string\"]",
		"{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":10,\"scale\":2}",
	"[\"null\",{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}]"};
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoString(&out, "{\"type\":\"record\",\"name\":\"W\",\"fields\":[");
	for (int i = 0; i < n; i++)
		if (renamed && i % 7 == 0)
			appendStringInfo(&out, "%s{\"name\":\"new_name_%d\",\"type\":%s,\"aliases\":[\"some_column_%d\"]}",
							 i ? "," : "", i, types[i % 4], i);
		else
			appendStringInfo(&out, "%s{\"name\":\"some_column_%d\",\"type\":%s}",
							 i ? "," : "", i, types[i % 4]);
	appendStringInfoString(&out, "]}");
	return out.data;
}

static void
test_speed(void)
{
	OutboxAvroSchema *old = parse(wide(200, false));
	OutboxAvroSchema *renamed = parse(wide(200, true));
	OutboxAvroSchema *wide_old = parse(wide(20000, false));
	OutboxAvroSchema *wide_renamed = parse(wide(20000, true));
	double		start = now_ms();

	for (int i = 0; i < 100; i++)
		outbox_compat_free(outbox_compat_read(renamed, old));
	printf("# 200 fields, some renamed: %.3f ms (with sanitizers)\n",
		   (now_ms() - start) / 100);
	ok(outbox_compat_read(renamed, old)->count == 0, "200 fields");
	ok(outbox_compat_read(wide_renamed, wide_old)->count == 0, "20,000 fields");
}

/*
 * Each record refers to all others through a union, twice: trying branches
 * would take exponential time.  A chain of records, each met first through
 * the one before: recursion would be as deep.  Many violations: cut.
 */
#define CHAIN 3000

static void
test_bounds(void)
{
	StringInfoData dense[2];
	StringInfoData chain[2];
	OutboxCompatViolations *list;

	for (int version = 0; version < 2; version++)
	{
		StringInfo	s = &dense[version];

		initStringInfo(s);
		appendStringInfoChar(s, '[');
		for (int i = 0; i < 40; i++)
		{
			appendStringInfo(s, "%s{\"type\":\"record\",\"name\":\"R%d\",\"fields\":[", i ? "," : "", i);
			for (int f = 0; f < 2; f++)
			{
				appendStringInfo(s, "%s{\"name\":\"f%d\",\"type\":[\"null\"", f ? "," : "", f);
				for (int j = 0; j <= i; j++)
					appendStringInfo(s, ",\"R%d\"", j);
				appendStringInfoString(s, "]}");
			}
			appendStringInfo(s, ",{\"name\":\"v\",\"type\":\"%s\"}]}", version ? "long" : "int");
		}
		appendStringInfoChar(s, ']');
	}
	ok(outbox_compat_read(parse(dense[1].data), parse(dense[0].data))->count == 0,
	   "records that all refer to each other");
	list = outbox_compat_read(parse(dense[0].data), parse(dense[1].data));
	ok(list->count == 40 && !list->cut, "... each wrong place once");

	for (int version = 0; version < 2; version++)
	{
		initStringInfo(&chain[version]);
		appendStringInfoString(&chain[version], "{\"type\":\"record\",\"name\":\"C\",\"fields\":[");
		for (int i = 0; i < CHAIN; i++)
		{
			/* only the last field is in both */
			appendStringInfo(&chain[version], "%s{\"name\":\"%c%d\",\"default\":null,\"type\":[\"null\",{\"type\":\"record\",\"name\":\"R%d\",\"fields\":[",
							 i ? "," : "", i == CHAIN - 1 ? 'z' : 'a' + version, i, i);
			if (i > 0)
				appendStringInfo(&chain[version], "{\"name\":\"f\",\"type\":\"R%d\"}]}]}", i - 1);
			else
				appendStringInfo(&chain[version], "{\"name\":\"f\",\"type\":\"%s\"}]}]}", version ? "long" : "int");
		}
		appendStringInfoString(&chain[version], "]}");
	}
	ok(outbox_compat_read(parse(chain[1].data), parse(chain[0].data))->count == 0,
	   "a chain of records");
	list = outbox_compat_read(parse(chain[0].data), parse(chain[1].data));
	ok(list->count == 1 && strlen(list->items[0].path) < 300,
	   "... wrong at its end");

	list = outbox_compat_read(parse(wide(3000, false)), parse(R("")));
	ok(list->count == OUTBOX_COMPAT_MAX_VIOLATIONS && list->cut,
	   "a list that is cut says so");
}

int
main(void)
{
	test_cases();
	test_texts();
	test_levels();
	test_speed();
	test_bounds();
	return done();
}
