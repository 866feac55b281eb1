/*-------------------------------------------------------------------------
 *
 * server.h
 *		In whose WAL the events of this database are: the row of outbox.server.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_SERVER_H
#define OUTBOX_SERVER_H

#include "postgres.h"

#include "access/xlogdefs.h"

typedef struct OutboxServer
{
	uint64		system_id;		/* other than ours: pg_upgrade made ours */
	uint64		former_system;	/* the one before, 0 = settled or none */
	bool		former_closed;	/* that one had published everything ... */
	XLogRecPtr	closed;			/* ... with a position of at least this */
	XLogRecPtr	begins;			/* our WAL's events come after this */
} OutboxServer;

/* False when there is no row.  In a transaction. */
extern bool outbox_server_read(OutboxServer *server);

/*
 * Backends, before the first event of this server's life in this database is
 * written: counts, for good also when the transaction rolls back.  Waits for
 * the relay's outbox_server_receive() where that is due.
 */
extern void outbox_server_note_writing(void);

/* The count that makes. */
extern int64 outbox_server_writes(void);

/*
 * The relay; each in a transaction.  This is another server now, whose WAL has
 * events behind "begins"; everything was published up to a position of "closed"
 * when the count was writes; what the former server left is dealt with.
 */
extern void outbox_server_receive(XLogRecPtr begins);
extern void outbox_server_close(XLogRecPtr closed, int64 writes);
extern void outbox_server_settle(void);

#endif							/* OUTBOX_SERVER_H */
