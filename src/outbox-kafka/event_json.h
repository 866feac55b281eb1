/*-------------------------------------------------------------------------
 *
 * event_json.h
 *		One Kafka record as one line of JSON.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_KAFKA_EVENT_JSON_H
#define OUTBOX_KAFKA_EVENT_JSON_H

#include "outbox-kafka/schemas.h"

#include <librdkafka/rdkafka.h>

/* Append the line, with its line break. */
extern void outbox_event_json(StringInfo out, const rd_kafka_message_t *message,
							  const char *topic, OutboxSchemas *schemas,
							  bool avro_json);

#endif							/* OUTBOX_KAFKA_EVENT_JSON_H */
