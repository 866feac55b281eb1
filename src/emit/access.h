/*-------------------------------------------------------------------------
 *
 * access.h
 *		The privileges that come with event types.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_ACCESS_H
#define OUTBOX_ACCESS_H

#include "postgres.h"

/*
 * Give role the doors to emit (and to manage its types) when it owns or may
 * emit any event type; close them when it does not any more.
 */
extern void outbox_access_sync(Oid role);

/* DROP OWNED BY role: what it was granted with outbox.grant_emit() goes too. */
extern void outbox_access_forget(Oid role);

/* DROP ROLE: an error while it owns event types of this database. */
extern void outbox_access_role_dropped(Oid role);

#endif							/* OUTBOX_ACCESS_H */
