/*-------------------------------------------------------------------------
 *
 * ddl_plan.h
 *		Dry run of DDL: what the gate would do, collected instead of thrown.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_DDL_PLAN_H
#define OUTBOX_DDL_PLAN_H

#include "postgres.h"

#include "emit/event_type_follow.h"

/* Whether outbox.plan_ddl() runs the statement under way. */
extern bool outbox_ddl_planning(void);

/* Keep what would become of an event type; copies everything. */
extern void outbox_ddl_plan_add(const char *event_type,
								const OutboxFollowResult *result);

#endif							/* OUTBOX_DDL_PLAN_H */
