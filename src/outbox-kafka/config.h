/*-------------------------------------------------------------------------
 *
 * config.h
 *		librdkafka properties that people may set, and their sources.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_KAFKA_CONFIG_H
#define OUTBOX_KAFKA_CONFIG_H

#include "outbox-kafka/errors.h"

/* Of HELLO alone: a request carries one message, so a refusal names it. */
#define OUTBOX_SINGLE_MESSAGES	"outbox.single.messages"

typedef struct OutboxKafkaConfig OutboxKafkaConfig;

typedef enum OutboxConfigSource
{
	OUTBOX_CONFIG_FILE,			/* the properties file */
	OUTBOX_CONFIG_CALLER		/* HELLO, or the command line */
} OutboxConfigSource;

extern OutboxKafkaConfig *outbox_config_new(void);

/* Read a properties file; see properties.c for what it must be like. */
extern bool outbox_config_load(OutboxKafkaConfig *config, const char *path,
							   OutboxResult *result);

/*
 * Set one property; the last one wins.  A value never appears in a message.
 */
extern bool outbox_config_set(OutboxKafkaConfig *config,
							  OutboxConfigSource source,
							  const char *name, const char *value,
							  OutboxResult *result);

/* When all are set: whether they are complete and safe together. */
extern bool outbox_config_check(const OutboxKafkaConfig *config,
								OutboxResult *result);

/* Value of a property, or NULL when it was not set. */
extern const char *outbox_config_get(const OutboxKafkaConfig *config,
									 const char *name);

/* Everything that is set, into conf. */
extern bool outbox_config_apply(const OutboxKafkaConfig *config,
								rd_kafka_conf_t *conf, OutboxResult *result);

/* Set one property of ours. */
extern bool outbox_config_force(rd_kafka_conf_t *conf, const char *name,
								const char *value, OutboxResult *result);

#endif							/* OUTBOX_KAFKA_CONFIG_H */
