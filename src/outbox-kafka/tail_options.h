/*-------------------------------------------------------------------------
 *
 * tail_options.h
 *		Command line of "outbox-kafka tail".
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_KAFKA_TAIL_OPTIONS_H
#define OUTBOX_KAFKA_TAIL_OPTIONS_H

#include "outbox-kafka/config.h"

typedef enum OutboxTailFrom
{
	OUTBOX_FROM_BEGINNING,
	OUTBOX_FROM_END,
	OUTBOX_FROM_OFFSET,
	OUTBOX_FROM_TIME
} OutboxTailFrom;

typedef struct OutboxTailOptions
{
	const char *topic;
	OutboxKafkaConfig *config;	/* complete */
	OutboxTailFrom from;
	int64		from_offset;
	int64		from_time_ms;	/* since 1970 */
	int			partition;		/* -1 = all */
	const char *schemas;		/* file or folder, NULL = none */
	const char *registry;		/* addresses, NULL = none */
	bool		until_end;
	int64		max;			/* 0 = no limit */
	bool		uncommitted;
	bool		avro_json;
} OutboxTailOptions;

/* False and a message to stderr when the arguments are wrong. */
extern bool outbox_tail_options(OutboxTailOptions *options,
								int argc, char **argv);

#endif							/* OUTBOX_KAFKA_TAIL_OPTIONS_H */
