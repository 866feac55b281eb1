/*-------------------------------------------------------------------------
 *
 * second_opinion.h
 *		Whether avro-c too takes a text for a schema.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_KAFKA_SECOND_OPINION_H
#define OUTBOX_KAFKA_SECOND_OPINION_H

#include "base/base.h"

/*
 * schema is one that our own parser accepts, without references.  False: avro-c
 * does not agree, and *why is one line.  One thread at a time.
 */
extern bool outbox_second_opinion(const char *schema, size_t len,
								  char *why, size_t size);

#endif							/* OUTBOX_KAFKA_SECOND_OPINION_H */
