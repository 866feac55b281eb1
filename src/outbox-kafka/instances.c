/*-------------------------------------------------------------------------
 *
 * instances.c
 *		The topic outbox.instances: who gives schema ids from which block.
 *
 * Databases that publish to one Kafka without a schema registry each give ids of
 * their own to schemas, from a random one of 2^21 blocks.  Should two have the
 * same block, a consumer of both would decode with the wrong schema.  Each
 * instance says which block it is at, in a compacted topic with its uuid as the
 * key, and outbox.check() compares.
 *
 *		key "<uuid>", value "1 <block>" in decimal; 1 is the format's version
 *
 * It is a service to whoever asks and stops nothing: what fails (no right to the
 * topic, topics are not to be created) is a finding.  Runs in the registrar's
 * thread, with clients of its own that live for one job, so producers do not
 * wait for it.  Dying anywhere leaves the old record or the new one; it is
 * announced again at the next takeover.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-kafka/instances.h"

#include "base/cursor.h"
#include "outbox-kafka/topics.h"

#define JOB_TIMEOUT		8000	/* ms, of announcing */
#define READ_TIMEOUT	4000	/* ms, of reading all records */
#define BLOCK_SIZE		1024	/* ids, see new_schema_ids() */
#define MAX_NAMED		5		/* others in findings */

typedef struct AnnounceJob
{
	OutboxJob	job;
	const OutboxKafkaConfig *config;
	char	   *instance;
	uint32		block;
	bool		create;
} AnnounceJob;

/* The registrar's thread. */
static struct
{
	bool		done;			/* the following is in the topic */
	char		instance[64];
	uint32		block;
	char		why_not[256];
} announced;

static _Atomic int report = -1; /* of the record under way; -1: none yet */

static void
delivered(const rd_kafka_message_t *message)
{
	report = (int) message->err;
}

static void
produce(AnnounceJob *self, OutboxHandle *handle, int64 deadline)
{
	rd_kafka_topic_t *topic = outbox_handle_topic(handle, 0,
												  OUTBOX_INSTANCES_TOPIC);
	char		value[32];

	snprintf(value, sizeof(value), "1 %u", self->block);
	report = -1;
	if (topic == NULL ||
		rd_kafka_produce(topic, 0, RD_KAFKA_MSG_F_COPY, value, strlen(value),
						 self->instance, strlen(self->instance), NULL) != 0)
	{
		outbox_result_set(&self->job.result, OUTBOX_RETRY,
						  rd_kafka_last_error(), "%s",
						  rd_kafka_err2str(rd_kafka_last_error()));
		return;
	}
	while (report < 0 && outbox_now_ms() < deadline)
		(void) rd_kafka_poll(handle->rk, 100);
	if (report != RD_KAFKA_RESP_ERR_NO_ERROR)
		outbox_result_set(&self->job.result, OUTBOX_RETRY, report, "%s",
						  report < 0 ? "no answer in time" :
						  rd_kafka_err2str(report));
}

static void
announce(AnnounceJob *self)
{
	int64		deadline = outbox_now_ms() + JOB_TIMEOUT;
	OutboxHandle *handle = outbox_handle_new(self->config,
											 OUTBOX_HANDLE_IDEMPOTENT, NULL,
											 delivered, -1,
											 &self->job.result);
	int			partitions;

	if (handle == NULL)
		return;
	partitions = outbox_topics_lookup(handle->rk, OUTBOX_INSTANCES_TOPIC,
									  deadline, &self->job.result);
	if (partitions == 0 && self->create &&
		outbox_topics_create(handle->rk, OUTBOX_INSTANCES_TOPIC,
							 &self->job.result))
		partitions = 1;
	if (partitions > 0)
		produce(self, handle, deadline);
	else if (self->job.result.class == OUTBOX_OK)
		outbox_result_set(&self->job.result, OUTBOX_CONFIG, 0,
						  "the topic does not exist");
	outbox_handle_discard(handle);
}

static void
announce_run(OutboxJob *job)
{
	AnnounceJob *self = (AnnounceJob *) job;

	outbox_result_ok(&job->result);
	if (announced.done && announced.block == self->block)
		return;
	strlcpy(announced.instance, self->instance, sizeof(announced.instance));
	announced.block = self->block;
	announce(self);
	announced.done = job->result.class == OUTBOX_OK;
	strlcpy(announced.why_not, job->result.message, sizeof(announced.why_not));
}

static void
announce_done(OutboxJob *job)
{
	AnnounceJob *self = (AnnounceJob *) job;

	pfree(self->instance);
	pfree(self);
}

void
outbox_instances_announce(OutboxSession *session, const char *body, size_t len)
{
	AnnounceJob *self = palloc0(sizeof(AnnounceJob));
	OutboxCursor c;
	const char *name;
	int32		name_len;

	outbox_cursor_init(&c, body, len);
	name = outbox_get_bytes(&c, &name_len);
	self->block = outbox_get_u32(&c);
	self->create = outbox_get_u8(&c) != 0;
	if (c.failed || outbox_cursor_left(&c) != 0 || name_len <= 0 ||
		memchr(name, '\0', name_len) != NULL)
		outbox_link_leave();
	self->instance = pnstrdup(name, name_len);
	self->config = session->config;
	self->job.run = announce_run;
	self->job.done = announce_done;
	outbox_worker_submit(&session->registrar, &self->job);
}

/* ---- comparing ------------------------------------------------------------ */

/* Instances of our block, by their last record. */
typedef struct Others
{
	char		name[MAX_NAMED][64];
	int			count;
} Others;

static void
forget(Others *others, const char *name)
{
	for (int i = 0; i < others->count; i++)
	{
		if (strcmp(others->name[i], name) != 0)
			continue;
		others->count--;
		memmove(others->name[i], others->name[others->count],
				sizeof(others->name[i]));
		i--;
	}
}

/* A later record of the same instance counts, so does that it was deleted. */
static void
consider(Others *others, const rd_kafka_message_t *message)
{
	char		name[64];
	char		value[32] = "";
	unsigned int version,
				block;

	if (message->key_len == 0 || message->key_len >= sizeof(name))
		return;
	memcpy(name, message->key, message->key_len);
	name[message->key_len] = '\0';
	if (strcmp(name, announced.instance) == 0)
		return;
	forget(others, name);
	if (message->payload == NULL || message->len >= sizeof(value))
		return;
	memcpy(value, message->payload, message->len);
	if (sscanf(value, "%u %u", &version, &block) == 2 && version == 1 &&
		block == announced.block && others->count < MAX_NAMED)
		strlcpy(others->name[others->count++], name, sizeof(name));
}

/* All records; false when that did not work. */
static bool
read_all(OutboxHandle *handle, Others *others)
{
	int64		deadline = outbox_now_ms() + READ_TIMEOUT;
	rd_kafka_topic_t *topic = outbox_handle_topic(handle, 0,
												  OUTBOX_INSTANCES_TOPIC);
	bool		done = false;

	if (topic == NULL || rd_kafka_consume_start(topic, 0,
												RD_KAFKA_OFFSET_BEGINNING) != 0)
		return false;
	while (!done && outbox_now_ms() < deadline)
	{
		rd_kafka_message_t *message = rd_kafka_consume(topic, 0, 100);

		outbox_handle_poll(handle);
		if (message == NULL)
			continue;
		if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
			consider(others, message);
		else if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
			done = true;
		rd_kafka_message_destroy(message);
	}
	rd_kafka_consume_stop(topic, 0);
	return done;
}

void
outbox_instances_compare(OutboxDiagnose *diagnose, OutboxSession *session)
{
	Others		others = {.count = 0};
	OutboxResult result;
	OutboxHandle *handle;
	bool		read = false;

	/* a registry gives the ids; or we were not told ours */
	if (session->registry != NULL || announced.instance[0] == '\0')
		return;
	handle = !announced.done ? NULL :
		outbox_handle_new(session->config, OUTBOX_HANDLE_UNCOMMITTED, NULL,
						  NULL, -1, &result);
	if (handle != NULL)
	{
		read = read_all(handle, &others);
		outbox_handle_discard(handle);
	}
	if (!read)
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_INFO, "schema ids",
							"Allow our user Read, Write and Describe on topic " OUTBOX_INSTANCES_TOPIC ", and have it created; or use a schema registry.",
							"not compared with those of other instances: %s",
							announced.done ? "topic " OUTBOX_INSTANCES_TOPIC " could not be read" :
							announced.why_not);
	else if (others.count == 0)
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_OK, "schema ids", NULL,
							"no other instance gives ids from %u to %u",
							announced.block * BLOCK_SIZE,
							announced.block * BLOCK_SIZE + BLOCK_SIZE - 1);
	for (int i = 0; i < others.count; i++)
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_WARNING, "schema ids",
							"As the extension's owner, SELECT outbox.new_schema_ids() in one of the two before it has more schemas; what has ids already, see docs/schemas.md.",
							"instance %s gives ids from %u to %u, as we do: one id may mean two schemas",
							others.name[i], announced.block * BLOCK_SIZE,
							announced.block * BLOCK_SIZE + BLOCK_SIZE - 1);
}
