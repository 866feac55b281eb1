/*-------------------------------------------------------------------------
 *
 * instance.h
 *		Changes of the one row of outbox.instance that the relay makes itself.
 *
 * The caller is in a transaction, as the bootstrap superuser.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_INSTANCE_H
#define OUTBOX_INSTANCE_H

#include "postgres.h"

#include "access/xlogdefs.h"

/* Column numbers of outbox.instance, in the order of catalog.sql. */
enum
{
	Anum_instance_id = 2,
	Anum_instance_database = 3,
	Anum_instance_paused = 4,
	Anum_instance_floor = 5,
	Anum_instance_adopt_pending = 6,
	Anum_instance_adopt_reason = 7,
	Anum_instance_adopted_at = 8,
	Anum_instance_log_from = 10,
	Natts_instance = 10
};

/*
 * What is known to be published: outlives a loss of the position topic.  With
 * adopted, also notes that a pending outbox.adopt() was carried out.
 */
extern void outbox_instance_set_floor(XLogRecPtr floor, bool adopted);

/*
 * Commits after this place are read by logical decoding, InvalidXLogRecPtr: by
 * the scanner.  Durable when the transaction is; see relay/switch.c.
 */
extern void outbox_instance_set_log_from(XLogRecPtr log_from);

/* Which block the next id of a schema is of, see new_schema_ids(). */
extern uint32 outbox_instance_id_block(void);

/* A copied database becomes somebody new: outbox.new_identity(). */
extern void outbox_instance_renew(void);

#endif							/* OUTBOX_INSTANCE_H */
