/*-------------------------------------------------------------------------
 *
 * diagnose.h
 *		The DIAGNOSE request: look at broker, topics and registry.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_KAFKA_DIAGNOSE_H
#define OUTBOX_KAFKA_DIAGNOSE_H

#include "outbox-kafka/session.h"
#include "record/diagnosis.h"

#define OUTBOX_DIAGNOSE_TIMEOUT	4000	/* ms, of each thing asked of Kafka */

typedef struct OutboxDiagnosedTopic
{
	char	   *name;
	int			partitions;		/* it is to have; -1: any */
	bool		declared;		/* by an event type; else it was only used */
} OutboxDiagnosedTopic;

/* What is to be looked at, and what was found. */
typedef struct OutboxDiagnose
{
	rd_kafka_t *rk;
	OutboxDiagnosedTopic *topics;
	int			ntopics;
	const char *position_topic;
	bool		creates;		/* topics are created when missing */
	int64		max_event;		/* bytes */
	bool		exactly_once;
	int			brokers;		/* found out first */
	OutboxFindings found;
} OutboxDiagnose;

extern void outbox_diagnose_add(OutboxDiagnose *diagnose,
								OutboxSeverity severity, const char *object,
								const char *hint, const char *problem,...)
			pg_attribute_printf(5, 6);

/* Settings by name, as Kafka describes a topic or broker. */
typedef struct OutboxSettings OutboxSettings;

/*
 * NULL and *error when they cannot be had; to be freed.  Blocks for
 * OUTBOX_DIAGNOSE_TIMEOUT at most.
 */
extern OutboxSettings *outbox_settings_get(rd_kafka_t *rk,
										   rd_kafka_ResourceType_t type,
										   const char *name,
										   rd_kafka_resp_err_t *error);
extern void outbox_settings_free(OutboxSettings *settings);

/* NULL when there is no such setting. */
extern const char *outbox_settings_text(const OutboxSettings *settings,
										const char *name);
extern int64 outbox_settings_number(const OutboxSettings *settings,
									const char *name, int64 missing);

/* diagnose_broker.c, diagnose_topics.c: false when no broker answers */
extern bool outbox_diagnose_brokers(OutboxDiagnose *diagnose);
extern bool outbox_diagnose_topics(OutboxDiagnose *diagnose);

/* diagnose_library.c */
extern void outbox_diagnose_libraries(OutboxDiagnose *diagnose,
									  const OutboxKafkaConfig *config);

/* The same for a given version of librdkafka, as rd_kafka_version() has it. */
extern void outbox_diagnose_rdkafka(OutboxDiagnose *diagnose, int version,
									const char *version_text, bool scram);

/* clock.c: what delivery reports tell of the broker's clock */
extern void outbox_clock_note(const rd_kafka_message_t *message);
extern void outbox_diagnose_clock(OutboxDiagnose *diagnose);

/*
 * How far a clock that said "stamped" is ahead of ours, in ms, at least; it was
 * read between "sent" and "now" of ours.  0 when it may be right.
 */
extern int64 outbox_clock_skew(int64 stamped, int64 sent, int64 now);

/* The request. */
extern void outbox_diagnose_request(OutboxSession *session, const char *body,
									size_t len);

#endif							/* OUTBOX_KAFKA_DIAGNOSE_H */
