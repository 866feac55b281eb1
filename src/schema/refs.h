/*-------------------------------------------------------------------------
 *
 * refs.h
 *		Inside schema/: schemas that refer to named types of other subjects.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_SCHEMA_REFS_H
#define OUTBOX_SCHEMA_REFS_H

#include "postgres.h"

#include "schema/store.h"

typedef struct OutboxParsedSchema
{
	OutboxSchemaText text;		/* as it is stored */
	OutboxAvroSchema *schema;	/* complete */
} OutboxParsedSchema;

/*
 * Parse a schema whose references are a JSON array of {name, subject,
 * version}, or NULL; version -1 is the latest.  Within an owner scope; error
 * OUTBOX_ERRCODE_INVALID_SCHEMA.
 */
extern void outbox_refs_parse(const char *schema, const char *refs,
							  OutboxParsedSchema *out);

#endif							/* OUTBOX_SCHEMA_REFS_H */
