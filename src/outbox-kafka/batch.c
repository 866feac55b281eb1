/*-------------------------------------------------------------------------
 *
 * batch.c
 *		From DATA and COMMIT frames to messages and COMMITTED.
 *
 * Owns the window of batches under way, oldest first.  Main thread, except
 * the count "unacked", which delivery reports lower.
 *
 * Exactly once.  A batch is one Kafka transaction, its position record
 * included:
 *
 *	open		the producer of number % ring is free, every message of the
 *				batch before is acknowledged; begin_transaction
 *	sealed		COMMIT came, the count of events is right, the position record
 *				is produced in the same transaction
 *	handed		every message is acknowledged; the committer has it.  It works
 *				in order and stops at the first commit that is no success
 *	gone		COMMITTED is sent
 *
 * If this process dies while the batch is open, sealed or waiting for the
 * committer: the transaction stays open at the broker and is aborted by the
 * next child's INIT, or by its timeout.  If it dies in the commit: the broker
 * has taken EndTxn or it has not, and the position record, which is in the
 * transaction, tells the next child which.  If it dies after the commit and
 * before COMMITTED reached the relay: the same.
 *
 * At least once.  Batches are pipelined through one idempotent producer; a
 * batch is gone, and COMMITTED is sent, when all its messages and those of the
 * batches before it are acknowledged.  The position record follows behind, at
 * most every POSITION_INTERVAL ms, and is not waited for; RECORDED says that it
 * is acknowledged, and only then may WAL go and the floor move.  Dying anywhere
 * leaves a position that is older than what was published: the next child
 * publishes the difference again.  Never the other way round, because the
 * position is produced after the acknowledgement of what it covers.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-kafka/session.h"

#include "base/cursor.h"
#include "record/position.h"
#include "record/wal_message.h"

#define EVENTS_PER_TURN		2000	/* then the main loop looks around */
#define POSITION_INTERVAL	250 /* ms */

static void
fail_batch(OutboxSession *session, OutboxFrameType to,
		   OutboxResultClass class, uint32 batch, uint32 topic,
		   rd_kafka_resp_err_t err, const char *doing)
{
	OutboxResult result;

	outbox_result_set(&result, class, err, "%s: %s", doing,
					  rd_kafka_err2str(err));
	outbox_session_fail(session, to, &result, batch, topic);
}

static OutboxBatch *
newest_batch(OutboxSession *session)
{
	return session->count == 0 ? NULL :
		&session->batches[(session->first + session->count - 1) %
						  OUTBOX_WINDOW];
}

/*
 * The open batch of this number, opened if need be.  NULL: not yet, or the
 * session failed.
 */
static OutboxBatch *
open_batch(OutboxSession *session, uint32 number)
{
	OutboxBatch *last = newest_batch(session);
	OutboxProducer *producer = NULL;
	OutboxBatch *batch;
	OutboxResult result;

	if (last != NULL && !last->sealed)
	{
		if (last->number != number)
			outbox_link_leave();
		return last;
	}
	if (session->count == OUTBOX_WINDOW)
		return NULL;
	if (session->delivery == OUTBOX_EXACTLY_ONCE)
	{
		if (last != NULL && last->unacked > 0)
			return NULL;
		outbox_result_ok(&result);
		producer = outbox_producer_begin(session, number, &result);
		if (producer == NULL)
		{
			if (result.class != OUTBOX_OK)
				outbox_session_fail(session, OUTBOX_FRAME_DATA, &result,
									number, OUTBOX_NO_TOPIC);
			return NULL;
		}
	}
	batch = &session->batches[(session->first + session->count++) %
							  OUTBOX_WINDOW];
	memset(batch, 0, sizeof(*batch));
	batch->number = number;
	batch->producer = producer;
	return batch;
}

static OutboxHandle *
batch_handle(OutboxSession *session, OutboxBatch *batch)
{
	return batch->producer == NULL ? session->plain : batch->producer->handle;
}

static void
uuid_text(const uint8 id[OUTBOX_EVENT_ID_SIZE], char out[37])
{
	static const char hex[] = "0123456789abcdef";
	char	   *to = out;

	for (int i = 0; i < OUTBOX_EVENT_ID_SIZE; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*to++ = '-';
		*to++ = hex[id[i] >> 4];
		*to++ = hex[id[i] & 15];
	}
	*to = '\0';
}

static rd_kafka_headers_t *
build_headers(const uint8 *id, uint32 split, const char *block, int32 len)
{
	int			given = block == NULL ? 0 : outbox_headers_count(block, len);
	rd_kafka_headers_t *headers;
	OutboxHeader header;
	int32		offset = 0;
	char		text[37];

	if (given < 0)
		outbox_link_leave();
	headers = rd_kafka_headers_new(given + 2);
	uuid_text(id, text);
	rd_kafka_header_add(headers, "id", 2, text, 36);
	if (split > 0)
	{
		int			n = snprintf(text, sizeof(text), "%u", split);

		rd_kafka_header_add(headers, "outbox.split", 12, text, n);
	}
	while (given > 0 && outbox_headers_next(block, len, &offset, &header))
		rd_kafka_header_add(headers, header.name, header.name_len,
							header.value,
							header.value == NULL ? 0 : header.value_len);
	return headers;
}

/*
 * Produce the event at the cursor.  False: no room, the cursor is not moved.
 */
static bool
produce_event(OutboxSession *session, OutboxBatch *batch, OutboxCursor *at)
{
	OutboxCursor c = *at;
	OutboxCursor e;
	OutboxOutgoing message = {0};
	uint32		len = outbox_get_u32(&c);
	const uint8 *raw = outbox_get_raw(&c, len);
	const uint8 *id;
	uint32		split;
	const char *block;
	int32		key_len,
				block_len,
				value_len;
	rd_kafka_resp_err_t err;

	if (raw == NULL)
		outbox_link_leave();
	outbox_cursor_init(&e, raw, len);
	message.what = batch - session->batches;
	message.event = batch->events + 1;
	message.topic = outbox_get_u32(&e);
	message.partition = (int32) outbox_get_u32(&e);
	message.timestamp = (int64) outbox_get_u64(&e);
	id = outbox_get_raw(&e, OUTBOX_EVENT_ID_SIZE);
	split = outbox_get_u32(&e);
	message.key = outbox_get_bytes(&e, &key_len);
	block = outbox_get_bytes(&e, &block_len);
	message.value = outbox_get_bytes(&e, &value_len);
	if (e.failed || outbox_cursor_left(&e) != 0 || message.partition < -1 ||
		message.topic >= session->topics_size ||
		session->topics[message.topic] == NULL)
		outbox_link_leave();
	message.key_len = Max(key_len, 0);
	message.value_len = Max(value_len, 0);

	if (!outbox_delivery_room(message.key_len + message.value_len))
		return false;
	message.headers = build_headers(id, split, block, block_len);
	err = outbox_deliver(session, batch_handle(session, batch), &message);
	if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		batch->events++;
		*at = c;
		return true;
	}
	rd_kafka_headers_destroy(message.headers);
	if (err != RD_KAFKA_RESP_ERR__QUEUE_FULL &&
		!batch_handle(session, batch)->broken)	/* or the main loop tells why */
	{
		OutboxResult result;

		outbox_result_set(&result, outbox_error_class(err), err,
						  "could not produce %zu bytes to topic \"%s\": %s",
						  message.value_len, session->topics[message.topic],
						  rd_kafka_err2str(err));
		outbox_session_fail_event(session, OUTBOX_FRAME_DATA, &result,
								  batch->number, message.topic,
								  message.event);
	}
	return false;
}

/*
 * A DATA frame, or the rest of one.  True when it is done with.
 */
bool
outbox_batch_data(OutboxSession *session, const char *body, size_t len)
{
	OutboxCursor c;
	uint32		number;
	uint32		events;
	OutboxBatch *batch;
	bool		room = true;

	outbox_cursor_init(&c, body, len);
	number = outbox_get_u32(&c);
	events = outbox_get_u32(&c);
	if (c.failed)
		outbox_link_leave();
	if ((batch = open_batch(session, number)) == NULL)
		return false;
	if (!session->in_data)
	{
		session->in_data = true;
		session->data_left = events;
		session->data_offset = (const char *) c.p - body;
	}
	c.p = (const uint8 *) body + session->data_offset;
	for (int n = 0; n < EVENTS_PER_TURN && session->data_left > 0; n++)
	{
		room = produce_event(session, batch, &c);
		if (!room)
			break;
		session->data_left--;
	}
	session->data_offset = (const char *) c.p - body;
	if (session->data_left > 0)
		return false;
	if (outbox_cursor_left(&c) != 0)
		outbox_link_leave();
	session->in_data = false;
	return true;
}

static rd_kafka_resp_err_t
produce_position(OutboxSession *session, OutboxHandle *handle, uint32 what,
				 const char *position, int32 len)
{
	OutboxOutgoing message = {0};

	message.what = what;
	message.topic = OUTBOX_NO_TOPIC;
	message.key = OUTBOX_POSITION_KEY;
	message.key_len = strlen(OUTBOX_POSITION_KEY);
	message.value = position;
	message.value_len = len;
	return outbox_deliver(session, handle, &message);
}

bool
outbox_batch_commit(OutboxSession *session, const char *body, size_t len)
{
	OutboxCursor c;
	uint32		number;
	uint32		events;
	const char *position;
	int32		position_len;
	OutboxBatch *batch;
	rd_kafka_resp_err_t err;

	outbox_cursor_init(&c, body, len);
	number = outbox_get_u32(&c);
	events = outbox_get_u32(&c);
	position = outbox_get_bytes(&c, &position_len);
	if (c.failed || outbox_cursor_left(&c) != 0)
		outbox_link_leave();
	if ((batch = open_batch(session, number)) == NULL)
		return false;
	if (batch->events != events)
	{
		OutboxResult result;

		outbox_result_set(&result, OUTBOX_UNKNOWN, 0,
						  "batch %u has %u events, but %u were announced",
						  number, batch->events, events);
		outbox_session_fail(session, OUTBOX_FRAME_COMMIT, &result, number,
							OUTBOX_NO_TOPIC);
		return true;
	}
	if (position != NULL && session->delivery == OUTBOX_EXACTLY_ONCE)
	{
		err = produce_position(session, batch->producer->handle,
							   batch - session->batches, position,
							   position_len);
		if (err == RD_KAFKA_RESP_ERR__QUEUE_FULL ||
			(err != RD_KAFKA_RESP_ERR_NO_ERROR &&
			 batch->producer->handle->broken))
			return false;
		if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
			fail_batch(session, OUTBOX_FRAME_COMMIT, outbox_error_class(err),
					   number, OUTBOX_NO_TOPIC, err,
					   "could not produce the position record");
	}
	else if (position != NULL)
	{
		batch->position = palloc(position_len + 1);
		memcpy(batch->position, position, position_len);
		batch->position_len = position_len;
	}
	batch->sealed = true;
	return true;
}

/*
 * at_least_once: the oldest batch is acknowledged.
 */
static void
finish_batch(OutboxSession *session, OutboxBatch *batch)
{
	outbox_session_reply_committed(session, batch->number, batch->events);
	if (batch->position != NULL)
	{
		if (session->position != NULL)
			pfree(session->position);
		session->position = batch->position;
		session->position_len = batch->position_len;
		if (batch->events == 0)
			session->position_due_ms = outbox_now_ms();
		else if (session->position_due_ms == 0)
			session->position_due_ms = outbox_now_ms() + POSITION_INTERVAL;
	}
	session->first = (session->first + 1) % OUTBOX_WINDOW;
	session->count--;
}

/* One at a time, so that RECORDED tells which. */
static void
write_position(OutboxSession *session)
{
	rd_kafka_resp_err_t err;

	session->position_acked = false;
	err = produce_position(session, session->plain, OUTBOX_MESSAGE_POSITION,
						   session->position, session->position_len);
	if (err == RD_KAFKA_RESP_ERR__QUEUE_FULL)
		return;
	if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
		fail_batch(session, 0, outbox_error_class(err), 0, OUTBOX_NO_TOPIC,
				   err, "could not produce the position record");
	session->position_due_ms = 0;
	session->position_sent = session->position;
	session->position_sent_len = session->position_len;
	session->position = NULL;
}

static void
follow_position(OutboxSession *session)
{
	if (session->position_sent != NULL && session->position_acked)
	{
		outbox_session_reply_recorded(session, session->position_sent,
									  session->position_sent_len);
		pfree(session->position_sent);
		session->position_sent = NULL;
	}
	if (session->position_due_ms != 0 && session->position_sent == NULL &&
		outbox_now_ms() >= session->position_due_ms)
		write_position(session);
}

/*
 * Report a failed delivery under the number of its batch.
 */
static void
check_deliveries(OutboxSession *session)
{
	OutboxResult result;
	OutboxResult cause;
	OutboxUndelivered message;
	bool		known;

	if (!outbox_delivery_failure(&result, &message))
		return;
	known = message.what < OUTBOX_WINDOW;

	/* purged messages only say that something else went wrong */
	if (result.class == OUTBOX_UNKNOWN &&
		outbox_producer_trouble(session, &cause))
		result = cause;
	outbox_session_fail_event(session,
							  message.what == OUTBOX_MESSAGE_PUT ?
							  OUTBOX_FRAME_PUT_RECORD :
							  known ? OUTBOX_FRAME_COMMIT : 0, &result,
							  known ? session->batches[message.what].number : 0,
							  message.topic, message.event);
}

void
outbox_batch_progress(OutboxSession *session)
{
	/* unacked is read before the failure, see delivery.c */
	for (int i = 0; i < session->count && !session->failed; i++)
	{
		OutboxBatch *batch = &session->batches[(session->first + i) %
											   OUTBOX_WINDOW];

		if (batch->handed)
			continue;
		if (!batch->sealed || batch->unacked > 0)
			break;
		check_deliveries(session);
		if (session->failed)
			return;
		if (session->delivery == OUTBOX_EXACTLY_ONCE)
			outbox_producer_commit(session, batch);
		else
		{
			finish_batch(session, batch);
			i--;
		}
	}
	check_deliveries(session);
	if (!session->failed)
		follow_position(session);
}

/*
 * A caught-up relay closes a batch when it can be begun at once, not before:
 * what is committed meanwhile then travels in it, and not in the next.
 */
void
outbox_batch_tell_ready(OutboxSession *session)
{
	OutboxBatch *last = newest_batch(session);
	StringInfo	out = &session->link.out;
	int			start;

	if (last == NULL || session->delivery != OUTBOX_EXACTLY_ONCE ||
		session->failed || !last->handed ||
		session->ready_told == last->number ||
		!outbox_producer_can_begin(session, last->number + 1))
		return;
	session->ready_told = last->number;
	start = outbox_frame_begin(out, OUTBOX_FRAME_READY);
	outbox_put_u32(out, last->number);
	outbox_frame_end(out, start);
}

/*
 * STOP: at_least_once writes the last position, for what it is worth.  It may
 * be on its way already.
 */
void
outbox_batch_stop(OutboxSession *session)
{
	if (session->failed)
		return;
	if (session->position_due_ms != 0)
		write_position(session);
	if (session->position_sent != NULL)
		rd_kafka_flush(session->plain->rk, 500);
}
