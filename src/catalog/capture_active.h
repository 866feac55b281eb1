/*-------------------------------------------------------------------------
 *
 * capture_active.h
 *		From where on captures with mode log are active: set by the relay.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_CAPTURE_ACTIVE_H
#define OUTBOX_CAPTURE_ACTIVE_H

#include "postgres.h"

#include "access/xlogdefs.h"

/* How many captures have mode log, and how many of them are not active yet. */
extern int	outbox_capture_count_log(int *pending);

/*
 * Set active_from of captures with mode log: of all, or of those that have none.
 * InvalidXLogRecPtr: of none any more.  The caller is in a transaction.
 */
extern void outbox_capture_activate(XLogRecPtr from, bool all);

#endif							/* OUTBOX_CAPTURE_ACTIVE_H */
