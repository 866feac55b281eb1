/*-------------------------------------------------------------------------
 *
 * event_type_follow.h
 *		Event types follow the row type that their schema comes from.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_EVENT_TYPE_FOLLOW_H
#define OUTBOX_EVENT_TYPE_FOLLOW_H

#include "postgres.h"

#include "nodes/pg_list.h"

typedef enum OutboxFollowVerdict
{
	OUTBOX_FOLLOW_SAME,			/* nothing that events show has changed */
	OUTBOX_FOLLOW_COMPATIBLE,
	OUTBOX_FOLLOW_OVERRIDDEN,	/* incompatible, but told to accept it */
	OUTBOX_FOLLOW_REFUSED		/* when planning only: else it is thrown */
} OutboxFollowVerdict;

/* What became, or would become, of one event type. */
typedef struct OutboxFollowResult
{
	OutboxFollowVerdict verdict;
	const char *subject;		/* NULL = none (json) */
	const char *schema;			/* the new one */
	List	   *problems;		/* of OutboxSchemaProblem */
} OutboxFollowResult;

/*
 * Give an event type the schema that its row type has now, and a key column's
 * new name (NULL = as it is).  With planning, what is wrong is returned and
 * not thrown.  Within an OutboxOwnerScope.
 */
extern void outbox_event_type_follow(int32 id, const char *name,
									 const char *schema, const char *key,
									 Oid role, bool planning,
									 OutboxFollowResult *result);

/* Its row type is gone for good: it keeps the schema it has. */
extern void outbox_event_type_detach(int32 id);

#endif							/* OUTBOX_EVENT_TYPE_FOLLOW_H */
