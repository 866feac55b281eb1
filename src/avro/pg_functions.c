/*-------------------------------------------------------------------------
 *
 * pg_functions.c
 *		SQL functions: avro_encode, avro_decode, decode, avro_canonical,
 *		avro_fingerprint, avro_schema.
 *
 * Parsing a schema and compiling a plan cost far more than encoding a value,
 * so each call site keeps the last few in fn_extra: by schema text (and row
 * type), or by schema id, which names an immutable row.  An entry lives in a
 * context of its own under fn_mcxt; the oldest makes room.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "avro/pg_model.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

PG_FUNCTION_INFO_V1(outbox_avro_encode_jsonb_sql);
PG_FUNCTION_INFO_V1(outbox_avro_encode_text_sql);
PG_FUNCTION_INFO_V1(outbox_avro_encode_row_sql);
PG_FUNCTION_INFO_V1(outbox_avro_decode_sql);
PG_FUNCTION_INFO_V1(outbox_decode_framed_sql);
PG_FUNCTION_INFO_V1(outbox_avro_canonical_sql);
PG_FUNCTION_INFO_V1(outbox_avro_fingerprint_sql);
PG_FUNCTION_INFO_V1(outbox_avro_schema_sql);

#define CACHE_SIZE 16

#define FRAME_MAGIC 0
#define FRAME_HEADER 5

typedef struct CacheEntry
{
	MemoryContext context;		/* NULL: free */
	char	   *text;			/* key: schema text, */
	int			text_len;
	uint32		id;				/* or schema id when text is NULL */
	OutboxAvroSchema *schema;
	OutboxAvroJsonPlan *json_plan;	/* made on first use */
	OutboxAvroRowPlan *row_plan;	/* for the row type below */
	MemoryContext row_context;
	Oid			row_type;
	int32		row_typmod;
	uint64		row_desc_id;	/* typcache's: changes with the type */
} CacheEntry;

typedef struct Cache
{
	CacheEntry	entries[CACHE_SIZE];
	int			last;			/* used last: looked at first */
	int			next;			/* to be replaced next */
} Cache;

static Cache *
get_cache(FunctionCallInfo fcinfo)
{
	if (fcinfo->flinfo->fn_extra == NULL)
		fcinfo->flinfo->fn_extra =
			MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(Cache));
	return fcinfo->flinfo->fn_extra;
}

static bool
entry_matches(const CacheEntry *e, const char *text, int len, uint32 id)
{
	if (e->context == NULL || e->schema == NULL)
		return false;
	if (text == NULL)
		return e->text == NULL && e->id == id;
	return e->text != NULL && e->text_len == len &&
		memcmp(e->text, text, len) == 0;
}

static CacheEntry *
find_entry(Cache *cache, const char *text, int len, uint32 id)
{
	if (entry_matches(&cache->entries[cache->last], text, len, id))
		return &cache->entries[cache->last];
	for (int i = 0; i < CACHE_SIZE; i++)
	{
		if (entry_matches(&cache->entries[i], text, len, id))
		{
			cache->last = i;
			return &cache->entries[i];
		}
	}
	return NULL;
}

/* A new entry; definition is parsed into its context. */
static CacheEntry *
add_entry(FunctionCallInfo fcinfo, Cache *cache, const char *text, int len,
		  uint32 id, const char *definition, size_t definition_len)
{
	CacheEntry *e = &cache->entries[cache->next];
	MemoryContext old;

	if (e->context != NULL)
		MemoryContextDelete(e->context);
	memset(e, 0, sizeof(*e));
	e->context = AllocSetContextCreate(fcinfo->flinfo->fn_mcxt,
									   "outbox avro schema",
									   ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(e->context);
	e->text = text == NULL ? NULL : pnstrdup(text, len);
	e->text_len = len;
	e->id = id;
	/* on error the entry has no schema and matches nothing */
	e->schema = outbox_avro_parse_or_error(definition, definition_len);
	MemoryContextSwitchTo(old);
	cache->last = cache->next;
	cache->next = (cache->next + 1) % CACHE_SIZE;
	return e;
}

static CacheEntry *
schema_argument(FunctionCallInfo fcinfo, int n)
{
	text	   *arg = PG_GETARG_TEXT_PP(n);
	const char *s = VARDATA_ANY(arg);
	int			len = VARSIZE_ANY_EXHDR(arg);
	Cache	   *cache = get_cache(fcinfo);
	CacheEntry *e = find_entry(cache, s, len, 0);

	if (e == NULL)
		e = add_entry(fcinfo, cache, s, len, 0, s, len);
	PG_FREE_IF_COPY(arg, n);
	return e;
}

/* A StringInfo that begins with room for a varlena header. */
static void
begin_bytea(StringInfo out)
{
	initStringInfo(out);
	out->len = VARHDRSZ;
}

static Datum
finish_bytea(StringInfo out)
{
	SET_VARSIZE(out->data, out->len);
	return PointerGetDatum(out->data);
}

static Datum
encode_jsonb(CacheEntry *e, Jsonb *value)
{
	StringInfoData out;

	if (e->json_plan == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(e->context);

		e->json_plan = outbox_avro_plan_jsonb(e->schema);
		MemoryContextSwitchTo(old);
	}
	begin_bytea(&out);
	outbox_avro_encode_jsonb(e->json_plan, value, &out);
	return finish_bytea(&out);
}

Datum
outbox_avro_encode_jsonb_sql(PG_FUNCTION_ARGS)
{
	CacheEntry *e = schema_argument(fcinfo, 0);

	PG_RETURN_DATUM(encode_jsonb(e, PG_GETARG_JSONB_P(1)));
}

Datum
outbox_avro_encode_text_sql(PG_FUNCTION_ARGS)
{
	CacheEntry *e = schema_argument(fcinfo, 0);
	char	   *json = text_to_cstring(PG_GETARG_TEXT_PP(1));
	Datum		value = DirectFunctionCall1(jsonb_in, CStringGetDatum(json));

	PG_RETURN_DATUM(encode_jsonb(e, DatumGetJsonbP(value)));
}

/*
 * The plan for this row type.  The type cache's identifier of a named type's
 * tuple descriptor changes whenever the type does; that of an anonymous record
 * never does.
 */
static OutboxAvroRowPlan *
row_plan(CacheEntry *e, HeapTupleHeader row)
{
	Oid			type = HeapTupleHeaderGetTypeId(row);
	int32		typmod = HeapTupleHeaderGetTypMod(row);
	uint64		desc_id = assign_record_type_identifier(type, typmod);
	TupleDesc	desc;
	MemoryContext old;

	if (e->row_plan != NULL && e->row_type == type &&
		e->row_typmod == typmod && e->row_desc_id == desc_id)
		return e->row_plan;

	e->row_plan = NULL;
	if (e->row_context != NULL)
		MemoryContextReset(e->row_context);
	else
		e->row_context = AllocSetContextCreate(e->context, "outbox avro row",
											   ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(e->row_context);
	desc = lookup_rowtype_tupdesc_copy(type, typmod);
	e->row_plan = outbox_avro_plan_row(e->schema, desc);
	MemoryContextSwitchTo(old);
	e->row_type = type;
	e->row_typmod = typmod;
	e->row_desc_id = desc_id;
	return e->row_plan;
}

Datum
outbox_avro_encode_row_sql(PG_FUNCTION_ARGS)
{
	CacheEntry *e = schema_argument(fcinfo, 0);
	HeapTupleHeader row = PG_GETARG_HEAPTUPLEHEADER(1);
	OutboxAvroRowPlan *plan = row_plan(e, row);
	StringInfoData out;

	begin_bytea(&out);
	outbox_avro_encode_row(plan, PointerGetDatum(row), &out);
	PG_RETURN_DATUM(finish_bytea(&out));
}

static Datum
decode_to_jsonb(const OutboxAvroSchema *schema, const char *data, size_t len,
				bool avro_json)
{
	StringInfoData text;
	OutboxAvroError error;
	char	   *json;
	Datum		result;

	initStringInfo(&text);
	if (!outbox_avro_decode(schema, data, len, avro_json, &text, &error))
		outbox_avro_throw(&error);
	json = GetDatabaseEncoding() == PG_UTF8 ? text.data :
		pg_any_to_server(text.data, text.len, PG_UTF8);
	result = DirectFunctionCall1(jsonb_in, CStringGetDatum(json));
	pfree(text.data);
	return result;
}

Datum
outbox_avro_decode_sql(PG_FUNCTION_ARGS)
{
	CacheEntry *e = schema_argument(fcinfo, 0);
	bytea	   *value = PG_GETARG_BYTEA_PP(1);

	PG_RETURN_DATUM(decode_to_jsonb(e->schema, VARDATA_ANY(value),
									VARSIZE_ANY_EXHDR(value),
									PG_GETARG_BOOL(2)));
}

Datum
outbox_decode_framed_sql(PG_FUNCTION_ARGS)
{
	bytea	   *value = PG_GETARG_BYTEA_PP(0);
	const uint8 *data = (const uint8 *) VARDATA_ANY(value);
	int			len = VARSIZE_ANY_EXHDR(value);
	Cache	   *cache = get_cache(fcinfo);
	CacheEntry *e;
	uint32		id;

	if (len < FRAME_HEADER || data[0] != FRAME_MAGIC)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("value is not framed Avro"),
				 errdetail(
						"It must begin with a zero byte and a schema id of "
						"four bytes.")));
	id = (uint32) data[1] << 24 | (uint32) data[2] << 16 |
		(uint32) data[3] << 8 | data[4];
	e = find_entry(cache, NULL, 0, id);
	if (e == NULL)
	{
		char	   *definition = avro_stored_schema(id);

		if (definition == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("schema id %u is not known in this database", id)));
		e = add_entry(fcinfo, cache, NULL, 0, id, definition,
					  strlen(definition));
	}
	PG_RETURN_DATUM(decode_to_jsonb(e->schema,
									(const char *) data + FRAME_HEADER,
									len - FRAME_HEADER, false));
}

Datum
outbox_avro_canonical_sql(PG_FUNCTION_ARGS)
{
	text	   *arg = PG_GETARG_TEXT_PP(0);
	StringInfoData out;

	/* Names only, so ASCII in every encoding. */
	initStringInfo(&out);
	outbox_avro_canonical(outbox_avro_parse_or_error(VARDATA_ANY(arg),
													 VARSIZE_ANY_EXHDR(arg)),
						  &out);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(out.data, out.len));
}

Datum
outbox_avro_fingerprint_sql(PG_FUNCTION_ARGS)
{
	text	   *arg = PG_GETARG_TEXT_PP(0);
	char	   *algorithm = text_to_cstring(PG_GETARG_TEXT_PP(1));
	OutboxAvroSchema *schema =
		outbox_avro_parse_or_error(VARDATA_ANY(arg), VARSIZE_ANY_EXHDR(arg));
	StringInfoData out;

	begin_bytea(&out);
	if (strcmp(algorithm, "sha256") == 0)
	{
		uint8		hash[32];

		outbox_avro_sha256(schema, hash);
		appendBinaryStringInfo(&out, (char *) hash, sizeof(hash));
	}
	else if (strcmp(algorithm, "crc64") == 0)
		avro_put_le(&out, outbox_avro_crc64(schema), 8);
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown fingerprint algorithm \"%s\"", algorithm),
				 errhint("The algorithms are \"sha256\" and \"crc64\".")));
	PG_RETURN_DATUM(finish_bytea(&out));
}

Datum
outbox_avro_schema_sql(PG_FUNCTION_ARGS)
{
	char	   *name = PG_ARGISNULL(1) ? NULL :
		text_to_cstring(PG_GETARG_TEXT_PP(1));
	char	   *name_space = PG_ARGISNULL(2) ? NULL :
		text_to_cstring(PG_GETARG_TEXT_PP(2));

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(
									 outbox_avro_schema_of_type(PG_GETARG_OID(0), -1,
																name, name_space)));
}
