/*-------------------------------------------------------------------------
 *
 * check.h
 *		Inside schema/: a new schema against what its subject had.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_SCHEMA_CHECK_H
#define OUTBOX_SCHEMA_CHECK_H

#include "postgres.h"

#include "avro/compat.h"
#include "schema/schema.h"
#include "schema/store.h"

/* Schemas to hold a new one against, oldest first. */
typedef struct OutboxCheckBase
{
	int			count;
	const OutboxAvroSchema **schemas;
	int32	   *versions;		/* 0 = none: what the event type has now */
} OutboxCheckBase;

/* Level by name, in upper or lower case; error for anything else. */
extern OutboxCompatLevel outbox_check_level(const char *name);

/* All versions of a subject that are not deleted; within an owner scope. */
extern void outbox_check_base_all(const char *subject, OutboxCheckBase *base);

/* One version, or (version 0) the schema of that id. */
extern void outbox_check_base_one(uint32 schema_id, int32 version,
								  OutboxCheckBase *base);

/*
 * register.c: what is wrong with a request, NULL = nothing; *base is what the
 * violations' versions refer to.
 */
extern OutboxCompatViolations *outbox_schema_violations(const OutboxSchemaRequest *request,
														const OutboxSubjectState *subject,
														OutboxCheckBase *base);

/* A violation's text, which is UTF-8, in the server encoding. */
extern char *outbox_check_utf8(const char *utf8);

/* What a violation is and on which sides; with rule and path in front. */
extern char *outbox_check_message(const OutboxCheckBase *base,
								  const OutboxCompatViolation *violation);
extern char *outbox_check_text(const OutboxCheckBase *base,
							   const OutboxCompatViolation *violation);

/* What to do about it: a sentence. */
extern const char *outbox_check_hint(const OutboxCompatViolation *violation);

/* Throw OUTBOX_ERRCODE_INCOMPATIBLE_SCHEMA. */
pg_noreturn extern void outbox_check_throw(const char *subject,
										   OutboxCompatLevel level,
										   const OutboxCheckBase *base,
										   const OutboxCompatViolations *list);

#endif							/* OUTBOX_SCHEMA_CHECK_H */
