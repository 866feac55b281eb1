/*-------------------------------------------------------------------------
 *
 * registry.c
 *		What the registry's HTTP API asks of schemas: register, look up, check.
 *
 * The functions mean what the Confluent Schema Registry API means by these
 * words; errors carry its codes (errors.h).  The rest of that API is SQL
 * (registry.sql).  Any Avro schema may come this way, also one that is no
 * record.  Whoever may execute registry_register() may add versions to any
 * subject: see grant_registry().  Owns no state.
 *
 * Results are copied out of the SPI memory of the owner scope before it ends.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/owner.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "schema/check.h"
#include "schema/errors.h"
#include "schema/refs.h"
#include "schema/schema.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

PG_FUNCTION_INFO_V1(outbox_registry_register);
PG_FUNCTION_INFO_V1(outbox_registry_lookup);
PG_FUNCTION_INFO_V1(outbox_registry_check);
PG_FUNCTION_INFO_V1(outbox_registry_open_subject);

static char *
text_argument(FunctionCallInfo fcinfo, int n, const char *what)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", what)));
	return text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/* References as text; an empty array is none. */
static char *
refs_argument(FunctionCallInfo fcinfo, int n)
{
	Jsonb	   *refs;

	if (PG_ARGISNULL(n))
		return NULL;
	refs = PG_GETARG_JSONB_P(n);
	if (JB_ROOT_IS_ARRAY(refs) && !JB_ROOT_IS_SCALAR(refs) &&
		JB_ROOT_COUNT(refs) == 0)
		return NULL;
	return JsonbToCString(NULL, &refs->root, VARSIZE(refs));
}

/* (id, version, definition, refs) of a version; rows of SQL functions. */
static Datum
version_result(FunctionCallInfo fcinfo, MemoryContext context,
			   const char *subject, int32 version)
{
	Oid			types[] = {TEXTOID, INT4OID};
	Datum		values[] = {
		CStringGetTextDatum(subject), Int32GetDatum(version)
	};
	TupleDesc	desc;
	MemoryContext old;
	char	   *columns[4];
	HeapTuple	tuple;

	(void) outbox_owner_execute("SELECT s.id, v.version, s.definition, s.refs"
								" FROM outbox.schema_version v"
								" JOIN outbox.schema s ON s.id OPERATOR(pg_catalog.=) v.schema_id"
								" WHERE v.subject OPERATOR(pg_catalog.=) $1"
								" AND v.version OPERATOR(pg_catalog.=) $2",
								2, types, values, NULL);
	for (int i = 0; i < lengthof(columns); i++)
		columns[i] = outbox_owner_result_text(i + 1);
	old = MemoryContextSwitchTo(context);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("this function returns a row")));
	tuple = BuildTupleFromCStrings(TupleDescGetAttInMetadata(desc), columns);
	MemoryContextSwitchTo(old);
	return HeapTupleGetDatum(tuple);
}

/* What the subject's mode allows: ids of one's own in IMPORT alone. */
static void
check_mode(const OutboxSubjectState *subject, uint32 wanted_id)
{
	const char *needed = wanted_id != 0 ? "IMPORT" : "READWRITE";

	if (strcmp(subject->mode, needed) != 0)
		ereport(ERROR,
				(errcode(OUTBOX_ERRCODE_NOT_PERMITTED),
				 errmsg("subject \"%s\" is not in mode %s but %s",
						subject->name, needed, subject->mode)));
}

static void
check_version(const OutboxSubjectState *subject, uint32 wanted_id,
			  int32 wanted_version)
{
	if (wanted_version < 0 ||
		(wanted_id == 0 && wanted_version != 0 &&
		 wanted_version != subject->last_version + 1))
		ereport(ERROR,
				(errcode(OUTBOX_ERRCODE_INVALID_VERSION),
				 errmsg("version %d is not the next one of subject \"%s\"",
						wanted_version, subject->name),
				 errdetail("The next version is %d.",
						   subject->last_version + 1)));
}

static void
check_level(const OutboxParsedSchema *parsed, const OutboxSubjectState *subject)
{
	OutboxCompatLevel level = outbox_check_level(subject->level);
	OutboxCheckBase base;
	OutboxCompatViolations *list;

	outbox_check_base_all(subject->name, &base);
	list = outbox_compat_check(parsed->schema, base.schemas, base.count, level);
	if (list->count > 0)
		outbox_check_throw(subject->name, level, &base, list);
}

/* The version that has it now, added when there is none. */
static int32
take_schema(const char *name, const OutboxParsedSchema *parsed, Oid role,
			uint32 wanted_id, int32 wanted_version)
{
	OutboxSubjectState subject;
	uint32		id;
	int32		version = 0;

	outbox_subject_open(name, role, &subject);
	id = outbox_store_find(&parsed->text);
	if (id != 0 && (wanted_id == 0 || wanted_id == id))
		version = outbox_version_find(&subject, id);
	if (version != 0)
		return version;
	check_mode(&subject, wanted_id);
	check_version(&subject, wanted_id, wanted_version);
	if (wanted_id == 0)
		check_level(parsed, &subject);
	id = outbox_store_add(&parsed->text, role, wanted_id);
	return outbox_version_add(&subject, id, wanted_version, role);
}

/*
 * registry_register(subject_name, schema, schema_refs, wanted_id,
 * wanted_version).  Texts are always normalised.
 */
Datum
outbox_registry_register(PG_FUNCTION_ARGS)
{
	char	   *subject = text_argument(fcinfo, 0, "subject");
	char	   *schema = text_argument(fcinfo, 1, "schema");
	char	   *refs = refs_argument(fcinfo, 2);
	int32		id = PG_ARGISNULL(3) ? 0 : PG_GETARG_INT32(3);
	int32		version = PG_ARGISNULL(4) ? 0 : PG_GETARG_INT32(4);
	MemoryContext context = CurrentMemoryContext;
	OutboxOwnerScope scope;
	OutboxParsedSchema parsed;
	Datum		result;

	if (id < 0)
		ereport(ERROR,
				(errcode(OUTBOX_ERRCODE_INVALID_SCHEMA),
				 errmsg("schema id %d is not positive", id)));
	outbox_owner_begin(&scope);
	outbox_refs_parse(schema, refs, &parsed);
	version = take_schema(subject, &parsed, scope.caller, (uint32) id, version);
	result = version_result(fcinfo, context, subject, version);
	outbox_owner_end(&scope);
	PG_RETURN_DATUM(result);
}

/* The version of a subject with this schema, 0 = none. */
static int32
find_version(const char *subject, uint32 id, bool deleted)
{
	Oid			types[] = {TEXTOID, INT4OID, BOOLOID};
	Datum		values[] = {
		CStringGetTextDatum(subject), Int32GetDatum((int32) id),
		BoolGetDatum(deleted)
	};

	if (outbox_owner_execute("SELECT v.version FROM outbox.schema_version v"
							 " WHERE v.subject OPERATOR(pg_catalog.=) $1"
							 " AND v.schema_id OPERATOR(pg_catalog.=) $2"
							 " AND ($3 OR NOT v.deleted)"
							 " ORDER BY v.deleted, v.version DESC LIMIT 1",
							 3, types, values, NULL) == 0)
		return 0;
	return outbox_owner_result_int();
}

static void
require_subject(const char *subject, bool deleted)
{
	Oid			types[] = {TEXTOID, BOOLOID};
	Datum		values[] = {CStringGetTextDatum(subject), BoolGetDatum(deleted)};

	if (outbox_owner_execute("SELECT 1 FROM outbox.schema_version v"
							 " WHERE v.subject OPERATOR(pg_catalog.=) $1"
							 " AND ($2 OR NOT v.deleted) LIMIT 1",
							 2, types, values, NULL) == 0)
		ereport(ERROR,
				(errcode(OUTBOX_ERRCODE_SUBJECT_NOT_FOUND),
				 errmsg("subject \"%s\" not found", subject)));
}

/* registry_lookup(subject_name, schema, schema_refs, deleted) */
Datum
outbox_registry_lookup(PG_FUNCTION_ARGS)
{
	char	   *subject = text_argument(fcinfo, 0, "subject");
	char	   *schema = text_argument(fcinfo, 1, "schema");
	char	   *refs = refs_argument(fcinfo, 2);
	bool		deleted = !PG_ARGISNULL(3) && PG_GETARG_BOOL(3);
	MemoryContext context = CurrentMemoryContext;
	OutboxOwnerScope scope;
	OutboxParsedSchema parsed;
	uint32		id;
	int32		version;
	Datum		result;

	outbox_owner_begin(&scope);
	require_subject(subject, deleted);
	outbox_refs_parse(schema, refs, &parsed);
	id = outbox_store_find(&parsed.text);
	version = id == 0 ? 0 : find_version(subject, id, deleted);
	if (version == 0)
		ereport(ERROR,
				(errcode(OUTBOX_ERRCODE_SCHEMA_NOT_FOUND),
				 errmsg("subject \"%s\" has no such schema", subject)));
	result = version_result(fcinfo, context, subject, version);
	outbox_owner_end(&scope);
	PG_RETURN_DATUM(result);
}

/* The versions to hold a schema against: all, or the one that was named. */
static void
find_base(const char *subject, const char *number, OutboxCheckBase *base)
{
	Oid			types[] = {TEXTOID, TEXTOID};
	Datum		values[] = {
		CStringGetTextDatum(subject),
		number == NULL ? (Datum) 0 : CStringGetTextDatum(number)
	};

	if (number == NULL)
	{
		outbox_check_base_all(subject, base);
		return;
	}
	(void) outbox_owner_execute("SELECT v.id, v.version::pg_catalog.text FROM"
								" outbox.registry_version($1, $2) v",
								2, types, values, NULL);
	outbox_check_base_one((uint32) outbox_owner_result_int(),
						  atoi(outbox_owner_result_text(2)), base);
}

static char *
level_of(const char *subject)
{
	Oid			types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(subject)};

	(void) outbox_owner_execute("SELECT 1, outbox.level_of($1)", 1, types,
								values, NULL);
	return outbox_owner_result_text(2);
}

/* Violations as text[], made in context. */
static Datum
message_array(MemoryContext context, const OutboxCheckBase *base,
			  const OutboxCompatViolations *list)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	Datum	   *texts = palloc((list->count + 1) * sizeof(Datum));
	ArrayType  *array;

	for (int i = 0; i < list->count; i++)
		texts[i] = CStringGetTextDatum(outbox_check_text(base, &list->items[i]));
	array = construct_array(texts, list->count, TEXTOID, -1, false,
							TYPALIGN_INT);
	MemoryContextSwitchTo(old);
	return PointerGetDatum(array);
}

/*
 * registry_check(subject_name, version_name, schema, schema_refs)
 * -> (is_compatible, messages); version_name null: as registering would.
 */
Datum
outbox_registry_check(PG_FUNCTION_ARGS)
{
	char	   *subject = text_argument(fcinfo, 0, "subject");
	char	   *number = PG_ARGISNULL(1) ? NULL : text_argument(fcinfo, 1, "");
	char	   *schema = text_argument(fcinfo, 2, "schema");
	char	   *refs = refs_argument(fcinfo, 3);
	MemoryContext context = CurrentMemoryContext;
	OutboxOwnerScope scope;
	OutboxParsedSchema parsed;
	OutboxCheckBase base;
	OutboxCompatViolations *list;
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2] = {0};

	outbox_owner_begin(&scope);
	find_base(subject, number, &base);
	outbox_refs_parse(schema, refs, &parsed);
	list = outbox_compat_check(parsed.schema, base.schemas, base.count,
							   outbox_check_level(level_of(subject)));
	values[0] = BoolGetDatum(list->count == 0);
	values[1] = message_array(context, &base, list);
	outbox_owner_end(&scope);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("this function returns a row")));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc),
													  values, nulls)));
}

/* registry_open_subject(subject_name): add it, hold it; for registry.sql. */
Datum
outbox_registry_open_subject(PG_FUNCTION_ARGS)
{
	char	   *name = text_argument(fcinfo, 0, "subject");
	OutboxOwnerScope scope;
	OutboxSubjectState subject;

	outbox_owner_begin(&scope);
	outbox_subject_open(name, GetSessionUserId(), &subject);
	outbox_owner_end(&scope);
	PG_RETURN_VOID();
}
