/*-------------------------------------------------------------------------
 *
 * hello.h
 *		What all HELLO frames have: strings, and properties for librdkafka.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_KAFKA_HELLO_H
#define OUTBOX_KAFKA_HELLO_H

#include "base/cursor.h"
#include "outbox-kafka/config.h"

/* A string of a frame as a C string; NULL for null. */
extern char *outbox_hello_string(OutboxCursor *c);

/*
 * The properties at the end of the frame, behind those of the file, if there is
 * one.  NULL and *result when they cannot be used.
 */
extern OutboxKafkaConfig *outbox_hello_config(OutboxCursor *c,
											  const char *path,
											  OutboxResult *result);

#endif							/* OUTBOX_KAFKA_HELLO_H */
