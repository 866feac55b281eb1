/*-------------------------------------------------------------------------
 *
 * settings.c
 *		What a topic or a broker is set to, as Kafka describes it.
 *
 * One DescribeConfigs request each; defaults are among the answers.  Called in
 * the thread of a job.  Owns the event that the answer lives in.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-kafka/diagnose.h"

struct OutboxSettings
{
	rd_kafka_event_t *event;
	const rd_kafka_ConfigEntry_t **entries;
	size_t		n;
};

/* The one resource of an answer, or why there is none. */
static const rd_kafka_ConfigResource_t *
read_answer(rd_kafka_event_t *event, rd_kafka_resp_err_t *error)
{
	const rd_kafka_DescribeConfigs_result_t *result;
	const rd_kafka_ConfigResource_t **resources;
	size_t		n = 0;

	*error = event == NULL ? RD_KAFKA_RESP_ERR__TIMED_OUT :
		rd_kafka_event_error(event);
	if (*error != RD_KAFKA_RESP_ERR_NO_ERROR)
		return NULL;
	*error = RD_KAFKA_RESP_ERR__BAD_MSG;
	result = rd_kafka_event_DescribeConfigs_result(event);
	if (result == NULL)
		return NULL;
	resources = rd_kafka_DescribeConfigs_result_resources(result, &n);
	if (n != 1)
		return NULL;
	*error = rd_kafka_ConfigResource_error(resources[0]);
	return *error == RD_KAFKA_RESP_ERR_NO_ERROR ? resources[0] : NULL;
}

OutboxSettings *
outbox_settings_get(rd_kafka_t *rk, rd_kafka_ResourceType_t type,
					const char *name, rd_kafka_resp_err_t *error)
{
	rd_kafka_ConfigResource_t *which = rd_kafka_ConfigResource_new(type, name);
	rd_kafka_AdminOptions_t *options =
		rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
	const rd_kafka_ConfigResource_t *found;
	rd_kafka_event_t *event;
	OutboxSettings *settings = NULL;

	rd_kafka_AdminOptions_set_request_timeout(options,
											  OUTBOX_DIAGNOSE_TIMEOUT - 500,
											  NULL, 0);
	rd_kafka_DescribeConfigs(rk, &which, 1, options, queue);
	event = rd_kafka_queue_poll(queue, OUTBOX_DIAGNOSE_TIMEOUT);
	found = read_answer(event, error);
	if (found != NULL)
	{
		settings = palloc0(sizeof(OutboxSettings));
		settings->event = event;
		settings->entries = rd_kafka_ConfigResource_configs(found,
															&settings->n);
	}
	else if (event != NULL)
		rd_kafka_event_destroy(event);
	rd_kafka_queue_destroy(queue);
	rd_kafka_AdminOptions_destroy(options);
	rd_kafka_ConfigResource_destroy(which);
	return settings;
}

void
outbox_settings_free(OutboxSettings *settings)
{
	rd_kafka_event_destroy(settings->event);
	pfree(settings);
}

const char *
outbox_settings_text(const OutboxSettings *settings, const char *name)
{
	for (size_t i = 0; i < settings->n; i++)
	{
		if (strcmp(rd_kafka_ConfigEntry_name(settings->entries[i]), name) == 0)
			return rd_kafka_ConfigEntry_value(settings->entries[i]);
	}
	return NULL;
}

int64
outbox_settings_number(const OutboxSettings *settings, const char *name,
					   int64 missing)
{
	const char *text = outbox_settings_text(settings, name);

	return text == NULL ? missing : strtoll(text, NULL, 10);
}
