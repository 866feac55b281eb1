/*-------------------------------------------------------------------------
 *
 * diagnose_library.c
 *		Libraries that we run with, and what is known of their versions.
 *
 *	librdkafka before 2.4		spins for up to a millisecond per timer
 *								(librdkafka issue 4671): much CPU, longer tail
 *	before 2.6.1, SCRAM			sends a nonce that Kafka 4 refuses (pull 4895)
 *	before 2.10.1				first message to a topic up to a second late;
 *								we ask for the topic's metadata first, so
 *								nothing is said of it
 *	avro-c before 1.11			see DESIGN's list of what is supported
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-kafka/diagnose.h"

#ifndef OUTBOX_AVRO_VERSION
#define OUTBOX_AVRO_VERSION "unknown"
#endif

#define VERSION(major, minor, patch) \
	((major) << 24 | (minor) << 16 | (patch) << 8)

void
outbox_diagnose_rdkafka(OutboxDiagnose *diagnose, int version,
						const char *version_text, bool scram)
{
	bool		good = true;

	if (version < VERSION(2, 0, 2))
	{
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_ERROR, "librdkafka",
							"Use 2.0.2 or later.",
							"version %s is not supported", version_text);
		good = false;
	}
	if (version < VERSION(2, 4, 0))
	{
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_INFO, "librdkafka",
							"Use 2.4 or later where it can be had.",
							"version %s uses much CPU at many transactions a second",
							version_text);
		good = false;
	}
	if (scram && version < VERSION(2, 6, 1))
	{
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_WARNING, "librdkafka",
							"Use 2.6.1 or later before the brokers become Kafka 4.",
							"with version %s, SCRAM does not work with Kafka 4",
							version_text);
		good = false;
	}
	if (good)
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_OK, "librdkafka", NULL,
							"version %s", version_text);
}

static bool
uses_scram(const OutboxKafkaConfig *config)
{
	const char *one = outbox_config_get(config, "sasl.mechanism");
	const char *other = outbox_config_get(config, "sasl.mechanisms");

	return (one != NULL && strncmp(one, "SCRAM", 5) == 0) ||
		(other != NULL && strncmp(other, "SCRAM", 5) == 0);
}

void
outbox_diagnose_libraries(OutboxDiagnose *diagnose,
						  const OutboxKafkaConfig *config)
{
	int			major = 0,
				minor = 0;

	outbox_diagnose_rdkafka(diagnose, rd_kafka_version(),
							rd_kafka_version_str(), uses_scram(config));
	if (sscanf(OUTBOX_AVRO_VERSION, "%d.%d", &major, &minor) == 2 &&
		(major < 1 || (major == 1 && minor < 11)))
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_WARNING, "avro-c",
							"Build outbox-kafka with 1.11 or later.",
							"version %s is not supported",
							OUTBOX_AVRO_VERSION);
	else
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_OK, "avro-c", NULL,
							"version %s", OUTBOX_AVRO_VERSION);
}
