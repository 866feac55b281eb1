/*-------------------------------------------------------------------------
 *
 * event_type_store.c
 *		Rows of outbox.event_type_def and outbox.route, and the schema that
 *		goes with them.
 *
 * Within an OutboxOwnerScope.  Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/owner.h"
#include "catalog/pg_type.h"
#include "emit/emit.h"
#include "emit/event_type_ddl.h"
#include "miscadmin.h"
#include "schema/schema.h"
#include "utils/builtins.h"

/* The topic that the events of this type go to, unless they say otherwise. */
static char *
topic_of_subject(const OutboxTypeDefinition *def)
{
	char	   *place = strstr(def->topic, OUTBOX_TOPIC_PLACEHOLDER);

	if (place == NULL)
		return def->topic;
	return psprintf("%.*s%s%s", (int) (place - def->topic), def->topic,
					def->name, place + strlen(OUTBOX_TOPIC_PLACEHOLDER));
}

char *
outbox_type_subject(const OutboxTypeDefinition *def)
{
	return outbox_subject_name(outbox_subject_strategy(def->strategy),
							   topic_of_subject(def), def->schema);
}

bool
outbox_type_has_key(const OutboxTypeDefinition *def)
{
	Oid			types[] = {TEXTOID, TEXTOID};
	Datum		values[2];

	if (def->key == NULL || def->schema == NULL)
		return true;
	values[0] = CStringGetTextDatum(def->schema);
	values[1] = CStringGetTextDatum(def->key);
	return outbox_owner_execute("SELECT 1 FROM pg_catalog.jsonb_array_elements("
								"$1::pg_catalog.jsonb OPERATOR(pg_catalog.->) 'fields') f"
								" WHERE f OPERATOR(pg_catalog.->>) 'name' OPERATOR(pg_catalog.=) $2",
								2, types, values, NULL) > 0;
}

void
outbox_type_register(OutboxTypeDefinition *def, Oid role)
{
	OutboxSchemaRequest request = {
		.definition = def->schema,
		.role = role,
		.by_ddl = def->by_ddl
	};
	const char *old_subject = def->subject;

	def->subject = NULL;
	if (def->schema == NULL)
		return;
	if (strcmp(def->format, "avro") != 0)
	{
		def->schema_id = outbox_schema_store(def->schema, role);
		return;
	}
	def->subject = outbox_type_subject(def);
	if (def->compatibility != NULL)
		outbox_subject_set_level(def->subject, def->compatibility, role);
	if (old_subject != NULL && strcmp(old_subject, def->subject) == 0)
	{
		if (def->schema_id != 0)	/* nothing new */
			return;
		request.current = def->old_schema_id;
	}
	request.subject = def->subject;
	def->schema_id = outbox_schema_register(&request);
}

static int32
add_route(const OutboxTypeDefinition *def, const char *caller)
{
	Oid			types[] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT4OID, TEXTOID,
	TEXTOID, TEXTOID, TEXTOID};
	Datum		values[] = {
		CStringGetTextDatum(def->name), CStringGetTextDatum(def->topic),
		CStringGetTextDatum(def->format), CStringGetTextDatum(def->on_error),
		Int32GetDatum(def->partitions), CStringGetTextDatum(caller),
		CStringGetTextDatum(def->strategy),
		def->subject == NULL ? (Datum) 0 : CStringGetTextDatum(def->subject),
		def->retention == NULL ? (Datum) 0 : CStringGetTextDatum(def->retention)
	};
	char		nulls[] = "         ";

	if (def->partitions == 0)
		nulls[4] = 'n';
	if (def->subject == NULL)
		nulls[7] = 'n';
	if (def->retention == NULL)
		nulls[8] = 'n';
	(void) outbox_owner_execute("INSERT INTO outbox.route"
								" (event_type, topic, format, on_error, partitions,"
								" created_by, subject_name_strategy, subject, retention)"
								" VALUES ($1, $2, $3, $4, $5, $6, $7, $8,"
								" $9::pg_catalog.interval) RETURNING id",
								9, types, values, nulls);
	return outbox_owner_result_int();
}

/* Store the definition's own row: insert when it has no id yet. */
int32
outbox_type_store(const OutboxTypeDefinition *def, Oid owner)
{
	Oid			types[] = {TEXTOID, INT4OID, INT4OID, OIDOID, TEXTOID, OIDOID,
	INT4OID};
	Datum		values[] = {
		CStringGetTextDatum(def->name), Int32GetDatum(def->route_id),
		Int32GetDatum(def->schema_id), ObjectIdGetDatum(def->row_type),
		def->key == NULL ? (Datum) 0 : CStringGetTextDatum(def->key),
		ObjectIdGetDatum(owner), Int32GetDatum(def->id)
	};
	char		nulls[] = "       ";

	if (def->schema_id == 0)
		nulls[2] = 'n';
	if (!OidIsValid(def->row_type))
		nulls[3] = 'n';
	if (def->key == NULL)
		nulls[4] = 'n';
	(void) outbox_owner_execute(def->id == 0 ?
								"INSERT INTO outbox.event_type_def"
								" (name, route_id, schema_id, row_type, key_field, owner)"
								" SELECT $1, $2, $3, $4, $5, $6 WHERE $7 IS NOT NULL"
								" RETURNING id" :
								"UPDATE outbox.event_type_def SET route_id = $2,"
								" schema_id = $3, row_type = $4, key_field = $5"
								" WHERE id OPERATOR(pg_catalog.=) $7"
								" AND name OPERATOR(pg_catalog.=) $1 AND $6 IS NOT NULL"
								" RETURNING id",
								7, types, values, nulls);
	return outbox_owner_result_int();
}

/* The definition as it is stored. */
void
outbox_type_read(OutboxTypeDefinition *def)
{
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(def->id)};
	char	   *value;

	(void) outbox_owner_execute("SELECT d.route_id, d.schema_id::pg_catalog.text,"
								" s.definition, d.row_type::pg_catalog.oid::pg_catalog.text,"
								" r.topic, d.key_field, r.format, r.on_error,"
								" r.partitions::pg_catalog.text,"
								" r.subject_name_strategy, r.subject,"
								" r.retention::pg_catalog.text"
								" FROM outbox.event_type_def d"
								" JOIN outbox.route r ON r.id OPERATOR(pg_catalog.=) d.route_id"
								" LEFT JOIN outbox.schema s ON s.id OPERATOR(pg_catalog.=) d.schema_id"
								" WHERE d.id OPERATOR(pg_catalog.=) $1",
								1, types, values, NULL);
	def->route_id = outbox_owner_result_int();
	value = outbox_owner_result_text(2);
	def->schema_id = value == NULL ? 0 : atoi(value);
	def->schema = outbox_owner_result_text(3);
	value = outbox_owner_result_text(4);
	def->row_type = value == NULL ? InvalidOid : atooid(value);
	def->topic = outbox_owner_result_text(5);
	def->key = outbox_owner_result_text(6);
	def->format = outbox_owner_result_text(7);
	def->on_error = outbox_owner_result_text(8);
	value = outbox_owner_result_text(9);
	def->partitions = value == NULL ? 0 : atoi(value);
	def->strategy = outbox_owner_result_text(10);
	def->subject = outbox_owner_result_text(11);
	def->retention = outbox_owner_result_text(12);
	def->old_schema_id = def->schema_id;
}

static bool
same_text(const char *a, const char *b)
{
	return a == NULL ? b == NULL : b != NULL && strcmp(a, b) == 0;
}

static bool
same_route(const OutboxTypeDefinition *a, const OutboxTypeDefinition *b)
{
	return strcmp(a->topic, b->topic) == 0 &&
		strcmp(a->format, b->format) == 0 &&
		strcmp(a->on_error, b->on_error) == 0 &&
		strcmp(a->strategy, b->strategy) == 0 &&
		same_text(a->subject, b->subject) &&
		same_text(a->retention, b->retention) &&
		a->partitions == b->partitions;
}

void
outbox_type_route(OutboxTypeDefinition *def, const OutboxTypeDefinition *old,
				  Oid role)
{
	if (old == NULL || !same_route(def, old))
		def->route_id = add_route(def, GetUserNameFromId(role, false));
}
