/*-------------------------------------------------------------------------
 *
 * schemas.c
 *		/schemas: what an id means, and where it is used.
 *
 * The first two are what every consumer asks for each schema it meets; they
 * come from memory when they were asked before.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-http/cache.h"
#include "outbox-http/routes.h"

#define MAX_LISTED "1000"		/* at most, in one answer */

static bool
no_schema(OutboxRequest *request, const char *id)
{
	outbox_answer_error(request, 40403, "Schema %s not found", id);
	return true;
}

/* The id in the path; 0, and an answer, when it is no number. */
static uint32
path_id(OutboxRequest *request)
{
	uint32		id = outbox_parse_number(request->segments[2]);

	if (id == 0 && request->status == 0)
	{
		/* a number that no schema can have is still one */
		if (request->segments[2][strspn(request->segments[2],
										"-0123456789")] == '\0' &&
			strlen(request->segments[2]) <= 10)
			no_schema(request, request->segments[2]);
		else
			outbox_answer_error(request, 404, "HTTP 404 Not Found");
	}
	return id;
}

/* Both texts of an id into memory. */
static bool
load(OutboxRequest *request, OutboxDb *db, uint32 id)
{
	const char *params[] = {request->segments[2]};
	const char *parts[OUTBOX_CACHE_PARTS];
	OutboxRows *rows;
	json_t	   *answer;
	char	   *text = NULL;

	rows = outbox_db_query(db, request,
						   "SELECT s.definition, s.refs::text "
						   "FROM outbox.wire_schemas s WHERE s.id = $1::integer",
						   1, params);
	if (rows == NULL)
		return false;
	if (outbox_rows_count(rows) == 0)
		no_schema(request, request->segments[2]);
	else
	{
		const char *refs = outbox_rows_text(rows, 0, 1);

		parts[OUTBOX_CACHE_SCHEMA] = outbox_rows_text(rows, 0, 0);
		answer = json_pack("{s:s,s:o*}", "schema", parts[OUTBOX_CACHE_SCHEMA],
						   "references",
						   refs == NULL ? NULL : json_loads(refs, 0, NULL));
		if (answer != NULL)
			text = json_dumps(answer, JSON_COMPACT);
		json_decref(answer);
		parts[OUTBOX_CACHE_ANSWER] = text;
		if (text == NULL)
			outbox_answer_error(request, 503, "out of memory");
		else
			outbox_cache_put(request->database, id, parts);
	}
	outbox_rows_free(rows);
	free(text);
	return request->status == 0;
}

static bool
get(OutboxRequest *request, OutboxDb *db, OutboxCachePart part)
{
	uint32		id = path_id(request);

	if (id == 0 || outbox_cache_answer(request, id, part))
		return true;
	if (db == NULL)
		return false;
	if (load(request, db, id) && !outbox_cache_answer(request, id, part))
		outbox_answer_error(request, 503, "out of memory");
	return true;
}

/* With the highest id there is, for clients that mirror a registry. */
static bool
get_with_max(OutboxRequest *request, OutboxDb *db)
{
	const char *params[] = {request->segments[2]};
	OutboxRows *rows;

	if (db == NULL)
		return path_id(request) == 0;
	rows = outbox_db_query(db, request,
						   "SELECT json_strip_nulls(json_build_object("
						   "'schema', s.definition, 'references', s.refs, "
						   "'maxId', (SELECT max(x.id) FROM outbox.schemas x))) "
						   "FROM outbox.wire_schemas s WHERE s.id = $1::integer",
						   1, params);
	if (rows != NULL && outbox_rows_count(rows) == 0)
	{
		outbox_rows_free(rows);
		return no_schema(request, params[0]);
	}
	return outbox_answer_rows(request, rows);
}

bool
outbox_get_schema(OutboxRequest *request, OutboxDb *db)
{
	if (outbox_request_flag(request, "fetchMaxId"))
		return get_with_max(request, db);
	return get(request, db, OUTBOX_CACHE_ANSWER);
}

bool
outbox_get_schema_text(OutboxRequest *request, OutboxDb *db)
{
	return get(request, db, OUTBOX_CACHE_SCHEMA);
}

/* Where an id is used: sql gives no row for an unknown one. */
static bool
get_uses(OutboxRequest *request, OutboxDb *db, const char *sql)
{
	const char *params[] = {request->segments[2],
		outbox_request_flag(request, "deleted") ? "true" : "false",
	outbox_request_param(request, "subject")};
	OutboxRows *rows;

	if (db == NULL)
		return path_id(request) == 0;
	rows = outbox_db_query(db, request, sql, 3, params);
	if (rows != NULL && outbox_rows_count(rows) == 0)
	{
		outbox_rows_free(rows);
		return no_schema(request, params[0]);
	}
	return outbox_answer_rows(request, rows);
}

bool
outbox_get_schema_subjects(OutboxRequest *request, OutboxDb *db)
{
	return get_uses(request, db,
					"SELECT coalesce((SELECT json_agg(DISTINCT v.subject) "
					"FROM outbox.schema_versions v WHERE v.schema_id = s.schema_id "
					"AND (NOT v.deleted OR $2::boolean) "
					"AND v.subject = coalesce($3, v.subject)), '[]') "
					"FROM outbox.wire_schemas s WHERE s.id = $1::integer");
}

bool
outbox_get_schema_versions(OutboxRequest *request, OutboxDb *db)
{
	return get_uses(request, db,
					"SELECT coalesce((SELECT json_agg(json_build_object("
					"'subject', v.subject, 'version', v.version) "
					"ORDER BY v.subject, v.version) "
					"FROM outbox.schema_versions v WHERE v.schema_id = s.schema_id "
					"AND (NOT v.deleted OR $2::boolean) "
					"AND v.subject = coalesce($3, v.subject)), '[]') "
					"FROM outbox.wire_schemas s WHERE s.id = $1::integer");
}

bool
outbox_list_schemas(OutboxRequest *request, OutboxDb *db)
{
	const char *params[] = {
		outbox_param_prefix(request),
		outbox_request_flag(request, "deleted") ? "true" : "false",
		outbox_request_flag(request, "latestOnly") ? "true" : "false",
		outbox_param_number(request, "offset", "0"),
		outbox_param_number(request, "limit", MAX_LISTED)
	};

	if (db == NULL)
		return false;
	return outbox_answer_rows(request, outbox_db_query(db, request,
			"SELECT coalesce(json_agg(json_strip_nulls(json_build_object("
			"'subject', v.subject, 'version', v.version, 'id', v.schema_id, "
			"'schema', v.definition, 'references', v.refs)) "
			"ORDER BY v.subject, v.version), '[]') FROM ("
			"SELECT x.* FROM outbox.schema_versions x "
			"WHERE starts_with(x.subject, $1) "
			"AND (NOT x.deleted OR $2::boolean) "
			"AND (NOT $3::boolean OR x.version = (SELECT max(y.version) "
			"FROM outbox.schema_versions y WHERE y.subject = x.subject "
			"AND (NOT y.deleted OR $2::boolean))) "
			"ORDER BY x.subject, x.version "
			"OFFSET $4::integer LIMIT least($5::integer, " MAX_LISTED ")) v",
			5, params));
}

bool
outbox_list_types(OutboxRequest *request, OutboxDb *db)
{
	outbox_answer_text(request, 200, "[\"AVRO\"]", 8);
	return true;
}
