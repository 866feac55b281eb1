/*-------------------------------------------------------------------------
 *
 * result.h
 *		How anything that talks to the outside reports its outcome.
 *
 * Plain data: crosses the socket between the relay and outbox-kafka, and is
 * kept in shared memory for outbox.status().
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RESULT_H
#define OUTBOX_RESULT_H

#include "base/base.h"

/* The numbers are on the wire between relay and child: never renumber. */
typedef enum OutboxResultClass
{
	OUTBOX_OK = 0,
	OUTBOX_RETRY = 1,			/* may work later: broker down, timeout,
								 * name does not resolve, topic missing */
	OUTBOX_UNKNOWN = 2,			/* outcome not known, or the producer is
								 * unusable: tear down and take over again */
	OUTBOX_FENCED = 3,			/* another producer owns the transactional id */
	OUTBOX_CONFIG = 4,			/* wrong password, bad property, no ACL: only
								 * a person can mend it; retried with back-off */
	OUTBOX_REFUSED = 5			/* the broker refuses one event for good */
} OutboxResultClass;

#define OUTBOX_RESULT_MESSAGE_SIZE 512

typedef struct OutboxResult
{
	OutboxResultClass class;
	int32		code;			/* library's own number, 0 when none */
	char		message[OUTBOX_RESULT_MESSAGE_SIZE];	/* one line, no secrets */
} OutboxResult;

#endif							/* OUTBOX_RESULT_H */
