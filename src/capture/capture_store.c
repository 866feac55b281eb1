/*-------------------------------------------------------------------------
 *
 * capture_store.c
 *		Rows of outbox.capture_def and outbox.route, and the schemas that go
 *		with them.
 *
 * A capture's row points to immutable rows: its route and its schemas.  What is
 * already in WAL names them by their ids and keeps its meaning, whatever
 * becomes of the capture.  Within an OutboxOwnerScope.  Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/capture.h"
#include "catalog/owner.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "rowcodec/rowcodec.h"
#include "schema/schema.h"
#include "utils/array.h"
#include "utils/builtins.h"

static const char *const key_format_names[] = {"plain", "record", "none"};
static const char *const special_names[] = {"error", "null", "text"};

/* Parameters of one statement; null where there is nothing. */
#define MAX_PARAMETERS 20

typedef struct Parameters
{
	int			count;
	Oid			types[MAX_PARAMETERS];
	Datum		values[MAX_PARAMETERS];
	char		nulls[MAX_PARAMETERS];
} Parameters;

static void
add(Parameters *p, Oid type, Datum value, bool isnull)
{
	Assert(p->count < MAX_PARAMETERS);
	p->types[p->count] = type;
	p->values[p->count] = value;
	p->nulls[p->count++] = isnull ? 'n' : ' ';
}

static void
add_text(Parameters *p, const char *value)
{
	add(p, TEXTOID, value == NULL ? (Datum) 0 : CStringGetTextDatum(value),
		value == NULL);
}

static void
add_names(Parameters *p, List *names)
{
	Datum	   *elements = palloc((list_length(names) + 1) * sizeof(Datum));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, names)
		elements[n++] = CStringGetTextDatum(lfirst(lc));
	add(p, TEXTARRAYOID,
		PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false,
										TYPALIGN_INT)), names == NIL);
}

static void
add_id(Parameters *p, uint32 id)
{
	add(p, INT4OID, Int32GetDatum((int32) id), id == 0);
}

static void
add_bool(Parameters *p, bool value)
{
	add(p, BOOLOID, BoolGetDatum(value), false);
}

static void
execute(const char *sql, Parameters *p)
{
	(void) outbox_owner_execute(sql, p->count, p->types, p->values, p->nulls);
}

/* ---- schemas ---- */

void
outbox_capture_schemas(const OutboxCapture *def, Relation rel,
					   const OutboxAvroRename *rename,
					   OutboxCaptureSchemas *schemas)
{
	char	   *before;

	memset(schemas, 0, sizeof(*schemas));
	if (def->route.format != OUTBOX_FORMAT_AVRO)
		return;
	before = def->schema_id == 0 ? NULL : outbox_catalog_schema(def->schema_id);
	schemas->value = outbox_rowcodec_value_schema(def, rel, before, rename);
	if (def->key_format != OUTBOX_KEY_RECORD)
		return;
	before = def->key_schema_id == 0 ? NULL :
		outbox_catalog_schema(def->key_schema_id);
	schemas->key = outbox_rowcodec_key_schema(def, rel, before, rename);
}

/* <topic>-key, or by the record's name. */
static char *
key_subject(const OutboxCaptureRequest *request, const char *schema)
{
	OutboxSubjectStrategy strategy = outbox_subject_strategy(request->strategy);

	if (strategy == OUTBOX_SUBJECT_TOPIC)
		return psprintf("%s-key", request->def.route.topic);
	return outbox_subject_name(strategy, request->def.route.topic, schema);
}

/*
 * Bring a schema under its subject; current: what is written now, and under
 * which subject (NULL: none).
 */
static uint32
register_schema(const OutboxCaptureRequest *request, const char *subject,
				const char *schema, const char *old_subject, uint32 current,
				Oid role)
{
	bool		same = old_subject != NULL && strcmp(subject, old_subject) == 0;
	OutboxSchemaRequest registration = {
		.subject = subject,
		.definition = schema,
		.role = role,
		.current = same ? current : 0,
		.by_ddl = request->by_ddl
	};

	if (request->compatibility != NULL)
		outbox_subject_set_level(subject, request->compatibility, role);
	if (same && current != 0 &&
		strcmp(outbox_catalog_schema(current), schema) == 0)
		return current;
	return outbox_schema_register(&registration);
}

static void
register_schemas(OutboxCaptureRequest *request,
				 const OutboxCaptureRequest *old,
				 const OutboxCaptureSchemas *schemas, Oid role)
{
	OutboxCapture *def = &request->def;
	const OutboxCapture *was = old == NULL ? NULL : &old->def;

	def->route.subject = def->route.key_subject = NULL;
	def->schema_id = def->key_schema_id = 0;
	if (schemas->value != NULL)
	{
		def->route.subject =
			outbox_subject_name(outbox_subject_strategy(request->strategy),
								def->route.topic, schemas->value);
		def->schema_id = register_schema(request, def->route.subject,
										 schemas->value,
										 was ? was->route.subject : NULL,
										 was ? was->schema_id : 0, role);
	}
	if (schemas->key != NULL)
	{
		def->route.key_subject = key_subject(request, schemas->key);
		def->key_schema_id = register_schema(request, def->route.key_subject,
											 schemas->key,
											 was ? was->route.key_subject : NULL,
											 was ? was->key_schema_id : 0, role);
	}
}

/* ---- route ---- */

static bool
same_text(const char *a, const char *b)
{
	return a == NULL ? b == NULL : b != NULL && strcmp(a, b) == 0;
}

static bool
same_route(const OutboxCaptureRequest *x, const OutboxCaptureRequest *y)
{
	const OutboxRoute *a = &x->def.route;
	const OutboxRoute *b = &y->def.route;

	return strcmp(a->topic, b->topic) == 0 && a->format == b->format &&
		a->dead_letter == b->dead_letter && a->partitions == b->partitions &&
		a->envelope == b->envelope && same_text(a->subject, b->subject) &&
		same_text(a->key_subject, b->key_subject) &&
		same_text(a->collection, b->collection) &&
		same_text(a->transaction_topic, b->transaction_topic) &&
		strcmp(x->strategy, y->strategy) == 0;
}

static const char *
envelope_name(OutboxEnvelope envelope)
{
	return envelope == OUTBOX_ENVELOPE_FLAT ? "flat" : "debezium";
}

static int32
add_route(const OutboxCaptureRequest *request, Oid role)
{
	const OutboxRoute *route = &request->def.route;
	Parameters	p = {0};

	add_text(&p, route->event_type);
	add_text(&p, route->topic);
	add_text(&p, route->format == OUTBOX_FORMAT_AVRO ? "avro" : "json");
	add_text(&p, route->dead_letter ? "dead_letter" : "block");
	add(&p, INT4OID, Int32GetDatum(route->partitions), route->partitions <= 0);
	add_text(&p, GetUserNameFromId(role, false));
	add_text(&p, request->strategy);
	add_text(&p, route->subject);
	add_text(&p, envelope_name(route->envelope));
	add_text(&p, route->collection);
	add_text(&p, route->key_subject);
	add_text(&p, route->transaction_topic);
	execute("INSERT INTO outbox.route"
			" (event_type, topic, format, on_error, partitions, created_by,"
			" subject_name_strategy, subject, envelope, collection,"
			" key_subject, transaction_topic)"
			" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
			" RETURNING id", &p);
	return outbox_owner_result_int();
}

/* ---- the row ---- */

static void
store(OutboxCapture *def)
{
	Parameters	p = {0};

	add(&p, OIDOID, ObjectIdGetDatum(def->relation), false);
	add_text(&p, def->log ? "log" : "trigger");
	add_text(&p, envelope_name(def->envelope));
	add_id(&p, def->route.id);
	add_id(&p, def->schema_id);
	add_id(&p, def->key_schema_id);
	add_text(&p, key_format_names[def->key_format]);
	add_names(&p, def->key_columns);
	add_names(&p, def->columns);
	add_text(&p, def->row_filter);
	add(&p, JSONBOID, PointerGetDatum(def->masks), def->masks == NULL);
	add_text(&p, special_names[def->special]);
	add_bool(&p, def->tombstones);
	add_text(&p, def->toast);
	add_bool(&p, def->as_root);
	add_bool(&p, def->rls_ok);
	add_bool(&p, def->transaction_metadata);
	add(&p, OIDOID, ObjectIdGetDatum(def->owner), false);
	add_id(&p, def->id);
	execute(def->id == 0 ?
			"INSERT INTO outbox.capture_def (relation, mode, envelope, route_id,"
			" schema_id, key_schema_id, key_format, key_columns, columns,"
			" row_filter, masks, special, tombstones, toast, as_root, rls_ok,"
			" transaction_metadata, owner)"
			" SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,"
			" $14, $15, $16, $17, $18 WHERE $19 IS NULL RETURNING id" :
			"UPDATE outbox.capture_def SET mode = $2, envelope = $3,"
			" route_id = $4, schema_id = $5, key_schema_id = $6,"
			" key_format = $7, key_columns = $8, columns = $9,"
			" row_filter = $10, masks = $11, special = $12, tombstones = $13,"
			" toast = $14, as_root = $15, rls_ok = $16,"
			" transaction_metadata = $17, owner = $18"
			" WHERE id OPERATOR(pg_catalog.=) $19"
			" AND relation OPERATOR(pg_catalog.=) $1 RETURNING id", &p);
	def->id = outbox_owner_result_int();
}

void
outbox_capture_save(OutboxCaptureRequest *request,
					const OutboxCaptureRequest *old,
					const OutboxCaptureSchemas *schemas, Oid role)
{
	register_schemas(request, old, schemas, role);
	if (old == NULL || !same_route(request, old))
		request->def.route.id = add_route(request, role);
	store(&request->def);
	CommandCounterIncrement();
}

void
outbox_capture_delete(int32 id)
{
	Parameters	p = {0};

	add_id(&p, id);
	execute("DELETE FROM outbox.capture_def WHERE id OPERATOR(pg_catalog.=) $1",
			&p);
	outbox_capture_forget_place(id);
}

void
outbox_capture_load(const OutboxCapture *capture,
					OutboxCaptureRequest *request)
{
	Parameters	p = {0};

	memset(request, 0, sizeof(*request));
	request->def = *capture;
	add_id(&p, capture->route.id);
	add(&p, OIDOID, ObjectIdGetDatum(capture->relation), false);
	execute("SELECT 0, r.subject_name_strategy, CASE WHEN EXISTS ("
			"SELECT FROM pg_catalog.pg_trigger t"
			" WHERE t.tgrelid OPERATOR(pg_catalog.=) $2"
			" AND t.tgname OPERATOR(pg_catalog.=) 'outbox_capture_insert'"
			" AND t.tgenabled OPERATOR(pg_catalog.=) 'O')"
			" THEN 'none' ELSE 'any' END"
			" FROM outbox.route r WHERE r.id OPERATOR(pg_catalog.=) $1", &p);
	request->strategy = outbox_owner_result_text(2);
	request->origin = outbox_owner_result_text(3);
}
