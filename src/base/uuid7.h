/*-------------------------------------------------------------------------
 *
 * uuid7.h
 *		UUID version 7 (RFC 9562, section 5.7).
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_UUID7_H
#define OUTBOX_UUID7_H

#include "base/base.h"

#define OUTBOX_UUID_SIZE 16

/*
 * A new id, greater than the last one this process made.  False when the
 * operating system gives no random bytes.
 */
extern bool outbox_uuid7(uint8 out[OUTBOX_UUID_SIZE]);

#endif							/* OUTBOX_UUID7_H */
