/*-------------------------------------------------------------------------
 *
 * pg_compat.c
 *		SQL function check_compatibility: compat.h as rows.
 *
 * Pure: looks at its arguments alone.  Null is an error, not "no violation".
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "avro/compat.h"
#include "avro/pg_model.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(outbox_check_compatibility_sql);

/* Says in an error which of the old schemas it is about. */
static void
old_schema_context(void *arg)
{
	errcontext("element %d of the old schemas", *(int *) arg);
}

static OutboxAvroSchema *
parse_text(Datum value)
{
	text	   *t = DatumGetTextPP(value);

	return outbox_avro_parse_or_error(VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t));
}

static const OutboxAvroSchema **
parse_old(ArrayType *array, int *count)
{
	const OutboxAvroSchema **old;
	ErrorContextCallback callback;
	Datum	   *values;
	bool	   *nulls;
	int			at = 0;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &values,
					  &nulls, count);
	old = palloc((*count + 1) * sizeof(*old));
	callback.callback = old_schema_context;
	callback.arg = &at;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	for (int i = 0; i < *count; i++)
	{
		at = i + 1;
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("a schema must not be null")));
		old[i] = parse_text(values[i]);
	}
	error_context_stack = callback.previous;
	return old;
}

static OutboxCompatLevel
parse_level(text *name)
{
	OutboxCompatLevel level;
	char	   *s = text_to_cstring(name);

	if (!outbox_compat_level_parse(s, &level))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid compatibility level \"%s\"", s),
				 errhint("Use NONE, BACKWARD, FORWARD, FULL or one of the last three with _TRANSITIVE.")));
	return level;
}

static Datum
text_datum(const char *s)
{
	if (GetDatabaseEncoding() != PG_UTF8)
		s = pg_any_to_server(s, strlen(s), PG_UTF8);
	return CStringGetTextDatum(s);
}

static void
put_row(ReturnSetInfo *result, const OutboxCompatViolation *v)
{
	Datum		values[7];
	bool		nulls[7] = {0};

	values[0] = text_datum(v->rule);
	values[1] = text_datum(v->path);
	values[2] = text_datum(v->reader);
	values[3] = text_datum(v->writer);
	values[4] = text_datum(v->message);
	values[5] = Int32GetDatum(v->version + 1);
	values[6] = text_datum(v->direction == OUTBOX_COMPAT_NEW_READS_OLD ?
						   "backward" : "forward");
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

Datum
outbox_check_compatibility_sql(PG_FUNCTION_ARGS)
{
	OutboxCompatViolations *list;
	OutboxAvroSchema *new_schema;
	const OutboxAvroSchema **old;
	OutboxCompatLevel level;
	MemoryContext work;
	MemoryContext caller;
	int			count;

	for (int i = 0; i < 3; i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("schemas and level must not be null")));
	InitMaterializedSRF(fcinfo, 0);

	/* schemas are many small pieces: away with them at once */
	work = AllocSetContextCreate(CurrentMemoryContext, "outbox compatibility",
								 ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(work);
	level = parse_level(PG_GETARG_TEXT_PP(2));
	new_schema = parse_text(PG_GETARG_DATUM(0));
	old = parse_old(PG_GETARG_ARRAYTYPE_P(1), &count);
	list = outbox_compat_check(new_schema, old, count, level);
	for (int i = 0; i < list->count; i++)
		put_row((ReturnSetInfo *) fcinfo->resultinfo, &list->items[i]);
	if (list->cut)
		ereport(NOTICE,
				(errmsg("only the first %d violations are shown",
						list->count)));
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(work);
	return (Datum) 0;
}
