/*-------------------------------------------------------------------------
 *
 * routes.h
 *		Which path and method is whose.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_HTTP_ROUTES_H
#define OUTBOX_HTTP_ROUTES_H

#include "outbox-http/db.h"
#include "outbox-http/request.h"

/*
 * Answer a request.  At once when db is NULL, if that is possible without the
 * database; false then means that it takes a worker.  With db it always
 * answers.
 */
typedef bool (*OutboxHandler) (OutboxRequest *request, OutboxDb *db);

#define OUTBOX_ROUTE_WRITES	1	/* changes the catalog */
#define OUTBOX_ROUTE_PLAIN	2	/* not of the registry: any Accept will do */
#define OUTBOX_ROUTE_OPEN	4	/* needs no password */

typedef struct OutboxRoute
{
	const char *path;			/* "*" stands for one segment */
	int			methods;		/* OutboxMethod bits */
	int			flags;
	OutboxHandler handler;
} OutboxRoute;

/*
 * The route of a parsed request: settles its database and cuts the prefix of
 * it off.  NULL, and an answer, when there is none.
 */
extern const OutboxRoute *outbox_route_find(OutboxRequest *request);

/*
 * What can be said before the body is read: content types and whether writes
 * are on.  False, and an answer, when the request goes no further.
 */
extern bool outbox_route_admit(OutboxRequest *request,
							   const OutboxRoute *route, const char *accept,
							   const char *content_type);

/* schemas.c */
extern bool outbox_get_schema(OutboxRequest *request, OutboxDb *db);
extern bool outbox_get_schema_text(OutboxRequest *request, OutboxDb *db);
extern bool outbox_get_schema_subjects(OutboxRequest *request, OutboxDb *db);
extern bool outbox_get_schema_versions(OutboxRequest *request, OutboxDb *db);
extern bool outbox_list_schemas(OutboxRequest *request, OutboxDb *db);
extern bool outbox_list_types(OutboxRequest *request, OutboxDb *db);

/* subjects.c */
extern bool outbox_list_subjects(OutboxRequest *request, OutboxDb *db);
extern bool outbox_list_versions(OutboxRequest *request, OutboxDb *db);
extern bool outbox_get_version(OutboxRequest *request, OutboxDb *db);
extern bool outbox_get_version_text(OutboxRequest *request, OutboxDb *db);
extern bool outbox_list_referencing(OutboxRequest *request, OutboxDb *db);
extern bool outbox_delete_subject(OutboxRequest *request, OutboxDb *db);
extern bool outbox_delete_version(OutboxRequest *request, OutboxDb *db);

/* submit.c */
extern bool outbox_look_up(OutboxRequest *request, OutboxDb *db);
extern bool outbox_register(OutboxRequest *request, OutboxDb *db);
extern bool outbox_check_compatibility(OutboxRequest *request, OutboxDb *db);

/* config.c */
extern bool outbox_config(OutboxRequest *request, OutboxDb *db);
extern bool outbox_mode(OutboxRequest *request, OutboxDb *db);

/* metrics.c, health.c */
extern bool outbox_metrics(OutboxRequest *request, OutboxDb *db);
extern bool outbox_health(OutboxRequest *request, OutboxDb *db);

/* ---- for handlers ---- */

/* A subject's name, which is the i-th segment. */
extern const char *outbox_route_subject(const OutboxRequest *request, int i);

/*
 * The rows' first value is the JSON that the answer is; frees the rows, which
 * may be NULL when there is an answer already.  Returns true.
 */
extern bool outbox_answer_rows(OutboxRequest *request, OutboxRows *rows);

/* Parameter subjectPrefix without a context, "" when there is none. */
extern const char *outbox_param_prefix(const OutboxRequest *request);

/* A parameter that is a positive number, or what to take otherwise. */
extern const char *outbox_param_number(const OutboxRequest *request,
									   const char *name,
									   const char *otherwise);

/* A number from 1 to 2^31-1 in decimal digits, else 0. */
extern uint32 outbox_parse_number(const char *text);

#endif							/* OUTBOX_HTTP_ROUTES_H */
