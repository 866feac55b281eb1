/*-------------------------------------------------------------------------
 *
 * session.h
 *		State of "outbox-kafka publish": one relay, one process.
 *
 * Main thread only, except what is said to be atomic.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_KAFKA_SESSION_H
#define OUTBOX_KAFKA_SESSION_H

#include "outbox-kafka/handle.h"
#include "outbox-kafka/link.h"
#include "outbox-kafka/registry.h"
#include "outbox-kafka/worker.h"

#define OUTBOX_MAX_RING		16
#define OUTBOX_MAX_IDS		64	/* that one INIT may fence */
#define OUTBOX_WINDOW		64	/* batches under way */
#define OUTBOX_MAX_TOPICS	100000

typedef enum OutboxProducerState
{
	OUTBOX_PRODUCER_ABSENT,		/* no INIT yet */
	OUTBOX_PRODUCER_FREE,		/* between transactions */
	OUTBOX_PRODUCER_OPEN,		/* a batch is being produced */
	OUTBOX_PRODUCER_COMMITTING, /* the committer has it */
	OUTBOX_PRODUCER_REVIVING	/* its handle is being replaced */
} OutboxProducerState;

typedef struct OutboxProducer
{
	OutboxHandle *handle;
	OutboxProducerState state;
	int64		rested_us;		/* may begin again from then on */
} OutboxProducer;

typedef struct OutboxBatch
{
	uint32		number;
	uint32		events;			/* produced so far */
	_Atomic uint32 unacked;		/* messages without a delivery report */
	bool		sealed;			/* COMMIT has come */
	bool		handed;			/* to the committer */
	OutboxProducer *producer;	/* NULL for at_least_once */
	char	   *position;		/* at_least_once: to be written after it */
	int32		position_len;
} OutboxBatch;

typedef struct OutboxSession
{
	OutboxLink	link;
	int			wake_fd;
	bool		failed;			/* FAILED was sent */
	_Atomic bool halted;		/* nothing is committed any more; set before
								 * FAILED, also by the committer */

	/* from HELLO */
	bool		greeted;
	OutboxDelivery delivery;
	int			ring;
	char	   *prefix;
	char	   *position_topic;
	OutboxKafkaConfig *config;
	bool		single;			/* one message a request, see handle.c */
	OutboxRegistry *registry;	/* NULL: none; used by registrar alone */

	OutboxHandle *plain;		/* idempotent producer; NULL once producers
								 * of the ring can stand in, see session.c */
	bool		initialised;	/* INIT was answered */
	OutboxProducer producers[OUTBOX_MAX_RING];
	int64		rest_us;		/* of an id after a commit, see producer.c */
	int64		begin_due_us;	/* a batch waits for that, 0 = none */
	OutboxHandle **buried;		/* to be destroyed when no job can use them */
	int			nburied;

	char	  **topics;			/* names by index; NULL = not announced */
	uint32		topics_size;

	OutboxWorker requests;
	OutboxWorker committer;
	OutboxWorker registrar;
	bool		waiting;		/* a request is not answered yet: later frames
								 * stay in the link */
	int64		next_probe_ms;
	int64		trouble_ms;		/* when a producer was seen broken, 0 = none */

	/* PUT_RECORD under way */
	_Atomic int put_state;		/* OutboxPutState */

	/* window of batches; slots [first, first + count) modulo its size */
	OutboxBatch batches[OUTBOX_WINDOW];
	int			first;
	int			count;
	uint32		ready_told;		/* last batch of which READY was said */

	/* a DATA frame under way: events left and where they start */
	bool		in_data;
	uint32		data_left;
	size_t		data_offset;

	/* at_least_once: newest position that may be written */
	char	   *position;
	int32		position_len;
	int64		position_due_ms;	/* 0 = none waits */
	char	   *position_sent;	/* the one under way, NULL = none */
	int32		position_sent_len;
	_Atomic bool position_acked;	/* it is under way no more */
} OutboxSession;

/* Topic objects of a handle: the position topic first, then by index. */
#define OUTBOX_POSITION_SLOT	0
#define OUTBOX_TOPIC_SLOT(index) ((index) + 1)

/* session.c: answers */
extern void outbox_session_fail(OutboxSession *session, OutboxFrameType to,
								const OutboxResult *result, uint32 batch,
								uint32 topic);
extern void outbox_session_fail_event(OutboxSession *session,
									  OutboxFrameType to,
									  const OutboxResult *result,
									  uint32 batch, uint32 topic,
									  uint32 event);
extern void outbox_session_reply(OutboxSession *session,
								 OutboxFrameType type);
extern void outbox_session_reply_committed(OutboxSession *session,
										   uint32 batch, uint32 events);
extern OutboxHandle *outbox_session_client(const OutboxSession *session);
extern void outbox_session_spare_plain(OutboxSession *session);
extern void outbox_session_reply_recorded(OutboxSession *session,
										  const char *position, int32 len);
extern void outbox_session_report(OutboxSession *session);
extern void outbox_session_bury(OutboxSession *session, OutboxHandle *handle);
extern void outbox_session_dig(OutboxSession *session);

/* requests.c */
extern void outbox_request(OutboxSession *session, OutboxFrameType type,
						   const char *body, size_t len);
extern void outbox_request_progress(OutboxSession *session);
extern void outbox_request_probe(OutboxSession *session);

/* register.c */
extern void outbox_register_request(OutboxSession *session,
									const char *body, size_t len);

/* batch.c: false = not now, call again later */
extern bool outbox_batch_data(OutboxSession *session, const char *body,
							  size_t len);
extern bool outbox_batch_commit(OutboxSession *session, const char *body,
								size_t len);
extern void outbox_batch_progress(OutboxSession *session);
extern void outbox_batch_tell_ready(OutboxSession *session);
extern void outbox_batch_stop(OutboxSession *session);

/* delivery.c */
typedef enum OutboxPutState
{
	OUTBOX_PUT_NONE,
	OUTBOX_PUT_SENT,
	OUTBOX_PUT_DONE
} OutboxPutState;

/* What a message is, beside a batch's slot number. */
#define OUTBOX_MESSAGE_PUT		0xFFU
#define OUTBOX_MESSAGE_POSITION	0xFEU

typedef struct OutboxOutgoing
{
	uint32		what;			/* slot of the batch, or OUTBOX_MESSAGE_* */
	uint32		event;			/* which one of the batch, from 1; 0 = none */
	uint32		topic;			/* index, or OUTBOX_NO_TOPIC */
	int32		partition;
	int64		timestamp;
	const void *key;
	size_t		key_len;
	const void *value;
	size_t		value_len;
	rd_kafka_headers_t *headers;	/* taken over when it is sent */
} OutboxOutgoing;

extern void outbox_delivery_init(OutboxSession *session);
extern void outbox_delivered(const rd_kafka_message_t *message);
extern rd_kafka_resp_err_t outbox_deliver(OutboxSession *session,
										  OutboxHandle *handle,
										  const OutboxOutgoing *message);
extern bool outbox_delivery_room(size_t bytes);

/* A failed message, as far as it is known which. */
typedef struct OutboxUndelivered
{
	uint32		what;
	uint32		event;
	uint32		topic;
} OutboxUndelivered;

extern bool outbox_delivery_failure(OutboxResult *result,
									OutboxUndelivered *message);

/* producer.c */
extern OutboxProducer *outbox_producer_begin(OutboxSession *session,
											 uint32 batch,
											 OutboxResult *result);
extern bool outbox_producer_can_begin(OutboxSession *session, uint32 batch);
extern void outbox_producer_commit(OutboxSession *session,
								   OutboxBatch *batch);
extern void outbox_producer_init(OutboxSession *session, int count);
extern void outbox_producer_poll(OutboxSession *session);
extern bool outbox_producer_trouble(OutboxSession *session,
									OutboxResult *result);

#endif							/* OUTBOX_KAFKA_SESSION_H */
