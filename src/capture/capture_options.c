/*-------------------------------------------------------------------------
 *
 * capture_options.c
 *		Arguments of outbox.capture() and outbox.alter_capture().
 *
 * Both lay what is given over a definition: of defaults, or of what is stored.
 * Null keeps; what can be taken away is by an empty text, array or object.
 * Here the words are checked; the table is looked at elsewhere.  Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/capture.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "emit/emit.h"
#include "miscadmin.h"
#include "rowcodec/rowcodec.h"
#include "schema/schema.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

static char *outbox_capture_topic_prefix = NULL;

void
outbox_capture_init(void)
{
	DefineCustomStringVariable("outbox.capture_topic_prefix",
							   "First part of the default topic of captured tables.",
							   "Then come schema and table.  Empty: the name of the database.",
							   &outbox_capture_topic_prefix, "",
							   PGC_SIGHUP, 0,
							   outbox_check_topic_prefix, NULL, NULL);
}

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

/* Place of a word in a list of them; hint names them all. */
static int
choose(const char *what, const char *value, const char *const *words,
	   const char *hint)
{
	for (int i = 0; words[i] != NULL; i++)
	{
		if (strcmp(value, words[i]) == 0)
			return i;
	}
	throw_invalid(what, value, hint);
	return 0;
}

static List *
names_argument(FunctionCallInfo fcinfo, int n, const char *what)
{
	Datum	   *elements;
	bool	   *nulls;
	int			count;
	List	   *names = NIL;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(n), TEXTOID, -1, false,
					  TYPALIGN_INT, &elements, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("%s must not contain nulls", what)));
		names = lappend(names, TextDatumGetCString(elements[i]));
	}
	return names;
}

static void
take_words(FunctionCallInfo fcinfo, OutboxCaptureRequest *request)
{
	static const char *const modes[] = {"trigger", "log", NULL};
	static const char *const envelopes[] = {"debezium", "flat", NULL};
	static const char *const formats[] = {"avro", "json", NULL};
	static const char *const key_formats[] = {"plain", "record", "none", NULL};
	static const char *const policies[] = {"block", "dead_letter", NULL};
	static const char *const specials[] = {"error", "null", "text", NULL};
	static const char *const toasts[] = {"full", "omit", "fetch", NULL};
	static const char *const origins[] = {"any", "none", NULL};
	OutboxCapture *def = &request->def;
	char	   *value;

	if ((value = text_argument(fcinfo, CAPTURE_MODE)) != NULL)
		def->log = choose("mode", value, modes,
						  "Use \"trigger\" or \"log\".") == 1;
	if ((value = text_argument(fcinfo, CAPTURE_ENVELOPE)) != NULL)
		def->envelope = choose("envelope", value, envelopes,
							   "Use \"debezium\" or \"flat\".") == 0 ?
			OUTBOX_ENVELOPE_DEBEZIUM : OUTBOX_ENVELOPE_FLAT;
	if ((value = text_argument(fcinfo, CAPTURE_FORMAT)) != NULL)
		def->route.format = choose("format", value, formats,
								   "Use \"avro\" or \"json\".") == 0 ?
			OUTBOX_FORMAT_AVRO : OUTBOX_FORMAT_JSON;
	if ((value = text_argument(fcinfo, CAPTURE_KEY_FORMAT)) != NULL)
		def->key_format = choose("key_format", value, key_formats,
								 "Use \"plain\", \"record\" or \"none\".");
	if ((value = text_argument(fcinfo, CAPTURE_ON_ERROR)) != NULL)
		def->route.dead_letter = choose("on_error", value, policies,
										"Use \"block\" or \"dead_letter\".") == 1;
	if ((value = text_argument(fcinfo, CAPTURE_SPECIAL)) != NULL)
		def->special = choose("special", value, specials,
							  "Use \"error\", \"null\" or \"text\".");
	if ((value = text_argument(fcinfo, CAPTURE_TOAST)) != NULL)
	{
		(void) choose("toast", value, toasts,
					  "Use \"full\", \"omit\" or \"fetch\".");
		def->toast = value;
	}
	if ((value = text_argument(fcinfo, CAPTURE_ORIGIN)) != NULL)
	{
		(void) choose("origin", value, origins, "Use \"any\" or \"none\".");
		request->origin = value;
	}
	if ((value = text_argument(fcinfo, CAPTURE_STRATEGY)) != NULL)
	{
		(void) outbox_subject_strategy(value);
		request->strategy = value;
	}
	if ((value = text_argument(fcinfo, CAPTURE_COMPATIBILITY)) != NULL)
		request->compatibility = value;
}

static void
take_switches(FunctionCallInfo fcinfo, OutboxCaptureRequest *request)
{
	OutboxCapture *def = &request->def;

	if (!PG_ARGISNULL(CAPTURE_SNAPSHOT))
		request->snapshot = PG_GETARG_BOOL(CAPTURE_SNAPSHOT);
	if (!PG_ARGISNULL(CAPTURE_TOMBSTONES))
		def->tombstones = PG_GETARG_BOOL(CAPTURE_TOMBSTONES);
	if (!PG_ARGISNULL(CAPTURE_AS_ROOT))
		def->as_root = PG_GETARG_BOOL(CAPTURE_AS_ROOT);
	if (!PG_ARGISNULL(CAPTURE_ROW_SECURITY))
		def->rls_ok = PG_GETARG_BOOL(CAPTURE_ROW_SECURITY);
	if (!PG_ARGISNULL(CAPTURE_TRANSACTION_METADATA))
		def->transaction_metadata =
			PG_GETARG_BOOL(CAPTURE_TRANSACTION_METADATA);
}

static void
take_rows(FunctionCallInfo fcinfo, OutboxCaptureRequest *request)
{
	OutboxCapture *def = &request->def;

	if (!PG_ARGISNULL(CAPTURE_KEY))
	{
		def->key_columns = names_argument(fcinfo, CAPTURE_KEY, "key");
		/* a new capture's key_format is never null: it has a default */
		if (def->key_columns == NIL &&
			(def->id == 0 || PG_ARGISNULL(CAPTURE_KEY_FORMAT)))
			def->key_format = OUTBOX_KEY_NONE;
	}
	if (!PG_ARGISNULL(CAPTURE_COLUMNS))
		def->columns = names_argument(fcinfo, CAPTURE_COLUMNS, "columns");
	if (!PG_ARGISNULL(CAPTURE_ROW_FILTER))
	{
		def->row_filter = text_argument(fcinfo, CAPTURE_ROW_FILTER);
		if (strspn(def->row_filter, " \t\n\r") == strlen(def->row_filter))
			def->row_filter = NULL;
	}
	if (!PG_ARGISNULL(CAPTURE_MASK))
	{
		def->masks = PG_GETARG_JSONB_P(CAPTURE_MASK);
		if (JB_ROOT_IS_OBJECT(def->masks) && JB_ROOT_COUNT(def->masks) == 0)
			def->masks = NULL;
	}
}

static void
take_route(FunctionCallInfo fcinfo, OutboxCaptureRequest *request)
{
	OutboxRoute *route = &request->def.route;
	const char *problem;

	if (!PG_ARGISNULL(CAPTURE_TOPIC))
	{
		route->topic = text_argument(fcinfo, CAPTURE_TOPIC);
		problem = outbox_topic_problem(route->topic, strlen(route->topic));
		if (problem != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid topic \"%s\"", route->topic),
					 errdetail("The name %s.", problem),
					 errhint("A topic has letters, digits, \".\", \"_\" and \"-\".")));
	}
	if (!PG_ARGISNULL(CAPTURE_PARTITIONS))
	{
		route->partitions = PG_GETARG_INT32(CAPTURE_PARTITIONS);
		if (route->partitions <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("number of partitions must be positive")));
	}
}

static void
check_combination(const OutboxCaptureRequest *request)
{
	const OutboxCapture *def = &request->def;

	if (!def->log && def->toast != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("toast is for mode \"log\" only"),
				 errhint("In mode \"trigger\" every image has all its columns.")));
	if (def->log && strcmp(request->origin, "none") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("origin \"none\" is for mode \"trigger\" only"),
				 errhint("Mode \"log\" takes whatever is in WAL.")));
	if (def->route.format != OUTBOX_FORMAT_AVRO &&
		request->compatibility != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a JSON capture has no compatibility level"),
				 errhint("Its values have no schema.")));
}

void
outbox_capture_take(FunctionCallInfo fcinfo, OutboxCaptureRequest *request)
{
	take_words(fcinfo, request);
	take_switches(fcinfo, request);
	take_rows(fcinfo, request);
	take_route(fcinfo, request);
	check_combination(request);
}

/* PREFIX.NAME; what no topic may have becomes "_", as in Debezium. */
static char *
prefixed(const char *name)
{
	const char *prefix = outbox_capture_topic_prefix;
	char	   *topic;

	if (prefix == NULL || *prefix == '\0')
		prefix = get_database_name(MyDatabaseId);
	topic = psprintf("%s.%s", prefix, name);
	for (char *p = topic; *p != '\0'; p++)
	{
		if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-",
				   *p) == NULL)
			*p = '_';
	}
	return topic;
}

static char *
default_topic(Relation rel, const char *name)
{
	char	   *topic = prefixed(name);
	const char *problem;

	problem = outbox_topic_problem(topic, strlen(topic));
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("table \"%s\" gives no legal topic name",
						RelationGetRelationName(rel)),
				 errdetail("The name \"%s\" %s.", topic, problem),
				 errhint("Pass topic.")));
	return topic;
}

/* Two tables whose names differ in odd characters only. */
static void
check_distinct(const char *topic, Oid relation)
{
	ListCell   *lc;

	foreach(lc, outbox_capture_list())
	{
		const OutboxCapture *other = lfirst(lc);

		if (other->relation != relation &&
			strcmp(other->route.topic, topic) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_OBJECT),
					 errmsg("topic \"%s\" is that of table \"%s\"", topic,
							get_rel_name(other->relation)),
					 errhint("Pass topic.")));
	}
}

void
outbox_capture_complete(OutboxCaptureRequest *request, Relation rel)
{
	OutboxCapture *def = &request->def;
	OutboxRoute *route = &def->route;
	char	   *name = psprintf("%s.%s",
								get_namespace_name(RelationGetNamespace(rel)),
								RelationGetRelationName(rel));

	def->relation = RelationGetRelid(rel);
	if (route->topic == NULL)
	{
		route->topic = default_topic(rel, name);
		check_distinct(route->topic, def->relation);
	}
	if (route->event_type == NULL)
		route->event_type = name;
	route->envelope = def->envelope;
	if (!def->transaction_metadata)
	{
		route->collection = NULL;
		route->transaction_topic = NULL;
	}
	else if (route->collection == NULL)
	{
		route->collection = name;
		route->transaction_topic = prefixed("transaction");
	}
	/* the key stays what it is now, whatever becomes of the primary key */
	if (def->key_format != OUTBOX_KEY_NONE)
		def->key_columns = outbox_rowcodec_key_columns(def, rel);
	if (def->key_columns == NIL)
		def->key_format = OUTBOX_KEY_NONE;
	else if (def->key_format == OUTBOX_KEY_NONE)
		def->key_columns = NIL;
}
