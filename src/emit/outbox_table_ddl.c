/*-------------------------------------------------------------------------
 *
 * outbox_table_ddl.c
 *		create_outbox_table(), attach_table(), detach_table().
 *
 * Attaching stores the resolved column names in outbox.attached_table and
 * creates two triggers (outbox_trigger.c) on the table, with the rights of the
 * extension's owner: nobody else may execute the trigger functions, so they
 * are on no table that was not attached here by its owner.  A partitioned
 * table is attached as a whole, also for partitions to come.
 *
 * What if the table is dropped?  Its row stays, without effect: the triggers
 * are gone with the table.  It is removed by the next attach.  Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "emit/outbox_table.h"
#include "catalog/owner.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/varlena.h"

#define INSERT_TRIGGER "outbox_emit_row"
#define UPDATE_TRIGGER "outbox_refuse_update"

PG_FUNCTION_INFO_V1(outbox_create_outbox_table);
PG_FUNCTION_INFO_V1(outbox_attach_table);
PG_FUNCTION_INFO_V1(outbox_detach_table);

static void
check_table(Relation rel)
{
	if (rel->rd_rel->relkind != RELKIND_RELATION &&
		rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table", RelationGetRelationName(rel))));
	if (rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("temporary table \"%s\" cannot be an outbox table",
						RelationGetRelationName(rel))));
	if (!has_privs_of_role(GetUserId(), rel->rd_rel->relowner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of table \"%s\"",
						RelationGetRelationName(rel))));
}

static char *
qualified_name(Relation rel)
{
	return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
									  RelationGetRelationName(rel));
}

static bool
has_column(Relation rel, const char *name)
{
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && strcmp(NameStr(att->attname), name) == 0)
			return true;
	}
	return false;
}

/* Every key of the caller's object must be one that we know. */
static void
check_column_keys(Jsonb *columns)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	key;
	JsonbValue	value;

	if (!JB_ROOT_IS_OBJECT(columns))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("columns must be a JSON object"),
				 errhint("Pass for example '{\"payload\": \"body\"}'.")));
	it = JsonbIteratorInit(&columns->root);
	while ((token = JsonbIteratorNext(&it, &key, true)) != WJB_DONE)
	{
		bool		known = false;

		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&it, &value, true);
		for (int i = 0; i < OUTBOX_COLUMN_ROLES; i++)
			known |= strlen(outbox_column_roles[i]) == key.val.string.len &&
				memcmp(outbox_column_roles[i], key.val.string.val,
					   key.val.string.len) == 0;
		if (!known || (value.type != jbvString && value.type != jbvNull))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("columns has an invalid entry \"%.*s\"",
							key.val.string.len, key.val.string.val),
					 errhint("Allowed are id, aggregatetype, aggregateid, type, payload, headers, timestamp and partition, each with the name of a column or null.")));
	}
}

/*
 * The whole mapping: what the caller said, else the column of that name if the
 * table has it.  null means none.
 */
static Jsonb *
complete_columns(Relation rel, Jsonb *columns)
{
	JsonbParseState *state = NULL;
	JsonbValue *result;

	check_column_keys(columns);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < OUTBOX_COLUMN_ROLES; i++)
	{
		JsonbValue	key;
		JsonbValue	name;

		key.type = jbvString;
		key.val.string.val = unconstify(char *, outbox_column_roles[i]);
		key.val.string.len = strlen(outbox_column_roles[i]);
		if (getKeyJsonValueFromContainer(&columns->root, key.val.string.val,
										 key.val.string.len, &name) == NULL)
		{
			if (!has_column(rel, outbox_column_roles[i]))
				continue;
			name = key;
		}
		if (name.type != jbvString)
			continue;
		pushJsonbValue(&state, WJB_KEY, &key);
		pushJsonbValue(&state, WJB_VALUE, &name);
	}
	result = pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return JsonbValueToJsonb(result);
}

static void
throw_column_type(const OutboxTableColumn *column, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("column \"%s\" has type %s", NameStr(column->name),
					format_type_be(column->type)),
			 errhint("%s", hint)));
}

static bool
is_text(Oid type)
{
	return type == TEXTOID || type == VARCHAROID || type == BPCHAROID;
}

static void
check_map(const OutboxTableMap *map, Relation rel)
{
	const OutboxTableColumn *c = &map->columns[OUTBOX_COLUMN_PAYLOAD];

	if (c->attnum == 0 || map->columns[OUTBOX_COLUMN_TYPE].attnum == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("table \"%s\" needs columns for type and payload",
						RelationGetRelationName(rel)),
				 errhint("Name them in the argument \"columns\".")));
	if (!is_text(c->base_type) && c->base_type != JSONBOID &&
		c->base_type != JSONOID && c->base_type != BYTEAOID &&
		get_typtype(c->base_type) != TYPTYPE_COMPOSITE)
		throw_column_type(c, "A payload is jsonb, json, text (JSON), bytea (Avro) or a row type.");

	c = &map->columns[OUTBOX_COLUMN_ID];
	if (c->attnum != 0 && c->base_type != UUIDOID && !is_text(c->base_type))
		throw_column_type(c, "An event id is a uuid or its text; map \"id\" to null to have one generated.");

	c = &map->columns[OUTBOX_COLUMN_HEADERS];
	if (c->attnum != 0 && c->base_type != JSONBOID && c->base_type != JSONOID)
		throw_column_type(c, "Headers are jsonb or json; map \"headers\" to null to leave them out.");

	c = &map->columns[OUTBOX_COLUMN_TIMESTAMP];
	if (c->attnum != 0 && c->base_type != TIMESTAMPTZOID)
		throw_column_type(c, "A timestamp is timestamptz; map \"timestamp\" to null for the time of the commit.");

	c = &map->columns[OUTBOX_COLUMN_PARTITION];
	if (c->attnum != 0 && c->base_type != INT4OID &&
		c->base_type != INT2OID && c->base_type != INT8OID)
		throw_column_type(c, "A partition is an integer; map \"partition\" to null to choose it by key.");
}

static List *
header_list(ArrayType *headers)
{
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	List	   *list = NIL;

	deconstruct_array(headers, TEXTOID, -1, false, TYPALIGN_INT,
					  &elements, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		char	   *spec = nulls[i] ? "" : TextDatumGetCString(elements[i]);
		char	   *colon = strchr(spec, ':');
		const char *name = colon == NULL ? spec : colon + 1;

		if (*name == '\0' || colon == spec || strcmp(name, "id") == 0 ||
			strncmp(name, "outbox.", 7) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid header column \"%s\"", spec),
					 errhint("Use \"column\" or \"column:header\"; \"id\" and \"outbox.*\" are reserved.")));
		list = lappend(list, spec);
	}
	return list;
}

static void
store_attached(Oid relid, Jsonb *columns, ArrayType *headers)
{
	Oid			types[] = {OIDOID, JSONBOID, TEXTARRAYOID};
	Datum		values[] = {
		ObjectIdGetDatum(relid), JsonbPGetDatum(columns),
		PointerGetDatum(headers)
	};

	outbox_owner_command("DELETE FROM outbox.attached_table a WHERE NOT EXISTS"
						 " (SELECT 1 FROM pg_catalog.pg_class c"
						 " WHERE c.oid OPERATOR(pg_catalog.=) a.relation)");
	if (outbox_owner_execute("INSERT INTO outbox.attached_table"
							 " (relation, columns, headers) VALUES ($1, $2, $3)"
							 " ON CONFLICT DO NOTHING",
							 3, types, values, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("table \"%s\" is already attached",
						get_rel_name(relid)),
				 errhint("Use outbox.detach_table() first.")));
}

/*
 * The triggers were created by name; a schema renamed at that moment (which no
 * table lock prevents) would have put them elsewhere.
 */
static void
check_triggers(Oid relid)
{
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(relid)};

	if (outbox_owner_execute("SELECT 1 FROM pg_catalog.pg_trigger t"
							 " WHERE t.tgrelid OPERATOR(pg_catalog.=) $1"
							 " AND t.tgname IN ('" INSERT_TRIGGER "', '"
							 UPDATE_TRIGGER "')",
							 1, types, values, NULL) != 2)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("table was renamed while it was attached")));
}

static void
attach(Oid relid, Jsonb *columns, ArrayType *headers)
{
	Relation	rel = table_open(relid, ShareRowExclusiveLock);
	OutboxTableMap map = {0};
	OutboxOwnerScope scope;
	char	   *table;

	check_table(rel);
	columns = complete_columns(rel, columns);
	outbox_table_resolve(&map, rel, columns, header_list(headers));
	check_map(&map, rel);
	table = qualified_name(rel);
	table_close(rel, NoLock);

	outbox_owner_begin(&scope);
	outbox_owner_lock();
	store_attached(relid, columns, headers);
	outbox_owner_command("CREATE TRIGGER " INSERT_TRIGGER " AFTER INSERT ON %s"
						 " FOR EACH ROW EXECUTE FUNCTION outbox.table_insert()",
						 table);
	outbox_owner_command("CREATE TRIGGER " UPDATE_TRIGGER " BEFORE UPDATE ON %s"
						 " FOR EACH ROW EXECUTE FUNCTION outbox.table_update()",
						 table);
	check_triggers(relid);
	outbox_owner_end(&scope);
}

/* attach_table(relation, columns, headers) */
Datum
outbox_attach_table(PG_FUNCTION_ARGS)
{
	attach(PG_GETARG_OID(0), PG_GETARG_JSONB_P(1), PG_GETARG_ARRAYTYPE_P(2));
	PG_RETURN_VOID();
}

/* detach_table(relation) */
Datum
outbox_detach_table(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	Relation	rel = table_open(relid, AccessExclusiveLock);
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(relid)};
	OutboxOwnerScope scope;
	char	   *table;

	check_table(rel);
	table = qualified_name(rel);
	table_close(rel, NoLock);

	outbox_owner_begin(&scope);
	outbox_owner_lock();
	if (outbox_owner_execute("DELETE FROM outbox.attached_table"
							 " WHERE relation OPERATOR(pg_catalog.=) $1",
							 1, types, values, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table %s is not attached", table)));
	outbox_owner_command("DROP TRIGGER IF EXISTS " INSERT_TRIGGER " ON %s",
						 table);
	outbox_owner_command("DROP TRIGGER IF EXISTS " UPDATE_TRIGGER " ON %s",
						 table);
	outbox_owner_end(&scope);
	PG_RETURN_VOID();
}

/*
 * create_outbox_table(name): the columns of Debezium's EventRouter.  The table
 * is created with the caller's rights and, when the name has no schema, by the
 * caller's search path.
 */
Datum
outbox_create_outbox_table(PG_FUNCTION_ARGS)
{
	RangeVar   *name = makeRangeVarFromNameList(textToQualifiedNameList(PG_GETARG_TEXT_PP(0)));
	Oid			namespace = RangeVarGetCreationNamespace(name);
	StringInfoData sql;
	int			rc;

	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE TABLE %s ("
					 "id pg_catalog.uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(),"
					 " aggregatetype pg_catalog.varchar(255) NOT NULL,"
					 " aggregateid pg_catalog.varchar(255) NOT NULL,"
					 " type pg_catalog.varchar(255) NOT NULL,"
					 " payload pg_catalog.jsonb NOT NULL)",
					 quote_qualified_identifier(get_namespace_name(namespace),
												name->relname));
	if (SPI_connect() != SPI_OK_CONNECT)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not connect to the SPI manager")));
	rc = SPI_execute(sql.data, false, 0);
	if (rc < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not create an outbox table: %s",
						SPI_result_code_string(rc))));
	SPI_finish();
	attach(get_relname_relid(name->relname, namespace),
		   DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"))),
		   construct_empty_array(TEXTOID));
	PG_RETURN_VOID();
}
