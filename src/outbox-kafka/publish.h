/*-------------------------------------------------------------------------
 *
 * publish.h
 *		The mode in which the relay starts this program.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_KAFKA_PUBLISH_H
#define OUTBOX_KAFKA_PUBLISH_H

/* fd: connected stream socket to the relay.  Does not return. */
extern void outbox_publish(int fd) pg_attribute_noreturn();

#endif							/* OUTBOX_KAFKA_PUBLISH_H */
