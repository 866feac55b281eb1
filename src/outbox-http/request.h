/*-------------------------------------------------------------------------
 *
 * request.h
 *		One request and its answer, apart from how they came and go.
 *
 * Belongs to one thread at a time: to the HTTP thread until it is handed to a
 * worker, then to that worker until it is done, then to the HTTP thread again.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_HTTP_REQUEST_H
#define OUTBOX_HTTP_REQUEST_H

#include "base/base.h"

#include <jansson.h>

#define OUTBOX_MAX_SEGMENTS	8
#define OUTBOX_MAX_PARAMS	16
#define OUTBOX_MAX_URI		8192	/* bytes */
#define OUTBOX_MAX_BODY		(1024 * 1024)	/* bytes */

typedef enum OutboxMethod
{
	OUTBOX_GET = 1,				/* and HEAD */
	OUTBOX_POST = 2,
	OUTBOX_PUT = 4,
	OUTBOX_DELETE = 8,
	OUTBOX_OTHER_METHOD = 16
} OutboxMethod;

/* Types of answers, the registry's in order of preference. */
typedef enum OutboxMedia
{
	OUTBOX_MEDIA_V1_JSON,		/* application/vnd.schemaregistry.v1+json */
	OUTBOX_MEDIA_ANY_JSON,		/* application/vnd.schemaregistry+json */
	OUTBOX_MEDIA_JSON,			/* application/json */
	OUTBOX_MEDIA_NONE,			/* none of them is acceptable */
	OUTBOX_MEDIA_METRICS		/* Prometheus text */
} OutboxMedia;

typedef struct OutboxParam
{
	char	   *name;
	char	   *value;			/* "" when there was none */
} OutboxParam;

typedef struct OutboxRequest
{
	/* what was asked */
	OutboxMethod method;
	int			database;		/* index into the served ones */
	char	   *text;			/* what segments and params point into */
	char	   *segments[OUTBOX_MAX_SEGMENTS];	/* of the path, decoded */
	int			nsegments;
	OutboxParam params[OUTBOX_MAX_PARAMS];	/* of the query, decoded */
	int			nparams;
	StringInfoData body;

	/* the answer */
	int			status;			/* 0 = none yet */
	OutboxMedia media;
	char	   *answer;			/* malloc'd */
	size_t		answer_len;
	const char *allow;			/* 405: methods that would do, else NULL */
} OutboxRequest;

extern void outbox_request_init(OutboxRequest *request);
extern void outbox_request_free(OutboxRequest *request);

/*
 * Path and query of a request target, which is cut up and decoded.  False
 * (and an answer) when it is none: bad escapes, zero bytes, no UTF-8, too
 * many parts.
 */
extern bool outbox_request_parse(OutboxRequest *request, const char *target);

/* Value of a query parameter, or NULL. */
extern const char *outbox_request_param(const OutboxRequest *request,
										const char *name);

/* A parameter that is "true" or "false"; anything else is false. */
extern bool outbox_request_flag(const OutboxRequest *request,
								const char *name);

/* What of the registry's types an Accept header prefers; NULL = no header. */
extern OutboxMedia outbox_media_accepted(const char *accept);

/* Whether a body of this Content-Type is read; NULL = no header. */
extern bool outbox_media_readable(const char *content_type);
extern const char *outbox_media_name(OutboxMedia media);

/*
 * The body as a JSON object (caller drops the reference), or NULL and an
 * answer.
 */
extern json_t *outbox_request_json(OutboxRequest *request);

/* ---- answers: each replaces what was there ---- */

/* JSON, whose reference is taken; NULL counts as out of memory. */
extern void outbox_answer_json(OutboxRequest *request, int status,
							   json_t *value);

/* Text that is copied. */
extern void outbox_answer_text(OutboxRequest *request, int status,
							   const char *text, size_t len);

/* {"error_code": code, "message": ...}; the status is code's first digits. */
extern void outbox_answer_error(OutboxRequest *request, int code,
								const char *fmt,...)
			pg_attribute_printf(3, 4);

#endif							/* OUTBOX_HTTP_REQUEST_H */
