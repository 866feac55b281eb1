/*-------------------------------------------------------------------------
 *
 * subjects.c
 *		/subjects: names, versions, deletion.
 *
 * What there is and what may go, views and registry functions know; they raise
 * what db.c makes an answer of.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-http/routes.h"

static const char *
flag(const OutboxRequest *request, const char *name)
{
	return outbox_request_flag(request, name) ? "true" : "false";
}

bool
outbox_list_subjects(OutboxRequest *request, OutboxDb *db)
{
	const char *params[] = {
		outbox_param_prefix(request),
		flag(request, "deleted"), flag(request, "deletedOnly"),
		outbox_param_number(request, "offset", "0"),
		outbox_param_number(request, "limit", NULL)
	};

	if (db == NULL)
		return false;
	return outbox_answer_rows(request, outbox_db_query(db, request,
			"SELECT coalesce(json_agg(l.subject ORDER BY l.subject), '[]') "
			"FROM (SELECT s.subject FROM outbox.subjects s "
			"WHERE starts_with(s.subject, $1) AND CASE "
			"WHEN $3::boolean THEN s.versions = '{}' AND s.deleted_versions <> '{}' "
			"WHEN $2::boolean THEN s.versions <> '{}' OR s.deleted_versions <> '{}' "
			"ELSE s.versions <> '{}' END "
			"ORDER BY s.subject OFFSET $4::integer LIMIT $5::integer) l",
			5, params));
}

bool
outbox_list_versions(OutboxRequest *request, OutboxDb *db)
{
	const char *params[] = {
		outbox_route_subject(request, 1),
		flag(request, "deleted"), flag(request, "deletedOnly"),
		outbox_param_number(request, "offset", "0"),
		outbox_param_number(request, "limit", NULL)
	};
	OutboxRows *rows;

	if (db == NULL)
		return false;
	rows = outbox_db_query(db, request,
			"SELECT (SELECT coalesce(json_agg(l.version), '[]') FROM ("
			"SELECT v.version FROM outbox.schema_versions v "
			"WHERE v.subject = s.subject AND CASE "
			"WHEN $3::boolean THEN v.deleted ELSE $2::boolean OR NOT v.deleted END "
			"ORDER BY v.version OFFSET $4::integer LIMIT $5::integer) l) "
			"FROM outbox.subjects s WHERE s.subject = $1 AND CASE "
			"WHEN $3::boolean THEN s.deleted_versions <> '{}' "
			"WHEN $2::boolean THEN s.versions <> '{}' OR s.deleted_versions <> '{}' "
			"ELSE s.versions <> '{}' END",
			5, params);
	if (rows != NULL && outbox_rows_count(rows) == 0)
	{
		outbox_rows_free(rows);
		outbox_answer_error(request, 40401, "subject \"%s\" not found",
							params[0]);
		return true;
	}
	return outbox_answer_rows(request, rows);
}

bool
outbox_get_version(OutboxRequest *request, OutboxDb *db)
{
	const char *params[] = {
		outbox_route_subject(request, 1), request->segments[3],
		flag(request, "deleted")
	};

	if (db == NULL)
		return false;
	return outbox_answer_rows(request, outbox_db_query(db, request,
			"SELECT json_strip_nulls(json_build_object('subject', $1, "
			"'version', v.version, 'id', v.id, 'schema', v.definition, "
			"'references', v.refs)) "
			"FROM outbox.registry_version($1, $2, $3::boolean) v",
			3, params));
}

bool
outbox_get_version_text(OutboxRequest *request, OutboxDb *db)
{
	const char *params[] = {
		outbox_route_subject(request, 1), request->segments[3],
		flag(request, "deleted")
	};
	OutboxRows *rows;

	if (db == NULL)
		return false;
	rows = outbox_db_query(db, request,
			"SELECT v.definition "
			"FROM outbox.registry_version($1, $2, $3::boolean) v",
			3, params);
	if (rows != NULL)
	{
		const char *text = outbox_rows_text(rows, 0, 0);

		outbox_answer_text(request, 200, text, strlen(text));
		outbox_rows_free(rows);
	}
	return true;
}

bool
outbox_list_referencing(OutboxRequest *request, OutboxDb *db)
{
	const char *params[] = {
		outbox_route_subject(request, 1), request->segments[3]
	};

	if (db == NULL)
		return false;
	return outbox_answer_rows(request, outbox_db_query(db, request,
			"SELECT coalesce((SELECT json_agg(DISTINCT x.schema_id) "
			"FROM outbox.schema_versions x WHERE NOT x.deleted "
			"AND x.refs @> jsonb_build_array(jsonb_build_object("
			"'subject', $1, 'version', v.version))), '[]') "
			"FROM outbox.registry_version($1, $2) v",
			2, params));
}

bool
outbox_delete_subject(OutboxRequest *request, OutboxDb *db)
{
	const char *params[] = {
		outbox_route_subject(request, 1), flag(request, "permanent")
	};

	if (db == NULL)
		return false;
	return outbox_answer_rows(request, outbox_db_query(db, request,
			"SELECT to_json(outbox.registry_delete_subject($1, $2::boolean))",
			2, params));
}

bool
outbox_delete_version(OutboxRequest *request, OutboxDb *db)
{
	const char *params[] = {
		outbox_route_subject(request, 1), request->segments[3],
		flag(request, "permanent")
	};

	if (db == NULL)
		return false;
	return outbox_answer_rows(request, outbox_db_query(db, request,
			"SELECT to_json(outbox.registry_delete_version($1, $2, $3::boolean))",
			3, params));
}
