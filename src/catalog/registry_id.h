/*-------------------------------------------------------------------------
 *
 * registry_id.h
 *		What the relay tells an external schema registry, and what it was
 *		told: outbox.schema and outbox.registry_id.
 *
 * In a transaction of the caller.  Texts are palloc'd, in UTF-8.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_REGISTRY_ID_H
#define OUTBOX_REGISTRY_ID_H

#include "postgres.h"

typedef struct OutboxSchemaTexts
{
	char	   *definition;
	char	   *references;		/* JSON, NULL: none */
	char	   *resolved;		/* definition without any, NULL: itself */
} OutboxSchemaTexts;

/* False when there is no such schema. */
extern bool outbox_schema_texts(uint32 id, OutboxSchemaTexts *texts);

/* The id given before, 0: none. */
extern uint32 outbox_registry_id_find(const char *registry,
									  const char *subject, uint32 schema_id);

/*
 * Keep an id for ever, unless there is one already.  Returns the one that is
 * there afterwards.
 */
extern uint32 outbox_registry_id_keep(const char *registry,
									  const char *subject, uint32 schema_id,
									  uint32 external_id);

#endif							/* OUTBOX_REGISTRY_ID_H */
