/*-------------------------------------------------------------------------
 *
 * registry_answer.h
 *		What a schema registry's answers say.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_KAFKA_REGISTRY_ANSWER_H
#define OUTBOX_KAFKA_REGISTRY_ANSWER_H

#include "base/base.h"

typedef struct OutboxRegistrySchema
{
	uint32		id;				/* 0: not said */
	char	   *text;			/* palloc'd */
	bool		references;		/* it has some: text alone is not whole */
} OutboxRegistrySchema;

/* {"id": 1}: false when there is no id that fits the wire format. */
extern bool outbox_registry_read_id(const char *body, size_t len, uint32 *id);

/* {"schema": "...", "id": 1}, of type Avro.  False when it is none. */
extern bool outbox_registry_read_schema(const char *body, size_t len,
										OutboxRegistrySchema *schema);

/*
 * {"error_code": 409, "message": "..."}: the code, or 0; the message as one
 * line, cut to fit, or "".
 */
extern int	outbox_registry_read_error(const char *body, size_t len,
									   char *message, size_t size);

/*
 * Whether bytes written with one schema mean the same when read with the other
 * as if it were the writer's: canonical form and logical types are equal.
 * False also when one of them is no schema.
 */
extern bool outbox_registry_same_values(const char *one, const char *other);

#endif							/* OUTBOX_KAFKA_REGISTRY_ANSWER_H */
