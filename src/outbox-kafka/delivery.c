/*-------------------------------------------------------------------------
 *
 * delivery.c
 *		Hand one message to librdkafka, and note what became of it.
 *
 * Owns the count of bytes under way and the first delivery that failed.
 * Delivery reports arrive in the thread that polls: the main loop, or the
 * committer inside rd_kafka_commit_transaction().  Hence atomics and a mutex;
 * a failure is noted before the batch's count goes down, so whoever sees a
 * batch acknowledged also sees that it failed.
 *
 * Memory is bounded here: a message costs its bytes and about MESSAGE_COST in
 * librdkafka's structures, and no more than FLIGHT_BOUND is under way.  Beyond
 * that DATA frames stay in the socket.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-kafka/session.h"

#include "outbox-kafka/diagnose.h"
#include "outbox-kafka/report.h"

#define MESSAGE_COST	600
#define FLIGHT_BOUND	(24 * 1024 * 1024)

StaticAssertDecl(sizeof(void *) == 8, "message tags need 64 bits");

static OutboxSession *the_session;
static _Atomic int64 in_flight;

static struct
{
	pthread_mutex_t lock;
	bool		set;
	bool		purged;			/* only a consequence of another failure */
	OutboxResult result;
	OutboxUndelivered message;
}			failure = {.lock = PTHREAD_MUTEX_INITIALIZER};

static _Atomic bool any_failure;

/*
 * What librdkafka carries along with a message: 8 bits what, 24 bits topic, 32
 * bits event.
 */
#define TAG_NO_TOPIC	0xFFFFFFU

static void *
make_tag(const OutboxOutgoing *message)
{
	uint64		topic = message->topic == OUTBOX_NO_TOPIC ? TAG_NO_TOPIC :
		message->topic;

	return (void *) (uintptr_t) ((uint64) message->what << 56 |
								 topic << 32 | message->event);
}

static OutboxUndelivered
read_tag(const void *opaque)
{
	uint64		tag = (uintptr_t) opaque;
	OutboxUndelivered message = {.what = (uint32) (tag >> 56),
		.event = (uint32) tag,
		.topic = (uint32) (tag >> 32) & TAG_NO_TOPIC};

	if (message.topic == TAG_NO_TOPIC)
		message.topic = OUTBOX_NO_TOPIC;
	return message;
}

void
outbox_delivery_init(OutboxSession *session)
{
	the_session = session;
}

bool
outbox_delivery_room(size_t bytes)
{
	int64		now = in_flight;

	return now == 0 || now + (int64) bytes + MESSAGE_COST <= FLIGHT_BOUND;
}

static void
note_failure(const OutboxUndelivered *tag, const rd_kafka_message_t *message)
{
	rd_kafka_resp_err_t err = message->err;
	bool		purged = err == RD_KAFKA_RESP_ERR__PURGE_QUEUE ||
		err == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT;
	OutboxResult link;

	outbox_report_trouble(&link);
	pthread_mutex_lock(&failure.lock);
	if (!failure.set || (failure.purged && !purged))
	{
		OutboxResultClass class = outbox_error_class(err);

		failure.set = true;
		failure.purged = purged;
		failure.message = *tag;
		if (class == OUTBOX_RETRY && link.class != OUTBOX_OK)
			failure.result = link;
		else
			outbox_result_set(&failure.result, class, err,
							  "could not deliver %zu bytes to topic \"%s\": %s",
							  message->len,
							  rd_kafka_topic_name(message->rkt),
							  rd_kafka_err2str(err));
	}
	pthread_mutex_unlock(&failure.lock);
	any_failure = true;
}

void
outbox_delivered(const rd_kafka_message_t *message)
{
	OutboxUndelivered tag = read_tag(message->_private);
	uint32		what = tag.what;

	in_flight -= (int64) (message->len + message->key_len) + MESSAGE_COST;
	if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
		note_failure(&tag, message);
	else if (tag.topic == OUTBOX_NO_TOPIC)
		outbox_clock_note(message);
	if (what == OUTBOX_MESSAGE_PUT)
		the_session->put_state = OUTBOX_PUT_DONE;
	else if (what == OUTBOX_MESSAGE_POSITION)
		the_session->position_acked = true;
	else
		the_session->batches[what].unacked--;
}

/*
 * The first failure; false when all went well so far.  A request that is
 * refused takes all its messages with it: which event it is about is known only
 * when each goes alone.
 */
bool
outbox_delivery_failure(OutboxResult *result, OutboxUndelivered *message)
{
	if (!any_failure)
		return false;
	pthread_mutex_lock(&failure.lock);
	*result = failure.result;
	*message = failure.message;
	if (failure.purged)
		result->class = OUTBOX_UNKNOWN;
	if (failure.purged || !the_session->single)
		message->event = 0;
	pthread_mutex_unlock(&failure.lock);
	return true;
}

rd_kafka_resp_err_t
outbox_deliver(OutboxSession *session, OutboxHandle *handle,
			   const OutboxOutgoing *message)
{
	uint32		slot = message->topic == OUTBOX_NO_TOPIC ?
		OUTBOX_POSITION_SLOT : OUTBOX_TOPIC_SLOT(message->topic);
	const char *name = message->topic == OUTBOX_NO_TOPIC ?
		session->position_topic : session->topics[message->topic];
	int64		cost = (int64) (message->value_len + message->key_len) +
		MESSAGE_COST;
	rd_kafka_topic_t *topic = outbox_handle_topic(handle, slot, name);
	rd_kafka_error_t *error;
	rd_kafka_resp_err_t err;
	rd_kafka_vu_t args[8];
	int			n = 0;

	if (topic == NULL)
		return rd_kafka_last_error();

	args[n].vtype = RD_KAFKA_VTYPE_RKT;
	args[n++].u.rkt = topic;
	args[n].vtype = RD_KAFKA_VTYPE_PARTITION;
	args[n++].u.i32 = message->partition;
	args[n].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
	args[n++].u.i = RD_KAFKA_MSG_F_COPY;
	args[n].vtype = RD_KAFKA_VTYPE_VALUE;
	args[n].u.mem.ptr = unconstify(void *, message->value);
	args[n++].u.mem.size = message->value_len;
	args[n].vtype = RD_KAFKA_VTYPE_KEY;
	args[n].u.mem.ptr = unconstify(void *, message->key);
	args[n++].u.mem.size = message->key_len;
	args[n].vtype = RD_KAFKA_VTYPE_TIMESTAMP;
	args[n++].u.i64 = message->timestamp;
	args[n].vtype = RD_KAFKA_VTYPE_OPAQUE;
	args[n++].u.ptr = make_tag(message);
	if (message->headers != NULL)
	{
		args[n].vtype = RD_KAFKA_VTYPE_HEADERS;
		args[n++].u.headers = message->headers;
	}

	/* count first: the report may come before the call returns */
	in_flight += cost;
	if (message->what < OUTBOX_WINDOW)
		session->batches[message->what].unacked++;
	error = rd_kafka_produceva(handle->rk, args, n);
	if (error == NULL)
		return RD_KAFKA_RESP_ERR_NO_ERROR;

	err = rd_kafka_error_code(error);
	rd_kafka_error_destroy(error);
	in_flight -= cost;
	if (message->what < OUTBOX_WINDOW)
		session->batches[message->what].unacked--;
	return err;
}
