/*-------------------------------------------------------------------------
 *
 * stamp.h
 *		A number that changes whenever a definition does.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_STAMP_H
#define OUTBOX_STAMP_H

#include "postgres.h"

/* In a transaction.  0 = there is no such thing. */
extern uint64 outbox_stamp_table(Oid relation);
extern uint64 outbox_stamp_capture(Oid relation);

#endif							/* OUTBOX_STAMP_H */
