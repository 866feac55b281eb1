/*-------------------------------------------------------------------------
 *
 * server.h
 *		Connections of clients.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_HTTP_SERVER_H
#define OUTBOX_HTTP_SERVER_H

#include "base/base.h"

#include "outbox-http/db.h"

/* Begin to serve; false: error says why. */
extern bool outbox_server_start(char *error, size_t error_size);

/* Close connections that are too slow; call it every second or so. */
extern void outbox_server_expire(void);

/* Accept nothing more, wait a little for what is under way. */
extern void outbox_server_stop(void);

/* ---- listen.c ---- */

#define OUTBOX_MAX_LISTENERS 16

/*
 * Sockets for the addresses of the settings; returns how many, -1: error says
 * why.  Sets whether each is on a loopback address.
 */
extern int	outbox_listen(int *sockets, bool *loopback,
						  char *error, size_t error_size);

/* ---- guard.c ---- */

/*
 * Whether a request may come from where it says.  loopback: it came in on a
 * loopback address.  Each header may be NULL.
 */
extern bool outbox_guard(OutboxMethod method, bool loopback,
						 const char *host, const char *origin);

/* ---- workers.c ---- */

/* Something to be done for a request by a worker, which has a database. */
typedef struct OutboxJob
{
	struct OutboxJob *next;
	OutboxRequest *request;
	int64		queued_at;		/* monotonic ms */
	void		(*run) (struct OutboxJob *job, OutboxDb *db);
	void		(*done) (struct OutboxJob *job);	/* by the worker, last */
} OutboxJob;

extern bool outbox_workers_start(void);

/* False when too much waits already. */
extern bool outbox_workers_submit(OutboxJob *job);

#endif							/* OUTBOX_HTTP_SERVER_H */
