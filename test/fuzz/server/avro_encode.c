/*-------------------------------------------------------------------------
 *
 * avro_encode.c
 *		Fuzz target: the JSON encoder, inside a backend.
 *
 * The encoder works on jsonb and numeric, so it is fuzzed where these are: a
 * library that a single-user backend loads (server/backend), with libFuzzer,
 * the sanitizers and an instrumented copy of src/avro in it.  What is palloc'd
 * comes from a memory context where each piece is a malloc() of its own, whose
 * bounds the address sanitizer watches (on 15, whose kinds of contexts can be
 * added to; later ones use the common kind, which hides most of them).
 *
 * Input: a schema, a zero byte, JSON.  Checked beyond "does not crash": the
 * fast way from JSON text to jsonb makes what jsonb_in() makes, and takes no
 * text that jsonb_in() refuses; what was encoded validates and decodes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "avro/pg_model.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "nodes/memnodes.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(fuzz_avro_encode);

extern int	LLVMFuzzerRunDriver(int *argc, char ***argv,
								int (*one) (const uint8 *data, size_t size));

static MemoryContext work;

static void
die(const char *what)
{
	fprintf(stderr, "%s\n", what);
	abort();
}

/* ---- a context of single pieces ---- */

#if PG_VERSION_NUM < 160000

/* The context stands right before a piece, where pfree() looks for it. */
typedef struct Piece
{
	struct Piece *next;
	struct Piece *prev;
	Size		size;
	MemoryContext context;
} Piece;

typedef struct PieceContext
{
	MemoryContextData header;
	Piece		list;			/* ring */
} PieceContext;

static void *
piece_alloc(MemoryContext context, Size size)
{
	PieceContext *c = (PieceContext *) context;
	Piece	   *p = malloc(sizeof(Piece) + size);

	if (p == NULL)
		return NULL;
	p->size = size;
	p->context = context;
	p->prev = &c->list;
	p->next = c->list.next;
	p->next->prev = p;
	c->list.next = p;
	/* nothing may rely on zeroes */
	memset(p + 1, 0x7F, size);
	return p + 1;
}

static void
piece_free(MemoryContext context, void *pointer)
{
	Piece	   *p = (Piece *) pointer - 1;

	if (p->context != context)
		die("something was written before a piece of memory");
	p->next->prev = p->prev;
	p->prev->next = p->next;
	free(p);
}

static void *
piece_realloc(MemoryContext context, void *pointer, Size size)
{
	void	   *copy = piece_alloc(context, size);

	if (copy == NULL)
		return NULL;
	memcpy(copy, pointer, Min(((Piece *) pointer - 1)->size, size));
	piece_free(context, pointer);
	return copy;
}

static void
piece_reset(MemoryContext context)
{
	PieceContext *c = (PieceContext *) context;

	while (c->list.next != &c->list)
		piece_free(context, c->list.next + 1);
}

static Size
piece_space(MemoryContext context, void *pointer)
{
	return ((Piece *) pointer - 1)->size + sizeof(Piece);
}

static bool
piece_is_empty(MemoryContext context)
{
	PieceContext *c = (PieceContext *) context;

	return c->list.next == &c->list;
}

static void
piece_stats(MemoryContext context, MemoryStatsPrintFunc printfunc,
			void *passthru, MemoryContextCounters *totals,
			bool print_to_stderr)
{
}

static const MemoryContextMethods piece_methods = {
	.alloc = piece_alloc,
	.free_p = piece_free,
	.realloc = piece_realloc,
	.reset = piece_reset,
	.delete_context = piece_reset,
	.get_chunk_space = piece_space,
	.is_empty = piece_is_empty,
	.stats = piece_stats,
};

static MemoryContext
make_context(void)
{
	PieceContext *c = calloc(1, sizeof(PieceContext));

	c->list.next = c->list.prev = &c->list;
	MemoryContextCreate(&c->header, T_AllocSetContext, &piece_methods,
						TopMemoryContext, "fuzz");
	return &c->header;
}

#else

static MemoryContext
make_context(void)
{
	return AllocSetContextCreate(TopMemoryContext, "fuzz",
								 ALLOCSET_DEFAULT_SIZES);
}

#endif

/* ---- the target ---- */

static char *
copy_text(const uint8 *data, size_t len)
{
	char	   *s = palloc(len + 1);

	if (len > 0)
		memcpy(s, data, len);
	s[len] = '\0';
	return s;
}

/* Whether the fast way took the text of which jsonb_in() has not said yet. */
static bool awaits_jsonb_in;

static Jsonb *
parse_json(const uint8 *json, size_t len)
{
	Jsonb	   *fast = outbox_avro_plain_json((const char *) json, (int) len);
	Jsonb	   *value;

	awaits_jsonb_in = fast != NULL;
	value = DatumGetJsonbP(DirectFunctionCall1(jsonb_in,
											   CStringGetDatum(copy_text(json, len))));
	awaits_jsonb_in = false;
	if (fast != NULL && (VARSIZE(fast) != VARSIZE(value) ||
						 memcmp(fast, value, VARSIZE(value)) != 0))
		die("jsonb made the fast way is another");
	return value;
}

static void
encode(const uint8 *schema_text, size_t schema_len, const uint8 *json,
	   size_t json_len)
{
	OutboxAvroError error;
	OutboxAvroSchema *schema;
	OutboxAvroJsonPlan *plan;
	StringInfoData out;
	StringInfoData text;
	Jsonb	   *value;

	if (!pg_verifymbstr((const char *) json, (int) json_len, true))
		return;
	value = parse_json(json, json_len);
	schema = outbox_avro_parse(copy_text(schema_text, schema_len), schema_len,
							   &error);
	if (schema == NULL)
		return;
	plan = outbox_avro_plan_jsonb(schema);
	initStringInfo(&out);
	outbox_avro_encode_jsonb(plan, value, &out);
	if (!outbox_avro_validate(schema, out.data, out.len, &error))
	{
		fprintf(stderr, "%s: %s\n", error.path, error.message);
		die("what was encoded is not valid");
	}
	initStringInfo(&text);
	if (!outbox_avro_decode(schema, out.data, out.len, false, &text, &error) &&
		strcmp(error.message, "decoded value is too long") != 0)
	{
		fprintf(stderr, "%s: %s\n", error.path, error.message);
		die("what was encoded does not decode");
	}
}

static int
one(const uint8 *data, size_t size)
{
	const uint8 *zero = memchr(data, 0, size);
	MemoryContext old = MemoryContextSwitchTo(work);

	if (zero != NULL)
	{
		PG_TRY();
		{
			encode(data, zero - data, zero + 1, data + size - zero - 1);
		}
		PG_CATCH();
		{
			/* values that do not fit are errors; nothing else is held */
			if (awaits_jsonb_in)
				die("the fast way took a text that jsonb_in() refuses");
			MemoryContextSwitchTo(work);
			FlushErrorState();
		}
		PG_END_TRY();
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(work);
	return 0;
}

/* fuzz_avro_encode(text[]): libFuzzer's arguments; does not return. */
Datum
fuzz_avro_encode(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	Datum	   *values;
	bool	   *nulls;
	int			count;
	int			argc;
	char	  **argv;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &values,
					  &nulls, &count);
	argv = palloc0((count + 2) * sizeof(char *));
	argv[0] = "avro_encode";
	for (int i = 0; i < count; i++)
		argv[i + 1] = TextDatumGetCString(values[i]);
	argc = count + 1;
	work = make_context();
	PG_RETURN_INT32(LLVMFuzzerRunDriver(&argc, &argv, one));
}
