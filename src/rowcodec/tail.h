/*-------------------------------------------------------------------------
 *
 * tail.h
 *		The end of a change's payload, which only the commit decides.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_ROWCODEC_TAIL_H
#define OUTBOX_ROWCODEC_TAIL_H

#include "postgres.h"

#include "access/xlogdefs.h"
#include "catalog/catalog.h"
#include "lib/stringinfo.h"

typedef struct OutboxChangeTail
{
	int64		commit_time_us; /* since 1970 */
	XLogRecPtr	lsn;			/* of the change, 0 = not known */
	uint64		xid;			/* full, top level */
	XLogRecPtr	commit_lsn;		/* end of the commit record */
	uint64		total_order;	/* in the transaction, from 1 */
	uint64		collection_order;	/* among those of the same table */
	const char *collection;		/* schema.table; NULL = no transaction
								 * metadata */
} OutboxChangeTail;

/* Append it to a payload that has flag OUTBOX_MSG_TAIL. */
extern void outbox_change_tail(StringInfo out, OutboxEnvelope envelope,
							   OutboxFormat format,
							   const OutboxChangeTail *tail);

#endif							/* OUTBOX_ROWCODEC_TAIL_H */
