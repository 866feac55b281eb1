/*-------------------------------------------------------------------------
 *
 * capture_schema.c
 *		outbox.capture_schema(), uncapture_schema(): all tables of a schema,
 *		also those to come.
 *
 * A row of outbox.captured_schema says which tables and how; what is captured
 * are tables, each with its own capture, as if its owner had called
 * outbox.capture().  A table that comes into the schema (created, or moved) is
 * captured by the DDL gate in the same transaction, with the rights of whoever
 * captured the schema: if he could not capture it, a warning says so.
 *
 * Tables that cannot be captured (temporary, unlogged, foreign ones) and
 * partitions, which go with their table, are left out.  Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/skey.h"
#include "capture/capture.h"
#include "catalog/namespace.h"
#include "catalog/owner.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(outbox_capture_schema);
PG_FUNCTION_INFO_V1(outbox_uncapture_schema);

/* Options by name, as arguments of capture() that may be the same for many. */
typedef struct SchemaOption
{
	const char *name;
	int			argument;
	Oid			type;
} SchemaOption;

static const SchemaOption known_options[] = {
	{"mode", CAPTURE_MODE, TEXTOID},
	{"envelope", CAPTURE_ENVELOPE, TEXTOID},
	{"format", CAPTURE_FORMAT, TEXTOID},
	{"key_format", CAPTURE_KEY_FORMAT, TEXTOID},
	{"snapshot", CAPTURE_SNAPSHOT, BOOLOID},
	{"toast", CAPTURE_TOAST, TEXTOID},
	{"on_error", CAPTURE_ON_ERROR, TEXTOID},
	{"partitions", CAPTURE_PARTITIONS, INT4OID},
	{"tombstones", CAPTURE_TOMBSTONES, BOOLOID},
	{"special", CAPTURE_SPECIAL, TEXTOID},
	{"row_security", CAPTURE_ROW_SECURITY, BOOLOID},
	{"transaction_metadata", CAPTURE_TRANSACTION_METADATA, BOOLOID},
	{"origin", CAPTURE_ORIGIN, TEXTOID},
	{"subject_name_strategy", CAPTURE_STRATEGY, TEXTOID},
	{"compatibility", CAPTURE_COMPATIBILITY, TEXTOID}
};

static void
throw_option(const JsonbValue *key)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("options has an invalid entry \"%.*s\"",
					key->val.string.len, key->val.string.val),
			 errhint("Options are those arguments of outbox.capture() that are not about one table, with values of their types.")));
}

static Datum
option_value(const SchemaOption *option, const JsonbValue *key,
			 const JsonbValue *value)
{
	switch (option->type)
	{
		case TEXTOID:
			if (value->type == jbvString)
				return PointerGetDatum(cstring_to_text_with_len(value->val.string.val,
																value->val.string.len));
			break;
		case BOOLOID:
			if (value->type == jbvBool)
				return BoolGetDatum(value->val.boolean);
			break;
		default:
			if (value->type == jbvNumeric)
				return DirectFunctionCall1(numeric_int4,
										   NumericGetDatum(value->val.numeric));
	}
	throw_option(key);
	return (Datum) 0;
}

/* The arguments of capture() for one table. */
static void
set_arguments(FunctionCallInfo fcinfo, Oid relid, Jsonb *options)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	key;
	JsonbValue	value;

	for (int i = 0; i < CAPTURE_NARGS; i++)
		fcinfo->args[i].isnull = true;
	fcinfo->args[CAPTURE_RELATION].value = ObjectIdGetDatum(relid);
	fcinfo->args[CAPTURE_RELATION].isnull = false;
	if (!JB_ROOT_IS_OBJECT(options))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("options must be a JSON object"),
				 errhint("Pass for example '{\"envelope\": \"flat\"}'.")));
	it = JsonbIteratorInit(&options->root);
	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		const SchemaOption *option = NULL;

		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&it, &value, true);
		for (int i = 0; i < lengthof(known_options); i++)
		{
			if (strlen(known_options[i].name) == key.val.string.len &&
				memcmp(known_options[i].name, key.val.string.val,
					   key.val.string.len) == 0)
				option = &known_options[i];
		}
		if (option == NULL)
			throw_option(&key);
		if (value.type == jbvNull)
			continue;
		fcinfo->args[option->argument].value = option_value(option, &key,
															&value);
		fcinfo->args[option->argument].isnull = false;
	}
}

/* Options that no table can have are refused also where there is no table. */
static void
check_options(Jsonb *options)
{
	LOCAL_FCINFO(fcinfo, CAPTURE_NARGS);
	OutboxCaptureRequest request = {.origin = "any"};

	InitFunctionCallInfoData(*fcinfo, NULL, CAPTURE_NARGS, InvalidOid, NULL,
							 NULL);
	set_arguments(fcinfo, InvalidOid, options);
	outbox_capture_take(fcinfo, &request);
}

static void
capture_one(Oid relid, Jsonb *options, Oid role)
{
	LOCAL_FCINFO(fcinfo, CAPTURE_NARGS);

	InitFunctionCallInfoData(*fcinfo, NULL, CAPTURE_NARGS, InvalidOid, NULL,
							 NULL);
	set_arguments(fcinfo, relid, options);
	(void) outbox_capture_table(fcinfo, role);
}

/* ---- which tables ---- */

/* A row of outbox.captured_schema. */
typedef struct CapturedSchema
{
	Oid			namespace;
	ArrayType  *include;		/* NULL = all */
	ArrayType  *exclude;		/* NULL = none */
	Jsonb	   *options;
	Oid			owner;
} CapturedSchema;

enum
{
	Anum_schema_namespace = 1,
	Anum_schema_include = 2,
	Anum_schema_exclude = 3,
	Anum_schema_options = 4,
	Anum_schema_owner = 5
};

static ArrayType *
array_of(OutboxCatalogScan *scan, HeapTuple tuple, int attnum)
{
	bool		isnull;
	Datum		value = outbox_catalog_attr(scan, tuple, attnum, &isnull);

	return isnull ? NULL : DatumGetArrayTypePCopy(value);
}

static List *
read_schemas(void)
{
	OutboxCatalogScan scan;
	HeapTuple	tuple;
	List	   *schemas = NIL;

	outbox_catalog_scan_begin(&scan, "captured_schema", NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = outbox_catalog_scan_next(&scan)))
	{
		CapturedSchema *s = palloc(sizeof(CapturedSchema));
		bool		isnull;

		s->namespace =
			get_namespace_oid(NameStr(*DatumGetName(outbox_catalog_attr(&scan,
																		tuple,
																		Anum_schema_namespace,
																		&isnull))),
							  true);
		s->include = array_of(&scan, tuple, Anum_schema_include);
		s->exclude = array_of(&scan, tuple, Anum_schema_exclude);
		s->options =
			DatumGetJsonbPCopy(outbox_catalog_attr(&scan, tuple,
												   Anum_schema_options,
												   &isnull));
		s->owner = DatumGetObjectId(outbox_catalog_attr(&scan, tuple,
														Anum_schema_owner,
														&isnull));
		schemas = lappend(schemas, s);
	}
	outbox_catalog_scan_end(&scan);
	return schemas;
}

void
outbox_capture_schema_dropped(Oid namespace)
{
	Oid			types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(get_namespace_name(namespace))};
	OutboxOwnerScope scope;
	ListCell   *lc;

	foreach(lc, read_schemas())
	{
		if (((CapturedSchema *) lfirst(lc))->namespace != namespace)
			continue;
		outbox_owner_begin(&scope);
		(void) outbox_owner_execute("DELETE FROM outbox.captured_schema"
									" WHERE namespace OPERATOR(pg_catalog.=) $1",
									1, types, values, NULL);
		outbox_owner_end(&scope);
	}
}

void
outbox_capture_schema_renamed(const char *from, const char *to)
{
	Oid			types[] = {TEXTOID, TEXTOID};
	Datum		values[] = {CStringGetTextDatum(from), CStringGetTextDatum(to)};
	OutboxOwnerScope scope;

	if (read_schemas() == NIL)
		return;
	outbox_owner_begin(&scope);
	(void) outbox_owner_execute("UPDATE outbox.captured_schema SET namespace = $2"
								" WHERE namespace OPERATOR(pg_catalog.=) $1",
								2, types, values, NULL);
	outbox_owner_end(&scope);
}

bool
outbox_capture_schema_any(void)
{
	return read_schemas() != NIL;
}

/* Whether a name is like one of the patterns. */
static bool
is_like_any(const char *name, ArrayType *patterns)
{
	Datum	   *elements;
	bool	   *nulls;
	int			n;

	deconstruct_array(patterns, TEXTOID, -1, false, TYPALIGN_INT,
					  &elements, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		if (!nulls[i] &&
			DatumGetBool(DirectFunctionCall2Coll(textlike,
												 C_COLLATION_OID,
												 CStringGetTextDatum(name),
												 elements[i])))
			return true;
	}
	return false;
}

static bool
read_class(Oid relid, Form_pg_class form)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));

	if (!HeapTupleIsValid(tuple))
		return false;
	memcpy(form, GETSTRUCT(tuple), sizeof(*form));
	ReleaseSysCache(tuple);
	return true;
}

/* Whether this table is one of those. */
static bool
is_wanted(const CapturedSchema *s, Form_pg_class form)
{
	const char *name = NameStr(form->relname);

	return form->relnamespace == s->namespace &&
		(form->relkind == RELKIND_RELATION ||
		 form->relkind == RELKIND_PARTITIONED_TABLE) &&
		form->relpersistence == RELPERSISTENCE_PERMANENT &&
		!form->relispartition &&
		(s->include == NULL || is_like_any(name, s->include)) &&
		(s->exclude == NULL || !is_like_any(name, s->exclude));
}

/* ---- tables to come ---- */

static bool
is_new(Oid relid)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	bool		result = rel->rd_createSubid != InvalidSubTransactionId;

	relation_close(rel, NoLock);
	return result;
}

static void
take_in(const CapturedSchema *s, Oid relid, Form_pg_class form)
{
	char	   *owner = GetUserNameFromId(s->owner, true);

	if (owner == NULL || !has_privs_of_role(s->owner, form->relowner))
	{
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("table \"%s\" is not captured",
						NameStr(form->relname)),
				 owner == NULL ?
				 errdetail("The role that captured the schema was dropped.") :
				 errdetail("Role \"%s\", who captured the schema, is no member of the table's owner.",
						   owner)));
		return;
	}
	capture_one(relid, s->options, s->owner);
	if (is_new(relid) && form->relkind == RELKIND_RELATION)
	{
		OutboxCapture *capture = outbox_capture_of_table(relid);

		if (!capture->log)
			outbox_capture_present_rows(relid);
	}
}

void
outbox_capture_schema_follow(const OutboxDdlChange *change)
{
	List	   *schemas = change->relations == NIL ? NIL : read_schemas();
	ListCell   *lc;
	ListCell   *lr;

	foreach(lc, schemas)
	{
		foreach(lr, change->relations)
		{
			FormData_pg_class form;

			if (read_class(lfirst_oid(lr), &form) &&
				is_wanted(lfirst(lc), &form) &&
				outbox_capture_of_table(lfirst_oid(lr)) == NULL)
				take_in(lfirst(lc), lfirst_oid(lr), &form);
		}
	}
}

/* ---- SQL ---- */

static void
check_schema(Oid namespace)
{
	char	   *name = get_namespace_name(namespace);
	HeapTuple	tuple;
	Oid			owner;

	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_SCHEMA),
				 errmsg("schema with oid %u does not exist", namespace)));
	if (namespace < FirstNormalObjectId && namespace != PG_PUBLIC_NAMESPACE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("cannot capture system schema \"%s\"", name)));
	if (strcmp(name, "outbox") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("cannot capture schema \"outbox\"")));
	tuple = SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(namespace));
	owner = ((Form_pg_namespace) GETSTRUCT(tuple))->nspowner;
	ReleaseSysCache(tuple);
	if (!has_privs_of_role(GetUserId(), owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of schema \"%s\"", name)));
}

static void
store(const CapturedSchema *s)
{
	Oid			types[] = {TEXTOID, TEXTARRAYOID, TEXTARRAYOID, JSONBOID, OIDOID};
	Datum		values[] = {
		CStringGetTextDatum(get_namespace_name(s->namespace)), PointerGetDatum(s->include),
		PointerGetDatum(s->exclude), JsonbPGetDatum(s->options),
		ObjectIdGetDatum(s->owner)
	};
	char		nulls[] = "     ";

	if (s->include == NULL)
		nulls[1] = 'n';
	if (s->exclude == NULL)
		nulls[2] = 'n';
	if (outbox_owner_execute("INSERT INTO outbox.captured_schema"
							 " (namespace, include, exclude, options, owner)"
							 " VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
							 5, types, values, nulls) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("schema \"%s\" is already captured",
						get_namespace_name(s->namespace)),
				 errhint("Call outbox.uncapture_schema() in the same transaction before.")));
}

/* Tables of a schema by name, of Oid. */
static List *
tables_of(Oid namespace)
{
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(namespace)};
	List	   *tables = NIL;
	uint64		n;

	n = outbox_owner_execute("SELECT c.oid FROM pg_catalog.pg_class c"
							 " WHERE c.relnamespace OPERATOR(pg_catalog.=) $1"
							 " AND c.relkind IN ('r', 'p') ORDER BY c.relname",
							 1, types, values, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;

		tables = lappend_oid(tables,
							 DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[i],
															SPI_tuptable->tupdesc,
															1, &isnull)));
	}
	return tables;
}

/* capture_schema(schema, include, exclude, options): number of tables */
Datum
outbox_capture_schema(PG_FUNCTION_ARGS)
{
	CapturedSchema s = {0};
	OutboxOwnerScope scope;
	ListCell   *lc;
	int32		count = 0;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(3))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("schema and options must not be null")));
	s.namespace = PG_GETARG_OID(0);
	s.include = PG_ARGISNULL(1) ? NULL : PG_GETARG_ARRAYTYPE_P(1);
	s.exclude = PG_ARGISNULL(2) ? NULL : PG_GETARG_ARRAYTYPE_P(2);
	s.options = PG_GETARG_JSONB_P(3);
	s.owner = GetUserId();
	check_schema(s.namespace);
	check_options(s.options);

	outbox_owner_begin(&scope);
	outbox_owner_lock();
	store(&s);
	foreach(lc, tables_of(s.namespace))
	{
		FormData_pg_class form;

		if (!read_class(lfirst_oid(lc), &form) || !is_wanted(&s, &form) ||
			outbox_capture_of_table(lfirst_oid(lc)) != NULL)
			continue;
		capture_one(lfirst_oid(lc), s.options, s.owner);
		count++;
	}
	outbox_owner_end(&scope);
	PG_RETURN_INT32(count);
}

static CapturedSchema *
find_schema(Oid namespace)
{
	ListCell   *lc;

	foreach(lc, read_schemas())
	{
		if (((CapturedSchema *) lfirst(lc))->namespace == namespace)
			return lfirst(lc);
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("schema \"%s\" is not captured",
					get_namespace_name(namespace)),
			 errhint("Capture it with outbox.capture_schema().")));
	return NULL;
}

/* uncapture_schema(schema, keep_tables): number of tables no more captured */
Datum
outbox_uncapture_schema(PG_FUNCTION_ARGS)
{
	Oid			namespace = PG_GETARG_OID(0);
	bool		keep = PG_GETARG_BOOL(1);
	Oid			types[] = {TEXTOID};
	Datum		values[1];
	CapturedSchema *s;
	OutboxOwnerScope scope;
	ListCell   *lc;
	int32		count = 0;

	check_schema(namespace);
	values[0] = CStringGetTextDatum(get_namespace_name(namespace));
	outbox_owner_begin(&scope);
	outbox_owner_lock();
	s = find_schema(namespace);
	(void) outbox_owner_execute("DELETE FROM outbox.captured_schema"
								" WHERE namespace OPERATOR(pg_catalog.=) $1",
								1, types, values, NULL);
	foreach(lc, keep ? NIL : tables_of(namespace))
	{
		FormData_pg_class form;
		Relation	rel;

		if (!read_class(lfirst_oid(lc), &form) || !is_wanted(s, &form) ||
			outbox_capture_of_table(lfirst_oid(lc)) == NULL)
			continue;
		rel = relation_open(lfirst_oid(lc), AccessExclusiveLock);
		outbox_capture_check_owner(rel, scope.caller);
		outbox_capture_end(rel);
		count++;
	}
	outbox_owner_end(&scope);
	PG_RETURN_INT32(count);
}
