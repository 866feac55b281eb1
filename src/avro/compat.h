/*-------------------------------------------------------------------------
 *
 * compat.h
 *		May one schema follow another?  Avro's schema resolution, and the
 *		levels that schema registries give names to.
 *
 * Source: Apache Avro specification, "Schema Resolution" and "Aliases".
 * Built for the server and for programs.  (Version differences of PostgreSQL
 * are another file, src/compat.h.)
 *
 * Never more lenient than org.apache.avro.SchemaCompatibility of Java; where
 * this is stricter, because data would be refused or misread by real readers,
 * the rule has a name of its own.  docs/schemas.md lists them all.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_AVRO_COMPAT_H
#define OUTBOX_AVRO_COMPAT_H

#include "avro/avro.h"

typedef enum OutboxCompatLevel
{
	OUTBOX_COMPAT_NONE,
	OUTBOX_COMPAT_BACKWARD,
	OUTBOX_COMPAT_BACKWARD_TRANSITIVE,
	OUTBOX_COMPAT_FORWARD,
	OUTBOX_COMPAT_FORWARD_TRANSITIVE,
	OUTBOX_COMPAT_FULL,
	OUTBOX_COMPAT_FULL_TRANSITIVE
} OutboxCompatLevel;

/* "BACKWARD" or "backward"; false and *level untouched for anything else. */
extern bool outbox_compat_level_parse(const char *name,
									  OutboxCompatLevel *level);

/* Upper case. */
extern const char *outbox_compat_level_name(OutboxCompatLevel level);

/* Rules of the specification, by the names Java gives them ... */
#define OUTBOX_COMPAT_NAME_MISMATCH "NAME_MISMATCH"
#define OUTBOX_COMPAT_FIXED_SIZE_MISMATCH "FIXED_SIZE_MISMATCH"
#define OUTBOX_COMPAT_MISSING_ENUM_SYMBOLS "MISSING_ENUM_SYMBOLS"
#define OUTBOX_COMPAT_MISSING_DEFAULT "READER_FIELD_MISSING_DEFAULT_VALUE"
#define OUTBOX_COMPAT_TYPE_MISMATCH "TYPE_MISMATCH"
#define OUTBOX_COMPAT_MISSING_UNION_BRANCH "MISSING_UNION_BRANCH"

/* ... and those that Java's check does not make. */
#define OUTBOX_COMPAT_DECIMAL_MISMATCH "DECIMAL_MISMATCH"
#define OUTBOX_COMPAT_LOGICAL_TYPE_MISMATCH "LOGICAL_TYPE_MISMATCH"
#define OUTBOX_COMPAT_NAMESPACE_MISMATCH "NAMESPACE_MISMATCH"
#define OUTBOX_COMPAT_AMBIGUOUS_ALIAS "AMBIGUOUS_ALIAS"
#define OUTBOX_COMPAT_AMBIGUOUS_BRANCH "AMBIGUOUS_UNION_BRANCH"

typedef enum OutboxCompatDirection
{
	OUTBOX_COMPAT_NEW_READS_OLD,	/* what BACKWARD asks for */
	OUTBOX_COMPAT_OLD_READS_NEW /* what FORWARD asks for */
} OutboxCompatDirection;

typedef struct OutboxCompatViolation
{
	const char *rule;			/* one of the names above; static */
	const char *path;			/* "$.items[].price", "{}" for map values */
	const char *reader;			/* the reader's part: "int", "record a.B" */
	const char *writer;
	const char *message;		/* one line, lower case, no period */

	/* set by outbox_compat_check() */
	int			version;		/* index into old[] */
	OutboxCompatDirection direction;
} OutboxCompatViolation;

/* No list is longer; the walk stops there. */
#define OUTBOX_COMPAT_MAX_VIOLATIONS 1000

typedef struct OutboxCompatViolations
{
	int			count;			/* 0: compatible */
	bool		cut;			/* there may be more */
	int			space;
	OutboxCompatViolation *items;
} OutboxCompatViolations;

/* Can data of writer be read with reader?  Palloc'd, texts too (UTF-8). */
extern OutboxCompatViolations *outbox_compat_read(const OutboxAvroSchema *reader,
												  const OutboxAvroSchema *writer);

/*
 * May new_schema follow old[0..n-1], oldest first, at this level?  Levels
 * that are not transitive look at old[n-1] alone; n may be 0.
 */
extern OutboxCompatViolations *outbox_compat_check(const OutboxAvroSchema *new_schema,
												   const OutboxAvroSchema *const *old,
												   int n,
												   OutboxCompatLevel level);

extern void outbox_compat_free(OutboxCompatViolations *list);

#endif							/* OUTBOX_AVRO_COMPAT_H */
