/*-------------------------------------------------------------------------
 *
 * diagnose_topics.c
 *		Topics: there, replicated, and set so that nothing is lost.
 *
 * The position topic is held to more than the others: what was published is
 * known from it alone, so it must have one partition, be compacted and never
 * deleted from, and survive a broker.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-kafka/diagnose.h"

#define CREATE_HINT	"It is created when its first event is published."

typedef struct Topic
{
	const OutboxDiagnosedTopic *asked;
	bool		position;		/* it is the position topic */
	char		object[300];
	int			partitions;
	int			leaderless;
	int			replicas;		/* of the partition that has the fewest */
	int			in_sync;		/* the same */
	OutboxSettings *settings;	/* NULL: not to be had */
} Topic;

static void
count_replicas(Topic *topic, const rd_kafka_metadata_topic_t *found)
{
	topic->partitions = found->partition_cnt;
	topic->replicas = topic->in_sync = PG_INT32_MAX;
	for (int i = 0; i < found->partition_cnt; i++)
	{
		const rd_kafka_metadata_partition_t *p = &found->partitions[i];

		topic->leaderless += p->leader < 0;
		topic->replicas = Min(topic->replicas, p->replica_cnt);
		topic->in_sync = Min(topic->in_sync, p->isr_cnt);
	}
}

/* NO_ERROR when the topic is there and counted. */
static rd_kafka_resp_err_t
look_up(OutboxDiagnose *diagnose, Topic *topic)
{
	rd_kafka_topic_t *rkt = rd_kafka_topic_new(diagnose->rk,
											   topic->asked->name, NULL);
	const struct rd_kafka_metadata *metadata;
	rd_kafka_resp_err_t err;

	if (rkt == NULL)
		return rd_kafka_last_error();
	err = rd_kafka_metadata(diagnose->rk, 0, rkt, &metadata,
							OUTBOX_DIAGNOSE_TIMEOUT);
	rd_kafka_topic_destroy(rkt);
	if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
		return err;
	err = RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
	if (metadata->topic_cnt == 1)
	{
		err = metadata->topics[0].err;
		if (err == RD_KAFKA_RESP_ERR_NO_ERROR ||
			err == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE)
		{
			count_replicas(topic, &metadata->topics[0]);
			err = RD_KAFKA_RESP_ERR_NO_ERROR;
		}
	}
	rd_kafka_metadata_destroy(metadata);
	return err;
}

static void
tell_missing(OutboxDiagnose *diagnose, const Topic *topic,
			 rd_kafka_resp_err_t err)
{
	if (err != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART &&
		err != RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC)
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_ERROR, topic->object,
							err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ?
							"Allow our user Write and Describe on it." : NULL,
							"cannot be looked up: %s", rd_kafka_err2str(err));
	else if (topic->position)
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_ERROR, topic->object,
							"What was published is known from it alone; see the state kafka_lost.",
							"does not exist");
	else if (diagnose->creates)
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_INFO, topic->object,
							CREATE_HINT, "does not exist yet");
	else
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_ERROR, topic->object,
							"Create it, or set outbox.create_topics = on.",
							"does not exist");
}

static void
look_at_partitions(OutboxDiagnose *diagnose, const Topic *topic)
{
	int			wanted = topic->position ? 1 : topic->asked->partitions;

	if (topic->leaderless > 0)
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_ERROR, topic->object,
							"Bring the brokers that have it back.",
							"%d of its partitions have no leader: nothing can be written",
							topic->leaderless);
	if (topic->position && topic->partitions != wanted)
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_ERROR, topic->object,
							"It must have one: create it anew while the extension is not at work.",
							"has %d partitions", topic->partitions);
	else if (wanted > 0 && topic->partitions != wanted)
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_WARNING, topic->object,
							topic->partitions < wanted ?
							"Add partitions; keys then move between them, so do it when consumers are done." :
							"See outbox.alter_event_type().",
							"has %d partitions, its event type says %d",
							topic->partitions, wanted);
}

static void
look_at_replication(OutboxDiagnose *diagnose, const Topic *topic)
{
	int64		least = topic->settings == NULL ? 0 :
		outbox_settings_number(topic->settings, "min.insync.replicas", 0);

	if (topic->replicas == 1 && diagnose->brokers > 1)
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_WARNING, topic->object,
							"Have 3 replicas of it: see outbox.topic_replication_factor.",
							"has one replica: the loss of one broker loses it");
	if (least > topic->replicas)
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_ERROR, topic->object,
							"Lower min.insync.replicas, or add replicas.",
							"min.insync.replicas is %lld, and it has %d: nothing can be written",
							(long long) least, topic->replicas);
	else if (least > topic->in_sync)
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_ERROR, topic->object,
							"Bring the brokers that have it back.",
							"%d replicas are in sync, min.insync.replicas is %lld: nothing can be written",
							topic->in_sync, (long long) least);
	else if (least == topic->replicas && topic->replicas > 1)
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_WARNING, topic->object,
							"Have one replica more than min.insync.replicas.",
							"min.insync.replicas is all of its %d replicas: one broker down stops it",
							topic->replicas);
	else if (least == 1 && topic->replicas > 1)
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_WARNING, topic->object,
							"Set min.insync.replicas = 2.",
							"min.insync.replicas is 1: what one broker alone has written counts as published");
}

static void
look_at_cleanup(OutboxDiagnose *diagnose, const Topic *topic)
{
	const char *policy = outbox_settings_text(topic->settings,
											  "cleanup.policy");

	if (policy == NULL)
		return;
	if (topic->position && strcmp(policy, "compact") != 0)
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_ERROR, topic->object,
							"Set cleanup.policy = compact: when the position is deleted, nobody knows what was published.",
							"cleanup.policy is %s", policy);
	if (!topic->position && strstr(policy, "compact") != NULL)
		outbox_diagnose_add(diagnose, topic->asked->declared ?
							OUTBOX_SEVERITY_WARNING : OUTBOX_SEVERITY_INFO,
							topic->object,
							"Set cleanup.policy = delete, unless that is meant.",
							"cleanup.policy is %s: of each key only the newest event is kept, and one without key is refused",
							policy);
}

static void
look_at_settings(OutboxDiagnose *diagnose, const Topic *topic)
{
	const char *unclean = outbox_settings_text(topic->settings,
											   "unclean.leader.election.enable");
	const char *stamp = outbox_settings_text(topic->settings,
											 "message.timestamp.type");
	int64		limit = outbox_settings_number(topic->settings,
											   "max.message.bytes", 0);

	look_at_cleanup(diagnose, topic);
	if (unclean != NULL && strcmp(unclean, "true") == 0)
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_WARNING, topic->object,
							"Set unclean.leader.election.enable = false.",
							"unclean.leader.election.enable is true: a replica that lags may become leader, and what was published is lost");
	if (topic->position)
		return;
	if (limit > 0 && limit < diagnose->max_event)
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_WARNING, topic->object,
							"Raise max.message.bytes of the topic, or lower outbox.max_event_size.",
							"max.message.bytes is %lld, outbox.max_event_size %lld: an event in between is refused after its commit",
							(long long) limit,
							(long long) diagnose->max_event);
	if (stamp != NULL && strcmp(stamp, "LogAppendTime") == 0)
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_INFO, topic->object,
							"Set message.timestamp.type = CreateTime for that of the commit.",
							"its messages carry the broker's time");
}

/* False when there is no answer: the rest need not be asked. */
static bool
look_at_topic(OutboxDiagnose *diagnose, const OutboxDiagnosedTopic *asked,
			  bool position)
{
	Topic		topic = {.asked = asked,.position = position};
	uint32		before = diagnose->found.count + diagnose->found.omitted;
	rd_kafka_resp_err_t err;

	snprintf(topic.object, sizeof(topic.object), "topic %s", asked->name);
	err = look_up(diagnose, &topic);
	if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		tell_missing(diagnose, &topic, err);
		return outbox_error_class(err) != OUTBOX_RETRY ||
			err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
			err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
	}
	topic.settings = outbox_settings_get(diagnose->rk, RD_KAFKA_RESOURCE_TOPIC,
										 asked->name, &err);
	look_at_partitions(diagnose, &topic);
	look_at_replication(diagnose, &topic);
	if (topic.settings != NULL)
	{
		look_at_settings(diagnose, &topic);
		outbox_settings_free(topic.settings);
	}
	else
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_INFO, topic.object,
							"To have them checked, allow our user DescribeConfigs on it.",
							"its settings cannot be seen: %s",
							rd_kafka_err2str(err));
	if (diagnose->found.count + diagnose->found.omitted == before)
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_OK, topic.object, NULL,
							"%d partitions, %d replicas", topic.partitions,
							topic.replicas);
	return true;
}

bool
outbox_diagnose_topics(OutboxDiagnose *diagnose)
{
	OutboxDiagnosedTopic position = {
		.name = unconstify(char *, diagnose->position_topic),
		.partitions = 1
	};

	if (!look_at_topic(diagnose, &position, true))
		return false;
	for (int i = 0; i < diagnose->ntopics; i++)
		if (!look_at_topic(diagnose, &diagnose->topics[i], false))
			return false;
	return true;
}
