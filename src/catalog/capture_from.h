/*-------------------------------------------------------------------------
 *
 * capture_from.h
 *		From which place in WAL on the changes of a table are published.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_CAPTURE_FROM_H
#define OUTBOX_CAPTURE_FROM_H

#include "postgres.h"

#include "access/xlogdefs.h"

/*
 * Of the capture that this route is of, or was: changes of commits that end at
 * or before this place are left out.  InvalidXLogRecPtr: none.  The caller is in
 * a transaction.
 */
extern XLogRecPtr outbox_capture_from(const char *event_type);

#endif							/* OUTBOX_CAPTURE_FROM_H */
