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

#endif							/* OUTBOX_EVENT_TYPE_DDL_H */
