/*-------------------------------------------------------------------------
 *
 * position_topic.c
 *		Find the newest position record and the highest claim.
 *
 * Runs in the requests thread with two consumers of its own, which live for
 * one request.  Nothing is written; dying anywhere changes nothing.
 *
 * A read-committed consumer is told "end of partition" at the last stable
 * offset: an open transaction, also of somebody else, hides every later
 * record.  So the high watermark is taken with a read-uncommitted consumer,
 * and after INIT (when no transaction of ours can be open any more) the
 * read-committed one must get past it; if it does not within the time, that
 * is a failure, never an older position.  Before INIT a predecessor's
 * transaction may well be open: then the newest visible record is given, and
 * the relay reads again after INIT.
 *
 * Claims are not transactional and are looked for with the read-uncommitted
 * consumer, so that an open transaction does not hide them.
 *
 * Both are read from the high watermark backwards, in windows that grow,
 * because the topic's newest segment is not compacted.  The position is looked
 * for down to the start.  Claims: whoever claims has read the position first,
 * so a claim above the position's incarnation lies behind the claim that this
 * incarnation began with; the search ends there, or CLAIM_REACH records back:
 * a claimant that far behind has claimed and then gone away.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-kafka/position_topic.h"

#include "base/cursor.h"
#include "outbox-kafka/report.h"
#include "outbox-kafka/topics.h"
#include "record/position.h"

#define READ_TIMEOUT	10000	/* ms, for the whole request */
#define FIRST_WINDOW	64		/* records */
#define WINDOW_GROWTH	4
#define CLAIM_REACH		65536

typedef struct Found
{
	bool		found;
	int64		offset;
	char	   *value;			/* NULL: a tombstone */
	int32		len;
} Found;

typedef struct ReadJob
{
	OutboxJob	job;
	OutboxSession *session;
	OutboxHandle *client;
	bool		settle;			/* must get past the high watermark */
	int64		deadline;
	int64		low;
	int64		high;
	Found		position;
	Found		claim;
	bool		claim_parsed;
	uint32		claim_timeline;
	uint64		claim_incarnation;
} ReadJob;

static void
take_value(Found *found, const rd_kafka_message_t *message)
{
	if (found->value != NULL)
		pfree(found->value);
	found->found = true;
	found->offset = message->offset;
	found->value = NULL;
	found->len = (int32) message->len;
	if (message->payload != NULL)
	{
		found->value = palloc(message->len + 1);
		memcpy(found->value, message->payload, message->len);
	}
}

/*
 * Highest timeline, then incarnation.  A claim that cannot be read is above
 * all others: the relay must see it.
 */
static void
consider_claim(ReadJob *read, const rd_kafka_message_t *message)
{
	OutboxPosition claim;

	if (message->payload == NULL ||
		(read->claim.found && !read->claim_parsed))
		return;
	if (outbox_position_read(message->payload, message->len, &claim) !=
		OUTBOX_POSITION_OK)
	{
		take_value(&read->claim, message);
		read->claim_parsed = false;
		return;
	}
	if (read->claim.found &&
		(claim.timeline < read->claim_timeline ||
		 (claim.timeline == read->claim_timeline &&
		  claim.incarnation < read->claim_incarnation)))
		return;
	take_value(&read->claim, message);
	read->claim_parsed = true;
	read->claim_timeline = claim.timeline;
	read->claim_incarnation = claim.incarnation;
}

static bool
has_key(const rd_kafka_message_t *message, const char *key)
{
	return message->key_len == strlen(key) &&
		memcmp(message->key, key, message->key_len) == 0;
}

static void
consider(ReadJob *read, bool claims, const rd_kafka_message_t *message)
{
	if (claims && has_key(message, OUTBOX_CLAIM_KEY))
		consider_claim(read, message);
	else if (!claims && has_key(message, OUTBOX_POSITION_KEY) &&
			 (!read->position.found ||
			  message->offset > read->position.offset))
		take_value(&read->position, message);
}

/*
 * What to do about an error instead of a record.  True: the window is done
 * with, well or not.
 */
static bool
window_error(ReadJob *read, const rd_kafka_message_t *message, int64 until)
{
	OutboxResultClass class = outbox_error_class(message->err);

	if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
		return message->offset >= until || !read->settle;
	if (class != OUTBOX_CONFIG)
		return false;			/* until the deadline */
	outbox_result_set(&read->job.result, class, message->err,
					  "could not read topic \"%s\": %s",
					  read->session->position_topic,
					  rd_kafka_message_errstr(message));
	return true;
}

static void
window_timed_out(ReadJob *read)
{
	OutboxResult link;

	outbox_report_trouble(&link);
	if (link.class != OUTBOX_OK)
		read->job.result = link;
	else
		outbox_result_set(&read->job.result, OUTBOX_RETRY,
						  RD_KAFKA_RESP_ERR__TIMED_OUT,
						  "could not read topic \"%s\" up to offset " INT64_FORMAT
						  " in time; an open transaction may be in the way",
						  read->session->position_topic, read->high);
}

/*
 * Look at the records [from, until).  False: read->job.result says why not.
 */
static bool
read_window(ReadJob *read, OutboxHandle *handle, bool claims,
			int64 from, int64 until)
{
	rd_kafka_topic_t *topic = outbox_handle_topic(handle,
												  OUTBOX_POSITION_SLOT,
												  read->session->position_topic);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(handle->rk);
	bool		done = false;

	if (topic == NULL ||
		rd_kafka_consume_start_queue(topic, 0, from, queue) != 0)
	{
		outbox_result_set(&read->job.result, OUTBOX_RETRY,
						  rd_kafka_last_error(),
						  "could not read topic \"%s\": %s",
						  read->session->position_topic,
						  rd_kafka_err2str(rd_kafka_last_error()));
		rd_kafka_queue_destroy(queue);
		return false;
	}
	while (!done)
	{
		rd_kafka_message_t *message = rd_kafka_consume_queue(queue, 100);

		outbox_handle_poll(handle);
		if (message != NULL)
		{
			if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
				done = window_error(read, message, until);
			else if (message->offset >= until)
				done = true;
			else
				consider(read, claims, message);
			rd_kafka_message_destroy(message);
		}
		if (!done && outbox_now_ms() >= read->deadline)
		{
			window_timed_out(read);
			done = true;
		}
	}
	rd_kafka_consume_stop(topic, 0);
	rd_kafka_queue_destroy(queue);
	return read->job.result.class == OUTBOX_OK;
}

static bool
read_position(ReadJob *read, OutboxHandle *handle)
{
	int64		until = read->high;
	int64		window = FIRST_WINDOW;

	while (until > read->low && !read->position.found)
	{
		int64		from = Max(read->low, until - window);

		if (!read_window(read, handle, false, from, until))
			return false;
		until = from;
		window *= WINDOW_GROWTH;
	}
	return true;
}

/* Whether the highest claim is the one the position's incarnation made. */
static bool
claim_suffices(const ReadJob *read)
{
	OutboxPosition position;

	return read->claim.found && read->claim_parsed &&
		read->position.value != NULL &&
		outbox_position_read(read->position.value, read->position.len,
							 &position) == OUTBOX_POSITION_OK &&
		(read->claim_timeline < position.timeline ||
		 (read->claim_timeline == position.timeline &&
		  read->claim_incarnation <= position.incarnation));
}

static bool
read_claims(ReadJob *read, OutboxHandle *handle)
{
	int64		until = read->high;
	int64		end = Max(read->low, read->high - CLAIM_REACH);
	int64		window = FIRST_WINDOW;

	while (until > end && !claim_suffices(read))
	{
		int64		from = Max(end, until - window);

		if (!read_window(read, handle, true, from, until))
			return false;
		until = from;
		window *= WINDOW_GROWTH;
	}
	return true;
}

static bool
ask_watermarks(ReadJob *read, OutboxHandle *handle)
{
	const char *name = read->session->position_topic;
	rd_kafka_resp_err_t err;
	OutboxResult link;

	for (;;)
	{
		err = rd_kafka_query_watermark_offsets(handle->rk, name, 0,
											   &read->low, &read->high, 1000);
		if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
			return true;
		outbox_handle_poll(handle);
		if (outbox_error_class(err) == OUTBOX_CONFIG ||
			outbox_now_ms() >= read->deadline)
			break;
	}
	outbox_report_trouble(&link);
	if (link.class != OUTBOX_OK)
		read->job.result = link;
	else
		outbox_result_set(&read->job.result,
						  outbox_error_class(err) == OUTBOX_CONFIG ?
						  OUTBOX_CONFIG : OUTBOX_RETRY, err,
						  "could not ask for the end of topic \"%s\": %s",
						  name, rd_kafka_err2str(err));
	return false;
}

static void
read_run(OutboxJob *job)
{
	ReadJob    *read = (ReadJob *) job;
	OutboxSession *session = read->session;
	OutboxHandle *uncommitted = NULL;
	OutboxHandle *committed = NULL;
	int			partitions;

	outbox_result_ok(&job->result);
	read->deadline = outbox_now_ms() + READ_TIMEOUT;
	partitions = outbox_topics_lookup(read->client->rk,
									  session->position_topic,
									  read->deadline, &job->result);
	if (partitions <= 0)
		return;
	if (partitions > 1)
	{
		outbox_result_set(&job->result, OUTBOX_CONFIG, 0,
						  "position topic \"%s\" has %d partitions instead "
						  "of one", session->position_topic, partitions);
		return;
	}

	uncommitted = outbox_handle_new(session->config,
									OUTBOX_HANDLE_UNCOMMITTED, NULL, NULL,
									-1, &job->result);
	if (uncommitted != NULL)
		committed = outbox_handle_new(session->config,
									  OUTBOX_HANDLE_COMMITTED, NULL, NULL,
									  -1, &job->result);
	if (committed != NULL && ask_watermarks(read, uncommitted) &&
		read_position(read, committed))
		(void) read_claims(read, uncommitted);

	if (committed != NULL)
		outbox_handle_discard(committed);
	if (uncommitted != NULL)
		outbox_handle_discard(uncommitted);
}

static void
read_done(OutboxJob *job)
{
	ReadJob    *read = (ReadJob *) job;
	OutboxSession *session = read->session;
	StringInfo	out = &session->link.out;
	int			start;

	if (job->result.class != OUTBOX_OK)
		outbox_session_fail(session, OUTBOX_FRAME_READ_POSITION, &job->result,
							0, OUTBOX_NO_TOPIC);
	else
	{
		start = outbox_frame_begin(out, OUTBOX_FRAME_POSITION);
		outbox_put_bytes(out, read->position.value, read->position.len);
		outbox_put_bytes(out, read->claim.value, read->claim.len);
		outbox_put_u64(out, (uint64) read->high);
		outbox_frame_end(out, start);
		session->waiting = false;
	}
	if (read->position.value != NULL)
		pfree(read->position.value);
	if (read->claim.value != NULL)
		pfree(read->claim.value);
	pfree(read);
}

void
outbox_position_request(OutboxSession *session)
{
	ReadJob    *read = palloc0(sizeof(ReadJob));

	read->job.run = read_run;
	read->job.done = read_done;
	read->session = session;
	read->client = outbox_session_client(session);
	read->settle = session->initialised;
	session->waiting = true;
	outbox_worker_submit(&session->requests, &read->job);
}
