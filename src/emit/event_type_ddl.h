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

/* An event type on its way in; NULL or 0 where there is none. */
typedef struct OutboxTypeDefinition
{
	int32		id;
	char	   *name;
	int32		route_id;
	int32		schema_id;
	int32		old_schema_id;	/* under the subject as it was */
	char	   *schema;			/* rendered, server encoding */
	Oid			row_type;
	char	   *topic;
	char	   *key;
	char	   *format;
	char	   *on_error;
	int32		partitions;
	char	   *strategy;
	char	   *retention;		/* interval, NULL = the setting's */
	char	   *compatibility;	/* asked for, of the subject */
	char	   *subject;		/* of the route as it is */
	bool		by_ddl;			/* its row type has changed, not itself */
} OutboxTypeDefinition;

/* event_type_store.c: the definition of type def->id as it is stored. */
extern void outbox_type_read(OutboxTypeDefinition *def);

/* Whether its key, if any, is a field; without a schema anything may be. */
extern bool outbox_type_has_key(const OutboxTypeDefinition *def);

/* The subject that its topic, strategy and schema lead to, palloc'd. */
extern char *outbox_type_subject(const OutboxTypeDefinition *def);

/* Bring the schema under its subject, and both into the definition. */
extern void outbox_type_register(OutboxTypeDefinition *def, Oid role);

/* Add a route unless the old definition (NULL: none) has the same. */
extern void outbox_type_route(OutboxTypeDefinition *def,
							  const OutboxTypeDefinition *old, Oid role);

/* Store the definition's own row, new when it has no id; returns the id. */
extern int32 outbox_type_store(const OutboxTypeDefinition *def, Oid owner);

/* Whether there is such a type; its id is the last statement's result. */
extern bool outbox_event_type_exists(const char *name);

/* Id and owner of a type that caller owns; error otherwise. */
extern int32 outbox_event_type_require_owner(const char *name, Oid caller,
											 Oid *owner);

#endif							/* OUTBOX_EVENT_TYPE_DDL_H */
