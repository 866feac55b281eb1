/*-------------------------------------------------------------------------
 *
 * gone.h
 *		Which keys of a topic are gone: the mode that rebuild_topic() uses.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_KAFKA_GONE_H
#define OUTBOX_KAFKA_GONE_H

/* fd: connected stream socket to the snapshot reader.  Does not return. */
extern void outbox_gone(int fd);

#endif							/* OUTBOX_KAFKA_GONE_H */
