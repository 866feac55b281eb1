/*-------------------------------------------------------------------------
 *
 * event_type_ddl.c
 *		create_event_type(), alter_event_type(), drop_event_type().
 *
 * An event type is a name, an owner, and pointers to two immutable rows: its
 * route (topic, format, error policy, partitions) and its schema.  Altering it
 * adds a row and moves the pointer, so what is already in WAL keeps its
 * meaning; routes and schemas are never deleted, also not by dropping a type.
 *
 * Schemas come in by the door (schema/): an Avro type's must be compatible with
 * what its subject had.  Subjects are made of topic and record, so a change of
 * either may lead to another subject, where the schema is registered then.
 *
 * Changes of event types are serialised by a table lock that emit does not
 * take.  They are visible to other sessions' emits at commit, by the relcache
 * invalidation of catalog.c.
 *
 * Whoever may execute create_event_type() owns what he creates; only the
 * owner (or a member of it) and superusers alter and drop.  Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "emit/emit.h"
#include "emit/event_type_ddl.h"
#include "catalog/catalog.h"
#include "catalog/owner.h"
#include "emit/access.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "schema/schema.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#define DEFAULT_TOPIC "outbox.event." OUTBOX_TOPIC_PLACEHOLDER

PG_FUNCTION_INFO_V1(outbox_create_event_type);
PG_FUNCTION_INFO_V1(outbox_alter_event_type);
PG_FUNCTION_INFO_V1(outbox_drop_event_type);

static char *
text_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

static void
throw_invalid(const char *what, const char *value, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid %s \"%s\"", what, value),
			 errhint("%s", hint)));
}

static void
check_name(const char *name)
{
	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("event type must not be null")));
	if (*name == '\0' || strlen(name) > OUTBOX_MAX_TYPE_NAME)
		throw_invalid("event type name", name,
					  "A name has 1 to 200 bytes.");
	for (const char *p = name; *p != '\0'; p++)
	{
		if ((unsigned char) *p < 0x20 || *p == 0x7F)
			throw_invalid("event type name", name,
						  "A name has no control characters.");
	}
}

static void
check_options(const OutboxTypeDefinition *def)
{
	const char *problem = outbox_topic_template_problem(def->topic);

	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid topic \"%s\"", def->topic),
				 errdetail("The name %s.", problem),
				 errhint("A topic has letters, digits, \".\", \"_\", \"-\" and at most one %s.",
						 OUTBOX_TOPIC_PLACEHOLDER)));
	(void) outbox_subject_strategy(def->strategy);
	if (strcmp(def->format, "avro") != 0 && strcmp(def->format, "json") != 0)
		throw_invalid("format", def->format, "Use \"avro\" or \"json\".");
	if (strcmp(def->on_error, "block") != 0 &&
		strcmp(def->on_error, "dead_letter") != 0)
		throw_invalid("on_error", def->on_error,
					  "Use \"block\" or \"dead_letter\".");
	if (def->partitions < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("number of partitions must be positive")));
}

/* Take schema and row type from arguments 1 and 2; false when neither. */
static bool
take_schema(FunctionCallInfo fcinfo, OutboxTypeDefinition *def)
{
	if (!PG_ARGISNULL(1) && !PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("schema and row_type exclude each other")));
	if (!PG_ARGISNULL(1))
	{
		def->schema = outbox_schema_render_record(text_argument(fcinfo, 1));
		def->row_type = InvalidOid;
	}
	else if (!PG_ARGISNULL(2))
	{
		def->row_type = PG_GETARG_OID(2);
		def->schema = outbox_schema_of_row_type(def->row_type, def->schema,
												NULL);
	}
	else
		return false;
	def->schema_id = 0;
	return true;
}

/* As text; NULL for a negative one, which means the setting. */
static char *
retention_text(Interval *interval)
{
	if (outbox_catalog_interval_us(interval) < 0)
		return NULL;
	return DatumGetCString(DirectFunctionCall1(interval_out,
											   IntervalPGetDatum(interval)));
}

/* Take the other options that are given; arguments as of create_event_type. */
static void
take_options(FunctionCallInfo fcinfo, OutboxTypeDefinition *def)
{
	if (!PG_ARGISNULL(3))
		def->topic = text_argument(fcinfo, 3);
	if (!PG_ARGISNULL(4))
		def->key = text_argument(fcinfo, 4);
	if (def->key != NULL && *def->key == '\0')
		def->key = NULL;
	if (!PG_ARGISNULL(5))
		def->format = text_argument(fcinfo, 5);
	if (!PG_ARGISNULL(6))
		def->on_error = text_argument(fcinfo, 6);
	if (!PG_ARGISNULL(7))
	{
		def->partitions = PG_GETARG_INT32(7);
		if (def->partitions <= 0)
			def->partitions = -1;
	}
	if (!PG_ARGISNULL(8))
		def->strategy = text_argument(fcinfo, 8);
	if (!PG_ARGISNULL(9))
		def->compatibility = text_argument(fcinfo, 9);
	if (!PG_ARGISNULL(10))
		def->retention = retention_text(PG_GETARG_INTERVAL_P(10));
}

static void
check_key(const OutboxTypeDefinition *def)
{
	if (!outbox_type_has_key(def))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("key \"%s\" is no field of the schema", def->key),
				 errhint("Name a top-level field of the record.")));
}

static void
check_format_and_schema(const OutboxTypeDefinition *def)
{
	if (strcmp(def->format, "avro") == 0 && def->schema == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("event type \"%s\" needs a schema", def->name),
				 errhint("Pass schema or row_type, or use format => 'json'.")));
	if (strcmp(def->format, "avro") != 0 && def->compatibility != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a JSON event type has no compatibility level"),
				 errhint("Its schema, if any, is of no subject: consumers never read it.")));
}

/*
 * create_event_type(name, schema, row_type, topic, key, format, on_error,
 * partitions, subject_name_strategy, compatibility, retention)
 */
Datum
outbox_create_event_type(PG_FUNCTION_ARGS)
{
	OutboxTypeDefinition def = {
		.name = text_argument(fcinfo, 0),
		.format = "avro",
		.on_error = "block",
		.strategy = "TopicRecordName"
	};
	Oid			owner = GetUserId();
	OutboxOwnerScope scope;
	int32		id;

	check_name(def.name);
	def.topic = psprintf("%s%s", outbox_topic_prefix ? outbox_topic_prefix : "",
						 DEFAULT_TOPIC);
	take_options(fcinfo, &def);
	check_options(&def);
	(void) take_schema(fcinfo, &def);
	check_format_and_schema(&def);

	outbox_owner_begin(&scope);
	outbox_owner_lock();
	check_key(&def);
	if (outbox_event_type_exists(def.name))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("event type \"%s\" already exists", def.name)));
	outbox_type_register(&def, owner);
	outbox_type_route(&def, NULL, owner);
	id = outbox_type_store(&def, owner);
	outbox_access_sync(owner);
	outbox_owner_end(&scope);
	PG_RETURN_INT32(id);
}

bool
outbox_event_type_exists(const char *name)
{
	Oid			types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(name)};

	return outbox_owner_execute("SELECT d.id, d.owner::pg_catalog.oid::pg_catalog.text"
								" FROM outbox.event_type_def d"
								" WHERE d.name OPERATOR(pg_catalog.=) $1",
								1, types, values, NULL) > 0;
}

int32
outbox_event_type_require_owner(const char *name, Oid caller, Oid *owner)
{
	check_name(name);
	if (!outbox_event_type_exists(name))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("event type \"%s\" does not exist", name)));
	*owner = atooid(outbox_owner_result_text(2));
	if (!has_privs_of_role(caller, *owner) && !outbox_owner_is_admin(caller))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of event type \"%s\"", name)));
	return outbox_owner_result_int();
}

/* alter_event_type(...): as create_event_type, null = keep, key '' = none */
Datum
outbox_alter_event_type(PG_FUNCTION_ARGS)
{
	OutboxTypeDefinition def = {.name = text_argument(fcinfo, 0)};
	OutboxTypeDefinition old;
	Oid			owner;
	OutboxOwnerScope scope;

	outbox_owner_begin(&scope);
	outbox_owner_lock();
	def.id = outbox_event_type_require_owner(def.name, scope.caller, &owner);
	outbox_type_read(&def);
	old = def;
	take_options(fcinfo, &def);
	check_options(&def);
	(void) take_schema(fcinfo, &def);
	check_format_and_schema(&def);
	check_key(&def);
	outbox_type_register(&def, scope.caller);
	outbox_type_route(&def, &old, scope.caller);
	(void) outbox_type_store(&def, owner);
	outbox_owner_end(&scope);
	PG_RETURN_VOID();
}

/* drop_event_type(name) */
Datum
outbox_drop_event_type(PG_FUNCTION_ARGS)
{
	char	   *name = text_argument(fcinfo, 0);
	Oid			owner;
	OutboxOwnerScope scope;
	Oid			types[] = {INT4OID};
	Datum		values[1];
	Oid		   *grantees;
	uint64		ngrantees;

	outbox_owner_begin(&scope);
	outbox_owner_lock();
	values[0] = Int32GetDatum(outbox_event_type_require_owner(name, scope.caller,
															  &owner));
	ngrantees = outbox_owner_execute("DELETE FROM outbox.event_type_grant"
									 " WHERE event_type_id OPERATOR(pg_catalog.=) $1"
									 " RETURNING grantee",
									 1, types, values, NULL);
	grantees = palloc((ngrantees + 1) * sizeof(Oid));
	for (uint64 i = 0; i < ngrantees; i++)
	{
		bool		isnull;

		grantees[i] = DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[i],
													 SPI_tuptable->tupdesc, 1,
													 &isnull));
	}
	(void) outbox_owner_execute("DELETE FROM outbox.event_type_def"
								" WHERE id OPERATOR(pg_catalog.=) $1",
								1, types, values, NULL);
	grantees[ngrantees] = owner;
	for (uint64 i = 0; i <= ngrantees; i++)
		outbox_access_sync(grantees[i]);
	outbox_owner_end(&scope);
	PG_RETURN_VOID();
}
