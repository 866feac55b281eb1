/*-------------------------------------------------------------------------
 *
 * schemas.h
 *		Schemas by id, from files exported from the database.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_KAFKA_SCHEMAS_H
#define OUTBOX_KAFKA_SCHEMAS_H

#include "avro/avro.h"

typedef struct OutboxSchemas OutboxSchemas;

/*
 * Read a file of JSON lines {"id": N, "schema": ...}, or every *.json and
 * *.jsonl of a folder.  NULL and a message to stderr when that fails.
 */
extern OutboxSchemas *outbox_schemas_load(const char *path);

/* NULL when there is none of this id. */
extern const OutboxAvroSchema *outbox_schemas_find(const OutboxSchemas *all,
												   uint32 id);

#endif							/* OUTBOX_KAFKA_SCHEMAS_H */
