/*-------------------------------------------------------------------------
 *
 * schemas.h
 *		Schemas by id, from files exported from the database or a registry.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_KAFKA_SCHEMAS_H
#define OUTBOX_KAFKA_SCHEMAS_H

#include "avro/avro.h"
#include "outbox-kafka/registry.h"

typedef struct OutboxSchemas OutboxSchemas;

/*
 * Read a file of JSON lines {"id": N, "schema": ...}, or every *.json and
 * *.jsonl of a folder.  NULL and a message to stderr when that fails.
 */
extern OutboxSchemas *outbox_schemas_load(const char *path);

/* Without files, or besides them: ask a registry. */
extern OutboxSchemas *outbox_schemas_from_registry(OutboxSchemas *files,
												   OutboxRegistry *registry);

/*
 * NULL when there is none of this id; *why then says so, one line.  May ask the
 * registry, which takes its time.
 */
extern const OutboxAvroSchema *outbox_schemas_find(OutboxSchemas *all,
												   uint32 id,
												   const char **why);

#endif							/* OUTBOX_KAFKA_SCHEMAS_H */
