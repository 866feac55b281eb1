/*-------------------------------------------------------------------------
 *
 * registry.h
 *		Client of an external schema registry.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_KAFKA_REGISTRY_H
#define OUTBOX_KAFKA_REGISTRY_H

#include "outbox-kafka/config.h"
#include "outbox-kafka/registry_answer.h"
#include "record/register.h"

typedef struct OutboxRegistry OutboxRegistry;

/* NULL when none is set (class OUTBOX_OK) or the settings are wrong. */
extern OutboxRegistry *outbox_registry_new(const OutboxKafkaConfig *config,
										   OutboxResult *result);

/*
 * Do what a REGISTER frame asks for; blocks, at most 5 seconds by server and
 * request.  False and *result:
 *	OUTBOX_RETRY	no server, or none that makes sense, at the moment
 *	OUTBOX_CONFIG	a person must mend settings, credentials or the server
 *	OUTBOX_REFUSED	this schema is refused, is not there, or (when an id was
 *					given) the id does not mean it any more
 */
extern bool outbox_registry_get_id(OutboxRegistry *registry,
								   const OutboxRegister *what, uint32 *id,
								   OutboxResult *result);

/* The schema behind an id; class OUTBOX_REFUSED when there is none. */
extern bool outbox_registry_get_schema(OutboxRegistry *registry, uint32 id,
									   const char *subject,
									   OutboxRegistrySchema *schema,
									   OutboxResult *result);

/* Whether it answers and lets us in; blocks as above. */
extern bool outbox_registry_ping(OutboxRegistry *registry,
								 OutboxResult *result);

#endif							/* OUTBOX_KAFKA_REGISTRY_H */
