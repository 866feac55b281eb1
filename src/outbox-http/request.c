/*-------------------------------------------------------------------------
 *
 * request.c
 *		Take a request apart, put an answer together.
 *
 * All input is the client's and trusted in nothing.  What comes out of the
 * parser is valid UTF-8 without zero bytes, so it may go to the database as a
 * parameter.  A segment is decoded after the path was cut at its slashes: an
 * encoded slash belongs to a name (of a subject).
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-http/request.h"

#include <stdarg.h>

#include "outbox-http/utf8.h"

void
outbox_request_init(OutboxRequest *request)
{
	memset(request, 0, sizeof(*request));
	request->media = OUTBOX_MEDIA_V1_JSON;
}

void
outbox_request_free(OutboxRequest *request)
{
	free(request->text);
	free(request->answer);
	if (request->body.data != NULL)
		pfree(request->body.data);
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/*
 * Undo percent escapes in place, in a query also plus for blank (RFC 3986;
 * the HTML form encoding).  False for bad escapes and for what is no text.
 */
static bool
decode(char *s, bool query)
{
	char	   *to = s;
	const char *begin = s;

	for (; *s != '\0'; s++)
	{
		if (*s == '%')
		{
			int			high = hex_digit(s[1]);
			int			low = high < 0 ? -1 : hex_digit(s[2]);

			if (low < 0 || (high == 0 && low == 0))
				return false;
			*to++ = (char) (high << 4 | low);
			s += 2;
		}
		else
			*to++ = query && *s == '+' ? ' ' : *s;
	}
	*to = '\0';
	return outbox_utf8_valid(begin, to - begin);
}

/* Empty segments count for nothing: "/subjects/" is "/subjects". */
static bool
parse_path(OutboxRequest *request, char *path)
{
	for (char *next; path != NULL; path = next)
	{
		next = strchr(path, '/');
		if (next != NULL)
			*next++ = '\0';
		if (*path == '\0')
			continue;
		if (request->nsegments == OUTBOX_MAX_SEGMENTS || !decode(path, false))
			return false;
		request->segments[request->nsegments++] = path;
	}
	return true;
}

static bool
parse_query(OutboxRequest *request, char *query)
{
	for (char *next; query != NULL; query = next)
	{
		OutboxParam *param = &request->params[request->nparams];
		char	   *equals;

		next = strchr(query, '&');
		if (next != NULL)
			*next++ = '\0';
		if (*query == '\0')
			continue;
		if (request->nparams == OUTBOX_MAX_PARAMS)
			return false;
		equals = strchr(query, '=');
		param->name = query;
		param->value = equals == NULL ? query + strlen(query) : equals + 1;
		if (equals != NULL)
			*equals = '\0';
		if (!decode(param->name, true) || !decode(param->value, true))
			return false;
		request->nparams++;
	}
	return true;
}

bool
outbox_request_parse(OutboxRequest *request, const char *target)
{
	char	   *query;

	if (strlen(target) > OUTBOX_MAX_URI)
	{
		outbox_answer_error(request, 414, "HTTP 414 Request-URI Too Long");
		return false;
	}
	request->text = strdup(target);
	if (request->text == NULL)
	{
		outbox_answer_error(request, 503, "out of memory");
		return false;
	}
	query = strchr(request->text, '?');
	if (query != NULL)
		*query++ = '\0';
	if (request->text[0] == '/' && parse_path(request, request->text) &&
		parse_query(request, query))
		return true;
	outbox_answer_error(request, 400, "HTTP 400 Bad Request");
	return false;
}

const char *
outbox_request_param(const OutboxRequest *request, const char *name)
{
	for (int i = 0; i < request->nparams; i++)
	{
		if (strcmp(request->params[i].name, name) == 0)
			return request->params[i].value;
	}
	return NULL;
}

bool
outbox_request_flag(const OutboxRequest *request, const char *name)
{
	const char *value = outbox_request_param(request, name);

	return value != NULL && strcasecmp(value, "true") == 0;
}

json_t *
outbox_request_json(OutboxRequest *request)
{
	json_error_t error;
	json_t	   *value = NULL;

	if (request->body.data != NULL)
		value = json_loadb(request->body.data, request->body.len,
						   JSON_REJECT_DUPLICATES, &error);
	else
		strlcpy(error.text, "the body is empty", sizeof(error.text));
	if (value == NULL)
		outbox_answer_error(request, 400, "malformed JSON: %s", error.text);
	else if (!json_is_object(value))
	{
		json_decref(value);
		value = NULL;
		outbox_answer_error(request, 400, "malformed JSON: no object");
	}
	return value;
}

static void
set_answer(OutboxRequest *request, int status, char *text, size_t len)
{
	free(request->answer);
	request->status = status;
	request->answer = text;
	request->answer_len = len;
}

void
outbox_answer_text(OutboxRequest *request, int status, const char *text,
				   size_t len)
{
	char	   *copy = malloc(len + 1);

	if (copy == NULL)
	{
		set_answer(request, 503, NULL, 0);
		return;
	}
	memcpy(copy, text, len);
	copy[len] = '\0';
	set_answer(request, status, copy, len);
}

void
outbox_answer_json(OutboxRequest *request, int status, json_t *value)
{
	char	   *text = NULL;

	if (value != NULL)
		text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	json_decref(value);
	if (text == NULL)
		set_answer(request, 503, NULL, 0);
	else
		set_answer(request, status, text, strlen(text));
}

void
outbox_answer_error(OutboxRequest *request, int code, const char *fmt,...)
{
	char		message[1024];
	va_list		args;
	int			status = code;

	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	outbox_utf8_cut(message);
	while (status > 999)
		status /= 10;
	/* a database that is away is back soon: clients may try again */
	if (code == 50001)
		status = 503;
	if (request->media == OUTBOX_MEDIA_NONE ||
		request->media == OUTBOX_MEDIA_METRICS)
		request->media = OUTBOX_MEDIA_JSON;
	outbox_answer_json(request, status,
					   json_pack("{s:i,s:s}", "error_code", code,
								 "message", message));
}
