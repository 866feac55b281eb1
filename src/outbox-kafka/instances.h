/*-------------------------------------------------------------------------
 *
 * instances.h
 *		Which instances use this Kafka, and from where their schema ids come.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_KAFKA_INSTANCES_H
#define OUTBOX_KAFKA_INSTANCES_H

#include "outbox-kafka/diagnose.h"

#define OUTBOX_INSTANCES_TOPIC	"outbox.instances"

/* The ANNOUNCE request, which is not answered. */
extern void outbox_instances_announce(OutboxSession *session,
									  const char *body, size_t len);

/* In the registrar's thread, of DIAGNOSE: does another one use our block? */
extern void outbox_instances_compare(OutboxDiagnose *diagnose,
									 OutboxSession *session);

#endif							/* OUTBOX_KAFKA_INSTANCES_H */
