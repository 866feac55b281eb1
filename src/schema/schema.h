/*-------------------------------------------------------------------------
 *
 * schema.h
 *		The one door for schemas: which id is this text, which subject does
 *		it belong to, may it follow what was there.
 *
 * Texts are in the server encoding and in avro's one rendering, so that equal
 * schemas are equal texts.  What changes our tables runs within an
 * OutboxOwnerScope (catalog/owner.h) of the caller.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_SCHEMA_H
#define OUTBOX_SCHEMA_H

#include "postgres.h"

#include "avro/pg_avro.h"
#include "nodes/pg_list.h"

/* Settings (guc_schema.c). */
extern int	outbox_compatibility;	/* OutboxCompatLevel of subjects without one */
extern bool outbox_allow_incompatible_schema;

/* Called from _PG_init(). */
extern void outbox_schema_init(void);

/* ---- subjects (subject.c) ---- */

#define OUTBOX_MAX_SUBJECT 1024 /* bytes */

typedef enum OutboxSubjectStrategy
{
	OUTBOX_SUBJECT_TOPIC,		/* <topic>-value */
	OUTBOX_SUBJECT_RECORD,		/* <full name> */
	OUTBOX_SUBJECT_TOPIC_RECORD /* <topic>-<full name> */
} OutboxSubjectStrategy;

/* "TopicName", "RecordName", "TopicRecordName"; error for anything else. */
extern OutboxSubjectStrategy outbox_subject_strategy(const char *name);
extern const char *outbox_subject_strategy_name(OutboxSubjectStrategy strategy);

/* Subject of a schema (rendered) in a topic, palloc'd. */
extern char *outbox_subject_name(OutboxSubjectStrategy strategy,
								 const char *topic, const char *definition);

/*
 * Whether role may change level and versions of a subject: a member of the
 * extension's owner, or of the owner of every event type that writes under it
 * (of none, when there is no such type).
 */
extern bool outbox_subject_may_change(const char *subject, Oid role);

/* Set the level of a subject, adding it when new; NULL level = the default. */
extern void outbox_subject_set_level(const char *subject, const char *level,
									 Oid role);

/* ---- texts (text.c) ---- */

/* A schema in its one rendering, palloc'd; error when it is none. */
extern char *outbox_schema_render(const char *schema);

/* The same for events: error when it is no record. */
extern char *outbox_schema_render_record(const char *schema);

/*
 * Schema of a row type.  Its schema until now (NULL: none) gives the aliases;
 * a rename that has just happened (NULL: none) adds one.
 */
extern char *outbox_schema_of_row_type(Oid row_type, const char *before,
									   const OutboxAvroRename *rename);

/* The statement under way, as the client sent it, palloc'd; NULL: none. */
extern char *outbox_schema_statement(void);

/* ---- the door (register.c, store.c) ---- */

/* A schema on its way in. */
typedef struct OutboxSchemaRequest
{
	const char *subject;
	const char *definition;		/* rendered */
	Oid			role;			/* who wants it */
	uint32		current;		/* id the event type writes now under this
								 * subject, 0 = none */
	bool		by_ddl;			/* the row type has changed: no right to the
								 * subject is needed, but for the override */
} OutboxSchemaRequest;

/*
 * The id of this schema under this subject, which role must have the right to
 * change.  A schema the subject has as its latest version is found; anything
 * else must be compatible at the subject's level (or the role has set
 * outbox.allow_incompatible_schema), and becomes the next version when the
 * subject does not have it.  Error OUTBOX_ERRCODE_INCOMPATIBLE_SCHEMA
 * otherwise, with rule, path and hint.
 */
extern uint32 outbox_schema_register(const OutboxSchemaRequest *request);

/* What is wrong with a request; texts in the server encoding. */
typedef struct OutboxSchemaProblem
{
	const char *rule;
	const char *path;
	const char *message;
} OutboxSchemaProblem;

/* As a list of OutboxSchemaProblem: NIL = compatible.  Heeds no override. */
extern List *outbox_schema_problems(const OutboxSchemaRequest *request);

/* Whether the override is set and counts for this request. */
extern bool outbox_schema_overridden(const OutboxSchemaRequest *request);

/* Check alone, as outbox_schema_register() would, and throw. */
extern void outbox_schema_check(const OutboxSchemaRequest *request);

/* Let a new subject without a level of its own take over another's. */
extern void outbox_subject_inherit_level(const char *subject,
										 const char *from, Oid role);

/* The id of a schema, which is stored when new; of no subject. */
extern uint32 outbox_schema_store(const char *definition, Oid role);

#endif							/* OUTBOX_SCHEMA_H */
