/*-------------------------------------------------------------------------
 *
 * topics.h
 *		Look topics up, create them, wait until they can be used.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_KAFKA_TOPICS_H
#define OUTBOX_KAFKA_TOPICS_H

#include "outbox-kafka/session.h"

typedef struct OutboxTopicList
{
	char	  **names;			/* the array is owned, the names are not */
	int			count;
} OutboxTopicList;

/* The position topic and every topic announced so far. */
extern void outbox_topics_list(OutboxSession *session, OutboxTopicList *list);
extern void outbox_topics_list_free(OutboxTopicList *list);

/* May block for a few seconds: have the handle know these topics. */
extern void outbox_topics_warm(OutboxHandle *handle,
							   const OutboxTopicList *list);

/*
 * May block until the deadline.  Number of partitions, 0 when the topic does
 * not exist, -1 and *result when that cannot be told.
 */
extern int	outbox_topics_lookup(rd_kafka_t *rk, const char *name,
								 int64 deadline, OutboxResult *result);

/* The TOPIC request. */
extern void outbox_topics_request(OutboxSession *session, const char *body,
								  size_t len);

/* A compacted one with one partition; there already is well, too.  Blocks. */
extern bool outbox_topics_create(rd_kafka_t *rk, const char *name,
								 OutboxResult *result);

#endif							/* OUTBOX_KAFKA_TOPICS_H */
