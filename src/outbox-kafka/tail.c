/*-------------------------------------------------------------------------
 *
 * tail.c
 *		The mode for people: print what is in a topic.
 *
 * One thread, one consumer without a group: nothing is written to Kafka, not
 * even an offset.  Reads read_committed unless asked otherwise; partitions
 * come interleaved as they arrive, each in order.  Trouble of the connection
 * goes to stderr and is waited out, except what only a person can mend.
 *
 * Ends at the limit given, at Ctrl-C, or when nobody reads any more.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-kafka/tail.h"

#include "outbox-kafka/event_json.h"
#include "outbox-kafka/handle.h"
#include "outbox-kafka/report.h"
#include "outbox-kafka/tail_options.h"
#include "outbox-kafka/topics.h"

#include <signal.h>
#include <unistd.h>

#define LOOKUP_TIMEOUT	30000	/* ms */
#define LOOKUP_SLICE	300
#define TIMES_TIMEOUT	10000

static volatile sig_atomic_t interrupted;

typedef struct Tail
{
	const OutboxTailOptions *options;
	OutboxSchemas *schemas;
	OutboxHandle *handle;
	rd_kafka_topic_t *topic;
	rd_kafka_queue_t *queue;
	int			partitions;		/* of the topic */
	bool	   *ended;			/* by partition, with --until-end */
	int			running;		/* partitions not ended */
	int64		printed;
	StringInfoData line;
} Tail;

static void
on_interrupt(int signo)
{
	interrupted = 1;
}

static void
complain(const OutboxResult *result)
{
	fflush(stdout);
	fprintf(stderr, "outbox-kafka: %s\n", result->message);
}

static bool
chosen(const Tail *tail, int partition)
{
	return tail->options->partition < 0 ||
		tail->options->partition == partition;
}

/*
 * The offset to begin with, by partition.
 */
static bool
start_offsets(Tail *tail, int64 *offsets)
{
	const OutboxTailOptions *options = tail->options;
	rd_kafka_topic_partition_list_t *list;
	rd_kafka_resp_err_t err;
	OutboxResult result;

	for (int i = 0; i < tail->partitions; i++)
		offsets[i] = options->from == OUTBOX_FROM_OFFSET ?
			options->from_offset :
			options->from == OUTBOX_FROM_END ? RD_KAFKA_OFFSET_END :
			RD_KAFKA_OFFSET_BEGINNING;
	if (options->from != OUTBOX_FROM_TIME)
		return true;

	list = rd_kafka_topic_partition_list_new(tail->partitions);
	for (int i = 0; i < tail->partitions; i++)
		rd_kafka_topic_partition_list_add(list, options->topic, i)->offset =
			options->from_time_ms;
	err = rd_kafka_offsets_for_times(tail->handle->rk, list, TIMES_TIMEOUT);
	for (int i = 0; err == 0 && i < list->cnt; i++)
	{
		err = list->elems[i].err;
		offsets[list->elems[i].partition] = list->elems[i].offset;
	}
	rd_kafka_topic_partition_list_destroy(list);
	if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
		return true;
	outbox_result_set(&result, OUTBOX_RETRY, err,
					  "could not look up a time in topic \"%s\": %s",
					  options->topic, rd_kafka_err2str(err));
	complain(&result);
	return false;
}

/*
 * Serve callbacks and say what is wrong with the connection.  False: only a
 * person can mend it.
 */
static bool
check_link(Tail *tail)
{
	OutboxResult link;

	outbox_handle_poll(tail->handle);
	if (!outbox_report_status_changed(&link) || link.class == OUTBOX_OK)
		return true;
	complain(&link);
	return link.class != OUTBOX_CONFIG;
}

/*
 * Number of partitions, 0 when there is no such topic, -1 with *result.
 */
static int
look_up(Tail *tail, OutboxResult *result)
{
	int64		deadline = outbox_now_ms() + LOOKUP_TIMEOUT;
	int			partitions;

	do
		partitions = outbox_topics_lookup(tail->handle->rk,
										  tail->options->topic,
										  outbox_now_ms() + LOOKUP_SLICE,
										  result);
	while (partitions < 0 && check_link(tail) && !interrupted &&
		   result->class != OUTBOX_CONFIG && outbox_now_ms() < deadline);
	return partitions;
}

static bool
start(Tail *tail)
{
	const OutboxTailOptions *options = tail->options;
	OutboxResult result;
	int64	   *offsets;

	tail->partitions = look_up(tail, &result);
	if (tail->partitions == 0)
		outbox_result_set(&result, OUTBOX_RETRY, 0,
						  "topic \"%s\" does not exist", options->topic);
	else if (tail->partitions > 0 && options->partition >= tail->partitions)
	{
		outbox_result_set(&result, OUTBOX_CONFIG, 0,
						  "topic \"%s\" has %d partitions, from 0",
						  options->topic, tail->partitions);
		tail->partitions = 0;
	}
	if (tail->partitions <= 0)
	{
		complain(&result);
		return false;
	}
	offsets = palloc(tail->partitions * sizeof(int64));
	tail->ended = palloc0(tail->partitions * sizeof(bool));
	tail->topic = rd_kafka_topic_new(tail->handle->rk, options->topic, NULL);
	tail->queue = rd_kafka_queue_new(tail->handle->rk);
	if (!start_offsets(tail, offsets))
		return false;
	for (int i = 0; i < tail->partitions; i++)
		if (chosen(tail, i))
		{
			rd_kafka_consume_start_queue(tail->topic, i, offsets[i],
										 tail->queue);
			tail->running++;
		}
	pfree(offsets);
	return true;
}

/*
 * One record, or news about a partition.  False: nothing can be read.
 */
static bool
take(Tail *tail, const rd_kafka_message_t *message)
{
	const OutboxTailOptions *options = tail->options;
	OutboxResult result;

	if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		resetStringInfo(&tail->line);
		outbox_event_json(&tail->line, message, options->topic, tail->schemas,
						  options->avro_json);
		fwrite(tail->line.data, 1, tail->line.len, stdout);
		tail->printed++;
		return true;
	}
	if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
	{
		if (!tail->ended[message->partition])
			tail->running--;
		tail->ended[message->partition] = true;
		return true;
	}
	outbox_result_set(&result, outbox_error_class(message->err), message->err,
					  "could not read topic \"%s\": %s", options->topic,
					  rd_kafka_message_errstr(message));
	complain(&result);
	return result.class != OUTBOX_CONFIG &&
		message->err != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
}

static bool
finished(const Tail *tail)
{
	return interrupted || ferror(stdout) ||
		(tail->options->max > 0 && tail->printed >= tail->options->max) ||
		(tail->options->until_end && tail->running == 0);
}

static bool
follow(Tail *tail)
{
	bool		ok = true;

	while (ok && !finished(tail))
	{
		rd_kafka_message_t *message = rd_kafka_consume_queue(tail->queue, 0);

		if (message == NULL)
		{
			fflush(stdout);		/* somebody may be waiting for the lines */
			message = rd_kafka_consume_queue(tail->queue, 200);
			ok = check_link(tail);
		}
		if (message == NULL)
			continue;
		ok = take(tail, message) && ok;
		rd_kafka_message_destroy(message);
	}
	fflush(stdout);
	return ok;
}

static bool
use_registry(Tail *tail)
{
	OutboxRegistry *registry;
	OutboxResult result;

	if (tail->options->registry == NULL)
		return true;
	registry = outbox_registry_new(tail->options->config, &result);
	if (registry == NULL)
	{
		complain(&result);
		return false;
	}
	tail->schemas = outbox_schemas_from_registry(tail->schemas, registry);
	return true;
}

int
outbox_tail(int argc, char **argv)
{
	OutboxTailOptions options;
	OutboxResult result;
	Tail		tail = {.options = &options};
	struct sigaction action = {.sa_handler = on_interrupt};

	if (!outbox_tail_options(&options, argc, argv))
		return 2;
	if (options.schemas != NULL &&
		(tail.schemas = outbox_schemas_load(options.schemas)) == NULL)
		return 1;
	if (!use_registry(&tail))
		return 1;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	initStringInfo(&tail.line);
	tail.handle = outbox_handle_new(options.config, options.uncommitted ?
									OUTBOX_HANDLE_TAIL_UNCOMMITTED :
									OUTBOX_HANDLE_TAIL, NULL, NULL, -1,
									&result);
	if (tail.handle == NULL)
	{
		complain(&result);
		return 1;
	}

	/* nothing was written: leaving needs no farewell to the broker */
	_exit(start(&tail) && follow(&tail) ? 0 : 1);
}
