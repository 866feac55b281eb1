/*-------------------------------------------------------------------------
 *
 * http_request.c
 *		Fuzz target: what outbox-http does with a request, from its first line
 *		to the answer.
 *
 * Input: a line each for method and flags, target, Accept, Content-Type,
 * Authorization, Host, Origin and what the database says; then the body.  The
 * database is answered for here: the only thing behind db.h that a client can
 * not reach is libpq.  Checked beyond "does not crash": there is an answer,
 * errors are JSON with a code that fits the status, parameters are UTF-8.
 *
 * max_len: 8192
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz/fuzz.h"

#include "outbox-http/auth.h"
#include "outbox-http/cache.h"
#include "outbox-http/log.h"
#include "outbox-http/routes.h"
#include "outbox-http/server.h"
#include "outbox-http/settings.h"
#include "outbox-http/utf8.h"

int			LLVMFuzzerTestOneInput(const uint8 *data, size_t size);

/* ---- the database ---- */

struct OutboxRows
{
	int			count;
};

static struct OutboxRows rows;
static const char *says;		/* what each value is; "!..." is an error */

OutboxRows *
outbox_db_query(OutboxDb *db, OutboxRequest *request, const char *sql,
				int nparams, const char *const *params)
{
	for (int i = 0; i < nparams; i++)
	{
		if (params[i] != NULL &&
			!outbox_utf8_valid(params[i], strlen(params[i])))
			fuzz_die("a parameter is not UTF-8");
	}
	if (says[0] == '!')
	{
		outbox_answer_error(request, 40401, "%s", says + 1);
		return NULL;
	}
	rows.count = says[0] != '0';
	return &rows;
}

int
outbox_rows_count(const OutboxRows *r)
{
	return r->count;
}

int
outbox_rows_columns(const OutboxRows *r)
{
	return 5;
}

const char *
outbox_rows_name(const OutboxRows *r, int column)
{
	static const char *const names[] = {"datname", "topic", "events",
	"published_lsn", "state_since"};

	return names[column];
}

OutboxColumnKind
outbox_rows_kind(const OutboxRows *r, int column)
{
	return (OutboxColumnKind) ((column + 2) % 4);
}

const char *
outbox_rows_text(const OutboxRows *r, int row, int column)
{
	return column == 1 && says[0] == '1' ? NULL : says;
}

void
outbox_rows_free(OutboxRows *r)
{
}

void
outbox_log(OutboxLogKind kind, const char *fmt,...)
{
}

/* ---- one request ---- */

/* The next line of the input, terminated; "" at its end. */
static const char *
line(const uint8 **data, size_t *size)
{
	const uint8 *end = memchr(*data, '\n', *size);
	size_t		len = end != NULL ? end - *data : *size;
	char	   *text = palloc(len + 1);

	memcpy(text, *data, len);
	text[len] = '\0';
	*data += len;
	*size -= len;
	if (*size > 0)
	{
		*data += 1;
		*size -= 1;
	}
	return text;
}

static const char *
header(const char *text)
{
	return *text == '\0' ? NULL : text;
}

static void
check_answer(const OutboxRequest *request)
{
	json_t	   *value;
	int			code;

	if (request->status < 200 || request->status > 599)
		fuzz_die("no answer");
	if (request->status < 400 || request->answer == NULL ||
		strncmp(request->answer, "{\"status\":", 10) == 0)
		return;
	value = json_loadb(request->answer, request->answer_len, 0, NULL);
	code = (int) json_integer_value(json_object_get(value, "error_code"));
	while (code > 999)
		code /= 10;
	if (code != request->status && request->status != 503)
		fuzz_die("status and code of an error do not fit");
	json_decref(value);
}

/* As server.c goes through it. */
static void
handle(OutboxRequest *request, const char *target, const char *accept,
	   const char *content_type, const char *host, const char *origin,
	   bool loopback)
{
	const OutboxRoute *route;

	if (!outbox_request_parse(request, target))
		return;
	if (!outbox_guard(request->method, loopback, host, origin))
	{
		outbox_answer_error(request, 40301, "no");
		return;
	}
	route = outbox_route_find(request);
	if (route == NULL ||
		!outbox_route_admit(request, route, accept, content_type))
		return;
	if (!route->handler(request, NULL) &&
		!route->handler(request, (OutboxDb *) &rows))
		fuzz_die("a handler with a database does not answer");
}

int
LLVMFuzzerTestOneInput(const uint8 *data, size_t size)
{
	static char listen[] = "8081, some.host:8082";
	static char first[] = "first",
				second[] = "second";
	OutboxRequest request;
	const char *flags = line(&data, &size);
	const char *target = line(&data, &size);
	const char *accept = line(&data, &size);
	const char *content_type = line(&data, &size);
	const char *authorization = line(&data, &size);
	const char *host = line(&data, &size);
	const char *origin = line(&data, &size);
	const char *password;
	unsigned	bits = (unsigned) flags[0];

	says = line(&data, &size);
	outbox_http_settings.listen = listen;
	outbox_http_settings.databases[0] = first;
	outbox_http_settings.databases[1] = second;
	outbox_http_settings.ndatabases = 2;
	outbox_http_settings.writes = (bits & 8) != 0;
	outbox_cache_init();

	outbox_request_init(&request);
	request.method = 1 << (bits & 3);
	if (size > 0)
	{
		initStringInfo(&request.body);
		appendBinaryStringInfo(&request.body, (const char *) data, size);
	}
	free(outbox_auth_parse(header(authorization), &password));
	handle(&request, target, header(accept), header(content_type),
		   header(host), header(origin), (bits & 16) != 0);
	check_answer(&request);
	outbox_request_free(&request);
	return fuzz_end();
}
