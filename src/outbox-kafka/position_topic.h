/*-------------------------------------------------------------------------
 *
 * position_topic.h
 *		The READ_POSITION request.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_KAFKA_POSITION_TOPIC_H
#define OUTBOX_KAFKA_POSITION_TOPIC_H

#include "outbox-kafka/session.h"

extern void outbox_position_request(OutboxSession *session);

#endif							/* OUTBOX_KAFKA_POSITION_TOPIC_H */
