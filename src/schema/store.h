/*-------------------------------------------------------------------------
 *
 * store.h
 *		Inside schema/: rows of outbox.schema, subject and schema_version.
 *
 * All of it within an OutboxOwnerScope, but for outbox_schema_parse().  Texts
 * are palloc'd in the scope's memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_SCHEMA_STORE_H
#define OUTBOX_SCHEMA_STORE_H

#include "postgres.h"

#include "avro/pg_avro.h"

/* text.c: parse a text in the server encoding, or throw. */
extern OutboxAvroSchema *outbox_schema_parse(const char *schema);

/* ---- schemas (store.c) ---- */

typedef struct OutboxSchemaText
{
	const char *definition;		/* rendered */
	const char *refs;			/* jsonb as text, NULL = none */
	const char *resolved;		/* without references, NULL = definition */
} OutboxSchemaText;

/* Id of a schema, 0 when there is none. */
extern uint32 outbox_store_find(const OutboxSchemaText *text);

/*
 * Find or add; id 0 = the next one.  An id of one's own that another schema
 * has, or a schema that has another id, is OUTBOX_ERRCODE_NOT_PERMITTED.
 */
extern uint32 outbox_store_add(const OutboxSchemaText *text, Oid role,
							   uint32 id);

/* ---- subjects and versions (version.c) ---- */

typedef struct OutboxSubjectState
{
	const char *name;
	const char *level;			/* in force, by name */
	const char *mode;			/* in force */
	int32		last_version;	/* highest ever given */
	int32		latest;			/* latest not deleted, 0 = none */
	uint32		latest_schema;	/* id of that */
} OutboxSubjectState;

/*
 * Read a subject and hold it to the end of the transaction, so that nobody
 * else adds a version; add it when it is new.
 */
extern void outbox_subject_open(const char *subject, Oid role,
								OutboxSubjectState *state);

/* The latest version with this schema that is not deleted, 0 = none. */
extern int32 outbox_version_find(const OutboxSubjectState *subject, uint32 id);

/* Add a version; version 0 = the next one. */
extern int32 outbox_version_add(OutboxSubjectState *subject, uint32 id,
								int32 version, Oid role);

#endif							/* OUTBOX_SCHEMA_STORE_H */
