/*-------------------------------------------------------------------------
 *
 * ddl_change.h
 *		What a DDL command has touched, as far as row types are concerned.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_DDL_CHANGE_H
#define OUTBOX_DDL_CHANGE_H

#include "postgres.h"

#include "avro/pg_avro.h"
#include "commands/event_trigger.h"
#include "nodes/pg_list.h"

typedef struct OutboxDdlChange
{
	List	   *relations;		/* of Oid: that the command was about */
	List	   *types;			/* of Oid: types that have changed */
	List	   *namespaces;		/* of Oid: schemas that were renamed */
	List	   *dropped;		/* of Oid: types that are gone */
	bool		cascade;		/* the drop said CASCADE */
	bool		renamed;
	OutboxAvroRename rename;	/* valid if renamed */
} OutboxDdlChange;

/* Within an OutboxOwnerScope; everything in its memory. */
extern void outbox_ddl_change_read(const EventTriggerData *trigger,
								   OutboxDdlChange *change);

/* Whether the schema of a row type may look different after the change. */
extern bool outbox_ddl_change_touches(const OutboxDdlChange *change,
									  Oid row_type);

#endif							/* OUTBOX_DDL_CHANGE_H */
