/*-------------------------------------------------------------------------
 *
 * config.c
 *		/config and /mode, of a subject or (without one) of all.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-http/routes.h"

/* The subject, or NULL for the default. */
static const char *
subject_of(const OutboxRequest *request)
{
	return request->nsegments > 1 ? outbox_route_subject(request, 1) : NULL;
}

static const char *
flag(const OutboxRequest *request, const char *name)
{
	return outbox_request_flag(request, name) ? "true" : "false";
}

/*
 * The text that a PUT brings as this member, malloc'd; NULL, and an answer,
 * when it brings none.
 */
static char *
body_member(OutboxRequest *request, const char *name, int code)
{
	json_t	   *body = outbox_request_json(request);
	const char *text = json_string_value(json_object_get(body, name));
	char	   *copy = NULL;

	if (body == NULL)
		return NULL;
	if (text == NULL)
		outbox_answer_error(request, code, "member \"%s\" must be a string",
							name);
	else if ((copy = strdup(text)) == NULL)
		outbox_answer_error(request, 503, "out of memory");
	json_decref(body);
	return copy;
}

/* set gets the subject, the value and a flag; get and drop the subject. */
static bool
answer(OutboxRequest *request, OutboxDb *db, const char *get, const char *set,
	   const char *drop, const char *name, int code, const char *option)
{
	const char *params[3] = {subject_of(request), flag(request, option)};
	char	   *value;

	if (request->method == OUTBOX_GET)
		return outbox_answer_rows(request,
								  outbox_db_query(db, request, get, 2, params));
	if (request->method == OUTBOX_DELETE)
		return outbox_answer_rows(request,
								  outbox_db_query(db, request, drop, 1, params));
	value = body_member(request, name, code);
	if (value == NULL)
		return true;
	params[2] = value;
	outbox_answer_rows(request, outbox_db_query(db, request, set, 3, params));
	free(value);
	return true;
}

bool
outbox_config(OutboxRequest *request, OutboxDb *db)
{
	if (db == NULL)
		return false;
	return answer(request, db,
				  "SELECT json_build_object('compatibilityLevel', "
				  "outbox.registry_get_level($1, $2::boolean))",
				  "SELECT json_build_object('compatibility', "
				  "outbox.registry_set_level($1, $3)) WHERE $2::text <> ''",
				  "SELECT json_build_object('compatibilityLevel', "
				  "outbox.registry_delete_level($1))",
				  "compatibility", 42203, "defaultToGlobal");
}

bool
outbox_mode(OutboxRequest *request, OutboxDb *db)
{
	const char *option;

	if (db == NULL)
		return false;
	option = request->method == OUTBOX_GET ? "defaultToGlobal" : "force";
	return answer(request, db,
				  "SELECT json_build_object('mode', "
				  "outbox.registry_get_mode($1, $2::boolean))",
				  "SELECT json_build_object('mode', "
				  "outbox.registry_set_mode($1, $3, $2::boolean))",
				  "SELECT json_build_object('mode', "
				  "outbox.registry_delete_mode($1))",
				  "mode", 42204, option);
}
