/*-------------------------------------------------------------------------
 *
 * orphan.h
 *		How a mode that a server process has started ends with that process.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_KAFKA_ORPHAN_H
#define OUTBOX_KAFKA_ORPHAN_H

/* First of all: fd is the socket to that process. */
extern void outbox_orphan_init(int fd);

#endif							/* OUTBOX_KAFKA_ORPHAN_H */
