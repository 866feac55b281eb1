/*-------------------------------------------------------------------------
 *
 * spool.h
 *		Messages of one transaction that wait for its replay to be over.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_SPOOL_H
#define OUTBOX_SPOOL_H

#include "postgres.h"

#include "access/xlogdefs.h"

typedef struct OutboxSpool OutboxSpool;

typedef struct OutboxSpooled
{
	bool		change;			/* else a message as it is in WAL */
	XLogRecPtr	lsn;
	uint32		len;
	const char *data;			/* borrowed until the next call */
} OutboxSpooled;

/* Lives in the current memory context; close also after an error. */
extern OutboxSpool *outbox_spool_open(void);
extern void outbox_spool_close(OutboxSpool *spool);

extern bool outbox_spool_is_empty(const OutboxSpool *spool);
extern void outbox_spool_add(OutboxSpool *spool, const OutboxSpooled *item);

/* Take them in the order added; false at the end, when it is empty again. */
extern bool outbox_spool_next(OutboxSpool *spool, OutboxSpooled *item);

#endif							/* OUTBOX_SPOOL_H */
