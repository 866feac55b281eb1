/*-------------------------------------------------------------------------
 *
 * registry_http.h
 *		One HTTP request to a schema registry, with failover.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_KAFKA_REGISTRY_HTTP_H
#define OUTBOX_KAFKA_REGISTRY_HTTP_H

#include "outbox-kafka/config.h"

#include <sys/socket.h>

/* Settings, in the configuration of config.h. */
#define OUTBOX_REGISTRY_URL			"schema.registry.url"

typedef struct OutboxRegistryHttp OutboxRegistryHttp;

typedef struct OutboxRegistryAnswer
{
	int			status;			/* 200 to 299, or 400 to 499 */
	StringInfoData body;		/* at most OUTBOX_REGISTRY_MAX_BODY */
	char		server[128];	/* which one, for messages: HOST:PORT */
} OutboxRegistryAnswer;

#define OUTBOX_REGISTRY_MAX_BODY	(1024 * 1024)

/*
 * NULL when no address is set (class OUTBOX_OK) or the settings are wrong.
 * Not in two threads at a time; may change threads in between.
 */
extern OutboxRegistryHttp *outbox_registry_http_new(const OutboxKafkaConfig *config,
													OutboxResult *result);

/* Drop all connections; for programs that go on without it. */
extern void outbox_registry_http_free(OutboxRegistryHttp *http);

/*
 * Ask each server in turn, at most 5 seconds each, until one has something to
 * say.  path begins with a slash and is encoded; body is JSON, or NULL for
 * GET; method NULL: GET or POST.  False and *result when none did.  The answer's
 * body is palloc'd in either case.
 */
extern bool outbox_registry_http_ask(OutboxRegistryHttp *http,
									 const char *method, const char *path,
									 const char *body,
									 OutboxRegistryAnswer *answer,
									 OutboxResult *result);

/* Replace what is secret in a text that came from outside. */
extern void outbox_registry_http_mask(const OutboxRegistryHttp *http,
									  char *text);

/* Whether an address must never be connected to. */
extern bool outbox_registry_address_refused(const struct sockaddr *address);

#endif							/* OUTBOX_KAFKA_REGISTRY_HTTP_H */
