/*-------------------------------------------------------------------------
 *
 * diagnose_broker.c
 *		Brokers: there, new enough, and set as exactly once needs it.
 *
 * Which version a broker has it does not tell; that it knows the setting
 * transaction.partition.verification.enable (KIP-890 part 1, Kafka 3.6) says as
 * much as is needed.  Without it, or with it off, a message that comes late may
 * end up in a transaction that it does not belong to and stay unfinished for
 * ever, so that read_committed consumers stand still.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-kafka/diagnose.h"

#define MAX_BROKERS		16		/* that are asked */
#define VERIFICATION	"transaction.partition.verification.enable"
#define LOG_REPLICATION	"transaction.state.log.replication.factor"

static void
look_at_settings(OutboxDiagnose *diagnose, const char *object,
				 const OutboxSettings *settings)
{
	const char *verification = outbox_settings_text(settings, VERIFICATION);

	if (verification == NULL)
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_WARNING, object,
							"Use Kafka 3.6 or later: before, a late message can be left behind in an unfinished transaction and stop read_committed consumers (KIP-890).",
							"the broker does not verify transactions");
	else if (strcmp(verification, "true") != 0)
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_WARNING, object,
							"Set " VERIFICATION " = true on the broker (KIP-890).",
							"transaction verification is off");
	if (diagnose->brokers > 1 && diagnose->exactly_once &&
		outbox_settings_number(settings, LOG_REPLICATION, 3) < 2)
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_WARNING, object,
							"Set " LOG_REPLICATION " = 3 before the topic __transaction_state is made.",
							"the state of transactions is kept by one broker alone");
}

/* False when the settings cannot be seen. */
static bool
look_at_broker(OutboxDiagnose *diagnose, int32 id)
{
	char		object[32];
	char		name[16];
	rd_kafka_resp_err_t err;
	OutboxSettings *settings;

	snprintf(name, sizeof(name), "%d", id);
	snprintf(object, sizeof(object), "broker %d", id);
	settings = outbox_settings_get(diagnose->rk, RD_KAFKA_RESOURCE_BROKER, name,
								   &err);
	if (settings == NULL)
	{
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_INFO, object,
							"To have them checked, allow our user DescribeConfigs on the cluster.",
							"its settings cannot be seen: %s",
							rd_kafka_err2str(err));
		return false;
	}
	look_at_settings(diagnose, object, settings);
	outbox_settings_free(settings);
	return true;
}

bool
outbox_diagnose_brokers(OutboxDiagnose *diagnose)
{
	const struct rd_kafka_metadata *metadata;
	rd_kafka_resp_err_t err = rd_kafka_metadata(diagnose->rk, 0, NULL, &metadata,
												OUTBOX_DIAGNOSE_TIMEOUT);

	if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_ERROR, "kafka",
							"See outbox.bootstrap_servers and outbox.kafka_config_file.",
							"no broker answers: %s", rd_kafka_err2str(err));
		return false;
	}
	diagnose->brokers = metadata->broker_cnt;
	if (diagnose->brokers == 1)
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_INFO, "kafka",
							"Three or more brokers and topics with replication factor 3 survive the loss of one.",
							"the cluster has one broker: what is published is on one disk");
	else
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_OK, "kafka", NULL,
							"%d brokers", diagnose->brokers);
	for (int i = 0; i < Min(metadata->broker_cnt, MAX_BROKERS); i++)
		if (!look_at_broker(diagnose, metadata->brokers[i].id))
			break;
	rd_kafka_metadata_destroy(metadata);
	return true;
}
