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

#endif							/* OUTBOX_ACCESS_H */
