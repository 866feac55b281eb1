/*-------------------------------------------------------------------------
 *
 * publish.h
 *		The mode in which the relay starts this program.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_KAFKA_PUBLISH_H
#define OUTBOX_KAFKA_PUBLISH_H

#include "compat.h"

/* fd: connected stream socket to the relay.  Does not return. */
pg_noreturn extern void outbox_publish(int fd);

#endif							/* OUTBOX_KAFKA_PUBLISH_H */
