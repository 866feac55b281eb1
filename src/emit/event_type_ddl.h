/*-------------------------------------------------------------------------
 *
 * event_type_ddl.h
 *		What changing event types and granting them have in common.
 *
 * Within an OutboxOwnerScope (owner.h), unless it says otherwise.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_EVENT_TYPE_DDL_H
#define OUTBOX_EVENT_TYPE_DDL_H

#include "postgres.h"

/* Whether there is such a type; its id is the last statement's result. */
extern bool outbox_event_type_exists(const char *name);

/* Id and owner of a type that caller owns; error otherwise. */
extern int32 outbox_event_type_require_owner(const char *name, Oid caller,
											 Oid *owner);

/*
 * event_type_schema.c: a schema of the caller, or of a row type, in its one
 * rendering (server encoding, palloc'd); error when it is no record.
 */
extern char *outbox_schema_render(const char *schema);
extern char *outbox_schema_of_row_type(Oid row_type);

/* Id of a rendered schema, which is added when it is new; in a scope. */
extern int32 outbox_schema_id(const char *schema, const char *caller);

#endif							/* OUTBOX_EVENT_TYPE_DDL_H */
