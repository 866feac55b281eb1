/*-------------------------------------------------------------------------
 *
 * requests.c
 *		Frames other than DATA and COMMIT.
 *
 * Main thread.  Each request is answered before the next frame is looked at
 * (session->waiting), so answers come in order; what blocks runs as a job of
 * the requests thread.  Requests in an order that the protocol does not have
 * end the process, as a damaged frame does.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-kafka/session.h"

#include "base/cursor.h"
#include "outbox-kafka/hello.h"
#include "outbox-kafka/instances.h"
#include "outbox-kafka/diagnose.h"
#include "outbox-kafka/position_topic.h"
#include "outbox-kafka/report.h"
#include "outbox-kafka/topics.h"

#define PROBE_INTERVAL	1000	/* ms */
#define PUT_TIMEOUT		10000

typedef struct PutJob
{
	OutboxJob	job;
	OutboxSession *session;
	OutboxHandle *client;
	char	   *key;
	int32		key_len;
	char	   *value;			/* NULL for null */
	int32		value_len;
} PutJob;

static bool
make_plain(OutboxSession *session, OutboxResult *result)
{
	session->plain = outbox_handle_new(session->config,
									   OUTBOX_HANDLE_IDEMPOTENT, NULL,
									   outbox_delivered, session->wake_fd,
									   result);
	return session->plain != NULL;
}

static bool
greet(OutboxSession *session, const char *body, size_t len,
	  OutboxResult *result)
{
	OutboxCursor c;
	uint16		version;
	char	   *path;

	outbox_cursor_init(&c, body, len);
	version = outbox_get_u16(&c);
	if (version != OUTBOX_PROTOCOL_VERSION)
	{
		outbox_result_set(result, OUTBOX_CONFIG, 0,
						  "the relay speaks protocol version %u, this "
						  "outbox-kafka version %u", version,
						  OUTBOX_PROTOCOL_VERSION);
		return false;
	}
	session->delivery = (OutboxDelivery) outbox_get_u8(&c);
	session->ring = outbox_get_u16(&c);
	session->prefix = outbox_hello_string(&c);
	session->position_topic = outbox_hello_string(&c);
	path = outbox_hello_string(&c);
	if (c.failed || session->prefix == NULL ||
		session->position_topic == NULL ||
		session->delivery > OUTBOX_AT_LEAST_ONCE ||
		session->ring < 1 || session->ring > OUTBOX_MAX_RING)
		outbox_link_leave();
	session->config = outbox_hello_config(&c, path, result);
	if (session->config == NULL)
		return false;
	session->single = outbox_config_get(session->config,
										OUTBOX_SINGLE_MESSAGES) != NULL;
	session->registry = outbox_registry_new(session->config, result);
	if (session->registry == NULL && result->class != OUTBOX_OK)
		return false;
	return make_plain(session, result);
}

static void
hello(OutboxSession *session, const char *body, size_t len)
{
	StringInfo	out = &session->link.out;
	OutboxResult result;
	int			start;

	if (!greet(session, body, len, &result))
	{
		outbox_session_fail(session, OUTBOX_FRAME_HELLO, &result, 0,
							OUTBOX_NO_TOPIC);
		return;
	}
	session->greeted = true;
	start = outbox_frame_begin(out, OUTBOX_FRAME_HELLO_OK);
	outbox_put_u16(out, OUTBOX_PROTOCOL_VERSION);
	outbox_put_cstring(out, rd_kafka_version_str());
	outbox_frame_end(out, start);
}

/*
 * PUT_RECORD, first half: see that the topic is there and known to the
 * handle.  It is never created by writing to it.
 */
static void
put_run(OutboxJob *job)
{
	OutboxSession *session = ((PutJob *) job)->session;
	int			partitions;

	outbox_result_ok(&job->result);
	partitions = outbox_topics_lookup(((PutJob *) job)->client->rk,
									  session->position_topic,
									  outbox_now_ms() + PUT_TIMEOUT,
									  &job->result);
	if (partitions == 0)
		outbox_result_set(&job->result, OUTBOX_RETRY,
						  RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
						  "topic \"%s\" does not exist",
						  session->position_topic);
}

/*
 * Second half: produce.  The delivery report sets put_state; a failure of it
 * is reported by batch.c like any other.
 */
static void
put_done(OutboxJob *job)
{
	PutJob	   *put = (PutJob *) job;
	OutboxSession *session = put->session;
	OutboxOutgoing message = {0};
	rd_kafka_resp_err_t err;

	if (job->result.class == OUTBOX_OK)
	{
		message.what = OUTBOX_MESSAGE_PUT;
		message.topic = OUTBOX_NO_TOPIC;
		message.key = put->key;
		message.key_len = put->key_len;
		message.value = put->value;
		message.value_len = Max(put->value_len, 0);
		session->put_state = OUTBOX_PUT_SENT;
		err = outbox_deliver(session, session->plain, &message);
		if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
			outbox_result_set(&job->result, outbox_error_class(err), err,
							  "could not write to topic \"%s\": %s",
							  session->position_topic, rd_kafka_err2str(err));
	}
	if (job->result.class != OUTBOX_OK)
		outbox_session_fail(session, OUTBOX_FRAME_PUT_RECORD, &job->result, 0,
							OUTBOX_NO_TOPIC);
	pfree(put->key);
	if (put->value != NULL)
		pfree(put->value);
	pfree(put);
}

static void
put_record(OutboxSession *session, const char *body, size_t len)
{
	PutJob	   *put = palloc0(sizeof(PutJob));
	OutboxResult result;
	OutboxCursor c;
	const char *key,
			   *value;

	outbox_cursor_init(&c, body, len);
	key = outbox_get_bytes(&c, &put->key_len);
	value = outbox_get_bytes(&c, &put->value_len);
	if (c.failed || outbox_cursor_left(&c) != 0 || key == NULL)
		outbox_link_leave();
	put->key = pnstrdup(key, put->key_len);
	if (value != NULL)
	{
		put->value = palloc(put->value_len + 1);
		memcpy(put->value, value, put->value_len);
	}
	if (session->plain == NULL && !make_plain(session, &result))
	{
		outbox_session_fail(session, OUTBOX_FRAME_PUT_RECORD, &result, 0,
							OUTBOX_NO_TOPIC);
		return;
	}
	put->client = session->plain;
	put->job.run = put_run;
	put->job.done = put_done;
	put->session = session;
	session->waiting = true;
	outbox_worker_submit(&session->requests, &put->job);
}

static void
init(OutboxSession *session, const char *body, size_t len)
{
	OutboxCursor c;
	uint16		count;

	outbox_cursor_init(&c, body, len);
	count = outbox_get_u16(&c);
	if (c.failed || outbox_cursor_left(&c) != 0 || count > OUTBOX_MAX_IDS ||
		(session->delivery == OUTBOX_EXACTLY_ONCE && count < session->ring))
		outbox_link_leave();
	outbox_producer_init(session, count);
}

void
outbox_request(OutboxSession *session, OutboxFrameType type,
			   const char *body, size_t len)
{
	if (session->greeted == (type == OUTBOX_FRAME_HELLO))
		outbox_link_leave();
	switch (type)
	{
		case OUTBOX_FRAME_HELLO:
			hello(session, body, len);
			break;
		case OUTBOX_FRAME_READ_POSITION:
			if (len != 0)
				outbox_link_leave();
			outbox_position_request(session);
			break;
		case OUTBOX_FRAME_PUT_RECORD:
			put_record(session, body, len);
			break;
		case OUTBOX_FRAME_INIT:
			init(session, body, len);
			break;
		case OUTBOX_FRAME_TOPIC:
			outbox_topics_request(session, body, len);
			break;
		case OUTBOX_FRAME_REGISTER:
			outbox_register_request(session, body, len);
			break;
		case OUTBOX_FRAME_DIAGNOSE:
			outbox_diagnose_request(session, body, len);
			break;
		case OUTBOX_FRAME_ANNOUNCE:
			outbox_instances_announce(session, body, len);
			break;
		default:
			outbox_link_leave();
	}
}

/*
 * Answer what needs no job any more.
 */
void
outbox_request_progress(OutboxSession *session)
{
	if (session->put_state == OUTBOX_PUT_DONE && !session->failed)
	{
		session->put_state = OUTBOX_PUT_NONE;
		session->waiting = false;
		outbox_session_reply(session, OUTBOX_FRAME_PUT_OK);
	}
}

static void
probe_run(OutboxJob *job)
{
	OutboxHandle *client = ((PutJob *) job)->client;
	const struct rd_kafka_metadata *metadata;

	if (rd_kafka_metadata(client->rk, 0, NULL, &metadata, 1000) ==
		RD_KAFKA_RESP_ERR_NO_ERROR)
		rd_kafka_metadata_destroy(metadata);
}

static void
probe_done(OutboxJob *job)
{
	pfree(job);
}

/*
 * While the link is in trouble, ask now and then, so that the end of the
 * trouble is noticed also when nothing else is sent.
 */
void
outbox_request_probe(OutboxSession *session)
{
	OutboxResult link;
	PutJob	   *probe;

	outbox_report_trouble(&link);
	if (link.class == OUTBOX_OK || outbox_session_client(session) == NULL ||
		outbox_now_ms() < session->next_probe_ms ||
		!outbox_worker_idle(&session->requests))
		return;
	session->next_probe_ms = outbox_now_ms() + PROBE_INTERVAL;
	probe = palloc0(sizeof(PutJob));
	probe->job.run = probe_run;
	probe->job.done = probe_done;
	probe->session = session;
	probe->client = outbox_session_client(session);
	outbox_worker_submit(&session->requests, &probe->job);
}
