/*-------------------------------------------------------------------------
 *
 * topics.c
 *		Look topics up, create them, wait until they can be used.
 *
 * Owns the table of topic names by index (main thread).  Look-ups and
 * creation run in the requests thread, on the idempotent handle; every
 * producer that will write is then made to fetch the topic's metadata, because
 * librdkafka before 2.10.1 otherwise sends the first message to a topic up to
 * a second late.  Creating is idempotent: "exists already" is success, so a
 * process that died in between, or two at once, do no harm.  No handle creates
 * a topic by merely asking for it (allow.auto.create.topics=false).
 *
 * A compacted topic gets small segments, because only closed segments are
 * compacted and the position topic is read from its end backwards.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-kafka/topics.h"

#include "base/cursor.h"
#include "outbox-kafka/report.h"

#include <unistd.h>

#define LOOKUP_SLICE	1000	/* ms */
#define TOPIC_TIMEOUT	10000
#define WARM_TIMEOUT	3000

typedef struct TopicJob
{
	OutboxJob	job;
	OutboxSession *session;
	OutboxHandle *client;
	uint32		index;
	char	   *name;			/* goes into the session's table */
	int			partitions;
	int			replication;
	bool		create;
	bool		compacted;
	OutboxHandle *handles[OUTBOX_MAX_RING + 1];	/* to be warmed */
	int			nhandles;
} TopicJob;

void
outbox_topics_list(OutboxSession *session, OutboxTopicList *list)
{
	list->names = palloc((session->topics_size + 1) * sizeof(char *));
	list->count = 0;
	list->names[list->count++] = session->position_topic;
	for (uint32 i = 0; i < session->topics_size; i++)
		if (session->topics[i] != NULL)
			list->names[list->count++] = session->topics[i];
}

void
outbox_topics_list_free(OutboxTopicList *list)
{
	pfree(list->names);
	list->names = NULL;
	list->count = 0;
}

/*
 * One metadata request.  Number of partitions that have a leader, -1 and *err
 * on failure.
 */
static int
ask_metadata(rd_kafka_t *rk, const char *name, int timeout,
			 rd_kafka_resp_err_t *err)
{
	rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, name, NULL);
	const struct rd_kafka_metadata *metadata;
	int			count = -1;

	if (topic == NULL)
	{
		*err = rd_kafka_last_error();
		return -1;
	}
	*err = rd_kafka_metadata(rk, 0, topic, &metadata, timeout);
	rd_kafka_topic_destroy(topic);
	if (*err != RD_KAFKA_RESP_ERR_NO_ERROR)
		return -1;
	*err = RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
	if (metadata->topic_cnt == 1)
	{
		const rd_kafka_metadata_topic_t *found = &metadata->topics[0];

		*err = found->err;
		if (*err == RD_KAFKA_RESP_ERR_NO_ERROR)
		{
			count = found->partition_cnt;
			for (int i = 0; i < found->partition_cnt; i++)
				if (found->partitions[i].leader < 0)
				{
					*err = RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
					count = -1;
				}
		}
	}
	rd_kafka_metadata_destroy(metadata);
	return count;
}

int
outbox_topics_lookup(rd_kafka_t *rk, const char *name, int64 deadline,
					 OutboxResult *result)
{
	for (;;)
	{
		rd_kafka_resp_err_t err;
		int64		left = deadline - outbox_now_ms();
		OutboxResultClass class;
		OutboxResult link;
		int			count;

		count = ask_metadata(rk, name, (int) Max(Min(left, LOOKUP_SLICE), 10),
							 &err);
		if (count > 0)
			return count;
		if (err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
			err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC)
			return 0;
		class = outbox_error_class(err);
		outbox_report_trouble(&link);
		if (class == OUTBOX_CONFIG || link.class == OUTBOX_CONFIG ||
			outbox_now_ms() >= deadline)
		{
			if (class != OUTBOX_CONFIG && link.class != OUTBOX_OK)
				*result = link;
			else
				outbox_result_set(result, class == OUTBOX_CONFIG ? class :
								  OUTBOX_RETRY, err,
								  "could not look up topic \"%s\": %s", name,
								  rd_kafka_err2str(err));
			return -1;
		}
		usleep(50 * 1000);
	}
}

void
outbox_topics_warm(OutboxHandle *handle, const OutboxTopicList *list)
{
	int64		deadline = outbox_now_ms() + WARM_TIMEOUT;

	for (int i = 0; i < list->count; i++)
	{
		rd_kafka_resp_err_t err;
		int64		left = deadline - outbox_now_ms();

		if (left > 0)
			(void) ask_metadata(handle->rk, list->names[i], (int) left, &err);
	}
}

/*
 * Send one CreateTopics request; NO_ERROR also when somebody was faster.
 */
static rd_kafka_resp_err_t
create_topic(rd_kafka_t *rk, const TopicJob *topic, char *text, size_t size)
{
	rd_kafka_NewTopic_t *new_topic;
	rd_kafka_AdminOptions_t *options;
	rd_kafka_queue_t *queue;
	rd_kafka_event_t *event;
	const rd_kafka_CreateTopics_result_t *created;
	rd_kafka_resp_err_t err;

	new_topic = rd_kafka_NewTopic_new(topic->name, topic->partitions,
									  topic->replication, text, size);
	if (new_topic == NULL)
		return RD_KAFKA_RESP_ERR__INVALID_ARG;
	if (topic->compacted)
	{
		rd_kafka_NewTopic_set_config(new_topic, "cleanup.policy", "compact");
		rd_kafka_NewTopic_set_config(new_topic, "segment.bytes", "16777216");
		/* see clock.c */
		rd_kafka_NewTopic_set_config(new_topic, "message.timestamp.type",
									 "LogAppendTime");
	}
	options = rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_CREATETOPICS);
	rd_kafka_AdminOptions_set_operation_timeout(options, 5000, NULL, 0);
	rd_kafka_AdminOptions_set_request_timeout(options, 6000, NULL, 0);
	queue = rd_kafka_queue_new(rk);
	rd_kafka_CreateTopics(rk, &new_topic, 1, options, queue);
	event = rd_kafka_queue_poll(queue, 7000);

	if (event == NULL)
		err = RD_KAFKA_RESP_ERR__TIMED_OUT;
	else if ((err = rd_kafka_event_error(event)) != RD_KAFKA_RESP_ERR_NO_ERROR)
		snprintf(text, size, "%s", rd_kafka_event_error_string(event));
	else if ((created = rd_kafka_event_CreateTopics_result(event)) != NULL)
	{
		size_t		n;
		const rd_kafka_topic_result_t **results =
			rd_kafka_CreateTopics_result_topics(created, &n);

		if (n > 0)
		{
			const char *why = rd_kafka_topic_result_error_string(results[0]);

			err = rd_kafka_topic_result_error(results[0]);
			snprintf(text, size, "%s", why == NULL ? rd_kafka_err2str(err) :
					 why);
		}
	}
	if (err == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
		err = RD_KAFKA_RESP_ERR_NO_ERROR;

	if (event != NULL)
		rd_kafka_event_destroy(event);
	rd_kafka_queue_destroy(queue);
	rd_kafka_AdminOptions_destroy(options);
	rd_kafka_NewTopic_destroy(new_topic);
	return err;
}

bool
outbox_topics_create(rd_kafka_t *rk, const char *name, OutboxResult *result)
{
	TopicJob	topic = {
		.name = unconstify(char *, name),
		.partitions = 1,
		.replication = -1,
		.compacted = true
	};
	char		text[256] = "";
	rd_kafka_resp_err_t err = create_topic(rk, &topic, text, sizeof(text));

	if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
		outbox_result_set(result, outbox_error_class(err), err, "%s",
						  text[0] != '\0' ? text : rd_kafka_err2str(err));
	return err == RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void
topic_run(OutboxJob *job)
{
	TopicJob   *topic = (TopicJob *) job;
	rd_kafka_t *rk = topic->client->rk;
	int64		deadline = outbox_now_ms() + TOPIC_TIMEOUT;
	OutboxTopicList list = {&topic->name, 1};
	int			count;

	outbox_result_ok(&job->result);
	count = outbox_topics_lookup(rk, topic->name, deadline, &job->result);
	if (count == 0 && topic->create)
	{
		char		text[256] = "";
		rd_kafka_resp_err_t err = create_topic(rk, topic, text, sizeof(text));
		OutboxResultClass class = outbox_error_class(err);

		if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
		{
			outbox_result_set(&job->result, class == OUTBOX_CONFIG ? class :
							  OUTBOX_RETRY, err,
							  "could not create topic \"%s\": %s",
							  topic->name, text[0] != '\0' ? text :
							  rd_kafka_err2str(err));
			return;
		}
		deadline = outbox_now_ms() + TOPIC_TIMEOUT;
		while ((count = outbox_topics_lookup(rk, topic->name, deadline,
											 &job->result)) == 0 &&
			   outbox_now_ms() < deadline)
			usleep(20 * 1000);
	}
	if (count < 0)
		return;
	if (count == 0)
	{
		outbox_result_set(&job->result, OUTBOX_RETRY,
						  RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
						  "topic \"%s\" does not exist", topic->name);
		return;
	}
	topic->partitions = count;
	for (int i = 0; i < topic->nhandles; i++)
		outbox_topics_warm(topic->handles[i], &list);
}

static void
topic_done(OutboxJob *job)
{
	TopicJob   *topic = (TopicJob *) job;
	OutboxSession *session = topic->session;
	StringInfo	out = &session->link.out;

	if (job->result.class != OUTBOX_OK)
	{
		outbox_session_fail(session, OUTBOX_FRAME_TOPIC, &job->result, 0,
							topic->index);
		pfree(topic->name);
	}
	else
	{
		int			start = outbox_frame_begin(out, OUTBOX_FRAME_TOPIC_OK);

		outbox_put_u32(out, topic->index);
		outbox_put_u32(out, (uint32) topic->partitions);
		outbox_frame_end(out, start);
		session->topics[topic->index] = topic->name;
		session->waiting = false;
	}
	pfree(topic);
}

static void
reserve_index(OutboxSession *session, uint32 index)
{
	uint32		size;

	if (index < session->topics_size)
		return;
	size = Max(index + 1, session->topics_size * 2);
	session->topics = session->topics == NULL ?
		palloc(size * sizeof(char *)) :
		repalloc(session->topics, size * sizeof(char *));
	memset(session->topics + session->topics_size, 0,
		   (size - session->topics_size) * sizeof(char *));
	session->topics_size = size;
}

void
outbox_topics_request(OutboxSession *session, const char *body, size_t len)
{
	TopicJob   *topic = palloc0(sizeof(TopicJob));
	OutboxCursor c;
	const char *name;
	int32		name_len;

	outbox_cursor_init(&c, body, len);
	topic->index = outbox_get_u32(&c);
	name = outbox_get_bytes(&c, &name_len);
	topic->partitions = (int32) outbox_get_u32(&c);
	topic->replication = (int16) outbox_get_u16(&c);
	topic->create = outbox_get_u8(&c) != 0;
	topic->compacted = outbox_get_u8(&c) != 0;
	if (c.failed || outbox_cursor_left(&c) != 0 || name_len <= 0 ||
		memchr(name, '\0', name_len) != NULL ||
		topic->index >= OUTBOX_MAX_TOPICS)
		outbox_link_leave();

	reserve_index(session, topic->index);
	if (session->topics[topic->index] != NULL)
		outbox_link_leave();	/* an index never changes its meaning */
	topic->name = pnstrdup(name, name_len);
	topic->job.run = topic_run;
	topic->job.done = topic_done;
	topic->session = session;
	topic->client = outbox_session_client(session);
	if (session->delivery == OUTBOX_AT_LEAST_ONCE)
		topic->handles[topic->nhandles++] = session->plain;
	for (int i = 0; i < session->ring; i++)
		if (session->producers[i].handle != NULL)
			topic->handles[topic->nhandles++] = session->producers[i].handle;
	session->waiting = true;
	outbox_worker_submit(&session->requests, &topic->job);
}
