/*-------------------------------------------------------------------------
 *
 * routes.c
 *		Which path and method is whose.
 *
 * The API is at the root for the first database and below /databases/<name>
 * for each; below both, and for clients that are configured so, also below
 * /apis/ccompat/v7.  Holds no state.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-http/routes.h"

#include "outbox-http/settings.h"

#define WRITES	OUTBOX_ROUTE_WRITES
#define PLAIN	OUTBOX_ROUTE_PLAIN
#define OPEN	OUTBOX_ROUTE_OPEN
#define CHANGE	(OUTBOX_PUT | OUTBOX_DELETE)

static bool
get_root(OutboxRequest *request, OutboxDb *db)
{
	outbox_answer_text(request, 200, "{}", 2);
	return true;
}

static bool
list_contexts(OutboxRequest *request, OutboxDb *db)
{
	outbox_answer_text(request, 200, "[\".\"]", 5);
	return true;
}

static const OutboxRoute routes[] = {
	{"", OUTBOX_GET | OUTBOX_POST, 0, get_root},
	{"contexts", OUTBOX_GET, 0, list_contexts},
	{"schemas", OUTBOX_GET, 0, outbox_list_schemas},
	{"schemas/types", OUTBOX_GET, 0, outbox_list_types},
	{"schemas/ids/*", OUTBOX_GET, 0, outbox_get_schema},
	{"schemas/ids/*/schema", OUTBOX_GET, 0, outbox_get_schema_text},
	{"schemas/ids/*/subjects", OUTBOX_GET, 0, outbox_get_schema_subjects},
	{"schemas/ids/*/versions", OUTBOX_GET, 0, outbox_get_schema_versions},
	{"subjects", OUTBOX_GET, 0, outbox_list_subjects},
	{"subjects/*", OUTBOX_POST, 0, outbox_look_up},
	{"subjects/*", OUTBOX_DELETE, WRITES, outbox_delete_subject},
	{"subjects/*/versions", OUTBOX_GET, 0, outbox_list_versions},
	{"subjects/*/versions", OUTBOX_POST, WRITES, outbox_register},
	{"subjects/*/versions/*", OUTBOX_GET, 0, outbox_get_version},
	{"subjects/*/versions/*", OUTBOX_DELETE, WRITES, outbox_delete_version},
	{"subjects/*/versions/*/schema", OUTBOX_GET, 0, outbox_get_version_text},
	{"subjects/*/versions/*/referencedby", OUTBOX_GET, 0,
	outbox_list_referencing},
	{"compatibility/subjects/*/versions", OUTBOX_POST, 0,
	outbox_check_compatibility},
	{"compatibility/subjects/*/versions/*", OUTBOX_POST, 0,
	outbox_check_compatibility},
	{"config", OUTBOX_GET, 0, outbox_config},
	{"config", CHANGE, WRITES, outbox_config},
	{"config/*", OUTBOX_GET, 0, outbox_config},
	{"config/*", CHANGE, WRITES, outbox_config},
	{"mode", OUTBOX_GET, 0, outbox_mode},
	{"mode", OUTBOX_PUT, WRITES, outbox_mode},
	{"mode/*", OUTBOX_GET, 0, outbox_mode},
	{"mode/*", CHANGE, WRITES, outbox_mode},
	{"metrics", OUTBOX_GET, PLAIN, outbox_metrics},
	{"health", OUTBOX_GET, PLAIN | OPEN, outbox_health},
};

/* Drop the first n segments. */
static void
shift(OutboxRequest *request, int n)
{
	request->nsegments -= n;
	memmove(request->segments, request->segments + n,
			request->nsegments * sizeof(char *));
}

/* Cut the prefixes off; false for a database that is not served. */
static bool
settle_database(OutboxRequest *request)
{
	char	  **s = request->segments;
	int			i;

	if (request->nsegments >= 2 && strcmp(s[0], "databases") == 0)
	{
		for (i = 0; i < outbox_http_settings.ndatabases; i++)
		{
			if (outbox_http_settings.databases[i] != NULL &&
				strcmp(outbox_http_settings.databases[i], s[1]) == 0)
				break;
		}
		if (i == outbox_http_settings.ndatabases)
			return false;
		request->database = i;
		shift(request, 2);
	}
	if (request->nsegments >= 3 && strcmp(s[0], "apis") == 0 &&
		strcmp(s[1], "ccompat") == 0 &&
		(strcmp(s[2], "v7") == 0 || strcmp(s[2], "v8") == 0))
		shift(request, 3);
	return true;
}

static bool
path_fits(const OutboxRequest *request, const char *pattern)
{
	for (int i = 0; i < request->nsegments; i++)
	{
		const char *segment = request->segments[i];
		size_t		len = strcspn(pattern, "/");

		if (len == 0)
			return false;
		if (!(len == 1 && *pattern == '*') &&
			(strlen(segment) != len || memcmp(segment, pattern, len) != 0))
			return false;
		pattern += len;
		if (*pattern == '/')
			pattern++;
	}
	return *pattern == '\0';
}

static const char *
allow_header(int methods)
{
	switch (methods)
	{
		case OUTBOX_GET:
			return "GET, HEAD";
		case OUTBOX_POST:
			return "POST";
		case OUTBOX_DELETE:
			return "DELETE";
		case OUTBOX_GET | OUTBOX_POST:
			return "GET, HEAD, POST";
		case OUTBOX_POST | OUTBOX_DELETE:
			return "POST, DELETE";
		case OUTBOX_GET | OUTBOX_DELETE:
			return "GET, HEAD, DELETE";
		case OUTBOX_GET | OUTBOX_PUT:
			return "GET, HEAD, PUT";
		default:
			return "GET, HEAD, PUT, DELETE";
	}
}

const OutboxRoute *
outbox_route_find(OutboxRequest *request)
{
	int			methods = 0;

	if (settle_database(request))
	{
		for (size_t i = 0; i < lengthof(routes); i++)
		{
			if (!path_fits(request, routes[i].path))
				continue;
			if (routes[i].methods & request->method)
				return &routes[i];
			methods |= routes[i].methods;
		}
	}
	if (methods != 0)
	{
		request->allow = allow_header(methods);
		outbox_answer_error(request, 405, "HTTP 405 Method Not Allowed");
	}
	else
		outbox_answer_error(request, 404, "HTTP 404 Not Found");
	return NULL;
}

bool
outbox_route_admit(OutboxRequest *request, const OutboxRoute *route,
				   const char *accept, const char *content_type)
{
	if (!(route->flags & PLAIN))
	{
		request->media = outbox_media_accepted(accept);
		if (request->media == OUTBOX_MEDIA_NONE)
		{
			outbox_answer_error(request, 406, "HTTP 406 Not Acceptable");
			return false;
		}
	}
	if ((request->method & (OUTBOX_POST | OUTBOX_PUT)) &&
		!outbox_media_readable(content_type))
	{
		outbox_answer_error(request, 415, "HTTP 415 Unsupported Media Type");
		return false;
	}
	if ((route->flags & WRITES) && !outbox_http_settings.writes)
	{
		outbox_answer_error(request, 42205,
							"this registry is read-only: outbox.http_writes is off");
		return false;
	}
	return true;
}

/* ":.:name" is the default context's name, which is the only context here. */
const char *
outbox_route_subject(const OutboxRequest *request, int i)
{
	const char *subject = request->segments[i];

	return strncmp(subject, ":.:", 3) == 0 ? subject + 3 : subject;
}

/* All contexts are ours. */
const char *
outbox_param_prefix(const OutboxRequest *request)
{
	const char *prefix = outbox_request_param(request, "subjectPrefix");

	if (prefix == NULL)
		return "";
	if (strncmp(prefix, ":*:", 3) == 0 || strncmp(prefix, ":.:", 3) == 0)
		prefix += 3;
	return prefix;
}

const char *
outbox_param_number(const OutboxRequest *request, const char *name,
					const char *otherwise)
{
	const char *value = outbox_request_param(request, name);

	return value == NULL || outbox_parse_number(value) == 0 ?
		otherwise : value;
}

bool
outbox_answer_rows(OutboxRequest *request, OutboxRows *rows)
{
	const char *text;

	if (rows == NULL)
		return true;
	text = outbox_rows_count(rows) == 1 ? outbox_rows_text(rows, 0, 0) : NULL;
	if (text == NULL)
		outbox_answer_error(request, 500, "no answer from the database");
	else
		outbox_answer_json(request, 200,
						   json_loads(text, JSON_DECODE_ANY, NULL));
	outbox_rows_free(rows);
	return true;
}

uint32
outbox_parse_number(const char *text)
{
	uint64		n = 0;

	if (strlen(text) > 10)
		return 0;
	for (; *text >= '0' && *text <= '9'; text++)
		n = n * 10 + (*text - '0');
	return *text == '\0' && n <= PG_INT32_MAX ? (uint32) n : 0;
}
