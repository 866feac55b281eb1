/*-------------------------------------------------------------------------
 *
 * submit.c
 *		Requests that bring a schema: look up, register, check.
 *
 * The body is {"schema": text, "schemaType", "references": [{name, subject,
 * version}], "id", "version"}.  Rules and metadata, which the original keeps
 * beside a schema, have no place in the catalog: they are refused, since a
 * rule that is dropped in silence is not kept.  Parameter "normalize" changes
 * nothing: the catalog knows every schema in one rendering.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-http/routes.h"

typedef struct Submission
{
	json_t	   *body;			/* the rest points into it */
	const char *schema;
	char	   *refs;			/* JSON text, NULL = none */
	char		id[16];			/* "" = none */
	char		version[16];	/* the same */
} Submission;

static void
free_submission(Submission *s)
{
	free(s->refs);
	json_decref(s->body);
}

/* A member that is null counts as not there. */
static json_t *
member(const json_t *object, const char *name)
{
	json_t	   *value = json_object_get(object, name);

	return json_is_null(value) ? NULL : value;
}

/* References as the registry functions take them; false for anything else. */
static bool
take_references(Submission *s, json_t *list)
{
	size_t		i;
	json_t	   *ref;

	if (list == NULL)
		return true;
	if (!json_is_array(list))
		return false;
	if (json_array_size(list) == 0)
		return true;
	json_array_foreach(list, i, ref)
	{
		if (!json_is_string(json_object_get(ref, "name")) ||
			!json_is_string(json_object_get(ref, "subject")) ||
			!json_is_integer(json_object_get(ref, "version")))
			return false;
	}
	s->refs = json_dumps(list, JSON_COMPACT);
	return s->refs != NULL;
}

/* A positive number; what others send for "none" counts as none. */
static bool
take_number(json_t *value, char to[16])
{
	json_int_t	n = json_integer_value(value);

	to[0] = '\0';
	if (value == NULL)
		return true;
	if (!json_is_integer(value) || n > PG_INT32_MAX)
		return false;
	if (n > 0)
		snprintf(to, 16, "%d", (int) n);
	return true;
}

static bool
is_empty(const json_t *value)
{
	return value == NULL ||
		(json_is_object(value) && json_object_size(value) == 0);
}

/* False when there is an answer already. */
static bool
parse(OutboxRequest *request, Submission *s)
{
	json_t	   *type;

	memset(s, 0, sizeof(*s));
	s->body = outbox_request_json(request);
	if (s->body == NULL)
		return false;
	s->schema = json_string_value(member(s->body, "schema"));
	type = member(s->body, "schemaType");
	if (type != NULL && (!json_is_string(type) ||
						 strcasecmp(json_string_value(type), "AVRO") != 0))
		outbox_answer_error(request, 42201,
							"schemas of this type are not kept here: AVRO alone");
	else if (s->schema == NULL)
		outbox_answer_error(request, 42201, "member \"schema\" must be a string");
	else if (!take_references(s, member(s->body, "references")))
		outbox_answer_error(request, 42201,
							"each of \"references\" must have name, subject and version");
	else if (!take_number(member(s->body, "id"), s->id) ||
			 !take_number(member(s->body, "version"), s->version))
		outbox_answer_error(request, 422,
							"\"id\" and \"version\" must be numbers");
	else if (!is_empty(member(s->body, "ruleSet")) ||
			 !is_empty(member(s->body, "metadata")))
		outbox_answer_error(request, 42210,
							"rules and metadata are not kept here");
	else
		return true;
	free_submission(s);
	return false;
}

bool
outbox_look_up(OutboxRequest *request, OutboxDb *db)
{
	Submission	s;

	if (db == NULL)
		return false;
	if (parse(request, &s))
	{
		const char *params[] = {
			outbox_route_subject(request, 1), s.schema, s.refs,
			outbox_request_flag(request, "deleted") ? "true" : "false"
		};

		outbox_answer_rows(request, outbox_db_query(db, request,
				"SELECT json_strip_nulls(json_build_object('subject', $1, "
				"'version', v.version, 'id', v.id, 'schema', v.definition, "
				"'references', v.refs)) FROM outbox.registry_lookup($1, $2, "
				"$3::jsonb, $4::boolean) v",
				4, params));
		free_submission(&s);
	}
	return true;
}

bool
outbox_register(OutboxRequest *request, OutboxDb *db)
{
	Submission	s;

	if (db == NULL)
		return false;
	if (parse(request, &s))
	{
		const char *params[] = {
			outbox_route_subject(request, 1), s.schema, s.refs,
			s.id[0] == '\0' ? NULL : s.id,
			s.version[0] == '\0' ? NULL : s.version
		};

		outbox_answer_rows(request, outbox_db_query(db, request,
				"SELECT json_build_object('id', v.id) "
				"FROM outbox.registry_register($1, $2, $3::jsonb, $4::integer, "
				"$5::integer) v",
				5, params));
		free_submission(&s);
	}
	return true;
}

bool
outbox_check_compatibility(OutboxRequest *request, OutboxDb *db)
{
	Submission	s;

	if (db == NULL)
		return false;
	if (parse(request, &s))
	{
		const char *params[] = {
			outbox_route_subject(request, 2),
			request->nsegments > 4 ? request->segments[4] : NULL,
			s.schema, s.refs,
			outbox_request_flag(request, "verbose") ? "true" : "false"
		};

		outbox_answer_rows(request, outbox_db_query(db, request,
				"SELECT json_strip_nulls(json_build_object('is_compatible', "
				"v.is_compatible, 'messages', CASE WHEN $5::boolean "
				"THEN coalesce(v.messages, '{}') END)) "
				"FROM outbox.registry_check($1, $2, $3, $4::jsonb) v",
				5, params));
		free_submission(&s);
	}
	return true;
}
