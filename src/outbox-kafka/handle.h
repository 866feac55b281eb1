/*-------------------------------------------------------------------------
 *
 * handle.h
 *		One librdkafka client with the settings its purpose demands.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_KAFKA_HANDLE_H
#define OUTBOX_KAFKA_HANDLE_H

#include "outbox-kafka/config.h"

#include <pthread.h>

typedef enum OutboxHandleKind
{
	OUTBOX_HANDLE_TRANSACTIONAL,	/* producer with a transactional id */
	OUTBOX_HANDLE_IDEMPOTENT,	/* producer without; also admin requests */
	OUTBOX_HANDLE_COMMITTED,	/* consumer, read_committed */
	OUTBOX_HANDLE_UNCOMMITTED,	/* consumer, read_uncommitted */
	OUTBOX_HANDLE_TAIL,			/* the same two for people: no hurry to */
	OUTBOX_HANDLE_TAIL_UNCOMMITTED	/* learn of the end */
} OutboxHandleKind;

/* Called from whichever thread polls the handle. */
typedef void (*OutboxDelivered) (const rd_kafka_message_t *message);

typedef struct OutboxHandle
{
	OutboxHandleKind kind;
	rd_kafka_t *rk;
	rd_kafka_topic_t **topics;	/* by topic index; main thread */
	uint32		topics_size;
	OutboxDelivered delivered;
	_Atomic uint32 end_txn_requests;	/* EndTxn requests written so far */
	_Atomic int64 partitions_us;	/* last answer to AddPartitionsToTxn in
									 * this transaction, 0 = none */
	_Atomic bool came_early;	/* this transaction was put off */
	_Atomic bool broken;		/* "trouble" is set: no good for anything */
	pthread_mutex_t lock;		/* of trouble */
	OutboxResult trouble;
} OutboxHandle;

#define OUTBOX_DEFAULT_TRANSACTION_TIMEOUT	15000	/* ms */
#define OUTBOX_DEFAULT_DELIVERY_TIMEOUT		30000	/* ms, at_least_once */

/*
 * New handle, or NULL and *result.  wake_fd: eventfd to be written when there
 * is something to poll, -1 for none.
 */
extern OutboxHandle *outbox_handle_new(const OutboxKafkaConfig *config,
									   OutboxHandleKind kind,
									   const char *transactional_id,
									   OutboxDelivered delivered,
									   int wake_fd, OutboxResult *result);

/* Serve callbacks that are due, without waiting. */
extern void outbox_handle_poll(OutboxHandle *handle);

/* The topic object for an index; made on first use. */
extern rd_kafka_topic_t *outbox_handle_topic(OutboxHandle *handle,
											 uint32 index, const char *name);

/* What broke the handle, if it is broken. */
extern bool outbox_handle_trouble(OutboxHandle *handle, OutboxResult *result);

/* Destroy, in a thread of its own: it may take as long as a name look-up. */
extern void outbox_handle_discard(OutboxHandle *handle);

/* transaction.timeout.ms in force. */
extern int	outbox_transaction_timeout(const OutboxKafkaConfig *config);

#endif							/* OUTBOX_KAFKA_HANDLE_H */
