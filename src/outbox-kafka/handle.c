/*-------------------------------------------------------------------------
 *
 * handle.c
 *		One librdkafka client with the settings its purpose demands.
 *
 * Owns the client, its topic objects and what its callbacks note.  Callbacks
 * touch plain memory only; they run in the thread that polls (main loop,
 * committer) except the interceptors, which run in librdkafka's own threads
 * and only count.
 *
 * Why each forced property: the comments in set_producer().  A delivery
 * callback is always registered, without it a commit sleeps in steps of 10 ms.
 * EndTxn requests are counted because librdkafka repeats one by itself after a
 * broken connection, and under the transaction protocol it speaks the late
 * duplicate may commit a later transaction (KAFKA-17754); see producer.c.
 *
 * The cause of an aborted transaction is only in librdkafka's log line of
 * facility TXNERR: it is kept, because the messages then fail with nothing but
 * "purged".
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-kafka/handle.h"

#include "outbox-kafka/report.h"
#include "outbox-kafka/rest.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Request types whose answer proves an authenticated, working connection. */
#define API_PRODUCE				0
#define API_FETCH				1
#define API_LIST_OFFSETS		2
#define API_METADATA			3
#define API_FIND_COORDINATOR	10
#define API_INIT_PRODUCER_ID	22
#define API_ADD_PARTITIONS		24
#define API_END_TXN				26

/* From here on librdkafka's main thread no longer spins (its issue 4671). */
#define QUIET_VERSION	0x020400ff

static void
mark_broken(OutboxHandle *handle, OutboxResultClass class, int code,
			const char *text)
{
	pthread_mutex_lock(&handle->lock);
	if (handle->trouble.class == OUTBOX_OK)
		outbox_result_set(&handle->trouble, class, code, "%s", text);
	pthread_mutex_unlock(&handle->lock);
	handle->broken = true;
}

static void
on_log(const rd_kafka_t *rk, int level, const char *facility,
	   const char *text)
{
	OutboxHandle *handle = rd_kafka_opaque(rk);
	const char *thread = strncmp(text, "[thrd:", 6) == 0 ?
		strstr(text, "]: ") : NULL;

	if (thread != NULL)
		text = thread + 3;		/* of no use to anybody */

	/* we set a few properties on the kind of client that ignores them */
	if (strcmp(facility, "CONFWARN") == 0)
		return;

	/* the predecessor's transaction is being aborted: waited for, no news */
	if (strcmp(facility, "GETPID") == 0 &&
		strstr(text, "concurrent operation") != NULL)
		return;
	if (handle != NULL && strcmp(facility, "TXNERR") == 0)
		mark_broken(handle,
					strstr(text, "FENCED") != NULL ||
					strstr(text, "INVALID_PRODUCER_EPOCH") != NULL ?
					OUTBOX_FENCED :
					strstr(text, "AUTHORIZATION_FAILED") != NULL ?
					OUTBOX_CONFIG : OUTBOX_UNKNOWN, 0, text);
	outbox_report_log(level, facility, text);
}

static void
on_error(rd_kafka_t *rk, int err, const char *reason, void *opaque)
{
	OutboxHandle *handle = opaque;

	if (err == RD_KAFKA_RESP_ERR__FATAL)
	{
		char		text[256];
		rd_kafka_resp_err_t cause = rd_kafka_fatal_error(rk, text,
														 sizeof(text));
		OutboxResultClass class = outbox_error_class(cause);

		mark_broken(handle, class == OUTBOX_FENCED || class == OUTBOX_CONFIG ?
					class : OUTBOX_UNKNOWN, cause, text);
		return;
	}
	outbox_report_error(err, reason);
}

static void
on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
	OutboxHandle *handle = opaque;

	if (handle->delivered != NULL)
		handle->delivered(message);
}

static rd_kafka_resp_err_t
on_request(rd_kafka_t *rk, int fd, const char *broker, int32_t broker_id,
		   int16_t api, int16_t version, int32_t correlation, size_t size,
		   void *opaque)
{
	OutboxHandle *handle = opaque;

	if (api == API_END_TXN)
		handle->end_txn_requests++;
	else if (api == API_ADD_PARTITIONS && handle->partitions_us != 0 &&
			 outbox_rest_is_put_off(outbox_now_us() - handle->partitions_us))
		handle->came_early = true;
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t
on_response(rd_kafka_t *rk, int fd, const char *broker, int32_t broker_id,
			int16_t api, int16_t version, int32_t correlation, size_t size,
			int64_t roundtrip, rd_kafka_resp_err_t err, void *opaque)
{
	if (api == API_ADD_PARTITIONS)
		((OutboxHandle *) opaque)->partitions_us = outbox_now_us();
	if (err == RD_KAFKA_RESP_ERR_NO_ERROR &&
		(api == API_PRODUCE || api == API_FETCH || api == API_LIST_OFFSETS ||
		 api == API_METADATA || api == API_FIND_COORDINATOR ||
		 api == API_INIT_PRODUCER_ID || api == API_END_TXN))
		outbox_report_heard();
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* Spinning costs others less at a low priority. */
static rd_kafka_resp_err_t
on_thread_start(rd_kafka_t *rk, rd_kafka_thread_type_t type,
				const char *name, void *opaque)
{
	if (type == RD_KAFKA_THREAD_MAIN && rd_kafka_version() < QUIET_VERSION)
		setpriority(PRIO_PROCESS, syscall(SYS_gettid), 5);
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t
on_new(rd_kafka_t *rk, const rd_kafka_conf_t *conf, void *opaque,
	   char *text, size_t size)
{
	rd_kafka_interceptor_add_on_request_sent(rk, "outbox", on_request, opaque);
	rd_kafka_interceptor_add_on_response_received(rk, "outbox", on_response,
												  opaque);
	rd_kafka_interceptor_add_on_thread_start(rk, "outbox", on_thread_start,
											 opaque);
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

int
outbox_transaction_timeout(const OutboxKafkaConfig *config)
{
	const char *value = outbox_config_get(config, "transaction.timeout.ms");
	int			ms = value == NULL ? 0 : atoi(value);

	return ms > 0 ? ms : OUTBOX_DEFAULT_TRANSACTION_TIMEOUT;
}

/* Properties that people may still change. */
static bool
set_defaults(rd_kafka_conf_t *conf, OutboxHandleKind kind,
			 OutboxResult *result)
{
	return outbox_config_force(conf, "client.id", "outbox", result) &&
		outbox_config_force(conf, "socket.keepalive.enable", "true", result) &&
		outbox_config_force(conf, "reconnect.backoff.ms", "50", result) &&
		outbox_config_force(conf, "reconnect.backoff.max.ms", "1000",
							result) &&
		outbox_config_force(conf, "linger.ms", "0", result) &&

	/*
	 * The topic's own limit decides, at the broker; ours must only not be in
	 * its way.  Batches keep to batch.size, a single larger message goes
	 * alone.
	 */
		outbox_config_force(conf, "message.max.bytes", "67108864", result);
}

static bool
set_producer(rd_kafka_conf_t *conf, const OutboxKafkaConfig *config,
			 const char *transactional_id, OutboxResult *result)
{
	char		timeout[16];
	const char *delivery = outbox_config_get(config, "delivery.timeout.ms");

	snprintf(timeout, sizeof(timeout), "%d",
			 outbox_transaction_timeout(config));
	if (delivery == NULL)
		delivery = CppAsString2(OUTBOX_DEFAULT_DELIVERY_TIMEOUT);

	/* a transaction left behind hides later ones until it times out */
	if (transactional_id != NULL &&
		(!outbox_config_force(conf, "transactional.id", transactional_id,
							  result) ||
		 !outbox_config_force(conf, "transaction.timeout.ms", timeout,
							  result)))
		return false;
	return
		outbox_config_force(conf, "message.timeout.ms",
							transactional_id != NULL ? timeout : delivery,
							result) &&
		outbox_config_force(conf, "enable.idempotence", "true", result) &&
		outbox_config_force(conf, "acks", "all", result) &&
	/* the partition a Java producer would choose */
		outbox_config_force(conf, "partitioner", "murmur2_random", result) &&
	/* batch.c counts what is under way and stops far below these */
		outbox_config_force(conf, "queue.buffering.max.kbytes", "65536",
							result) &&
		outbox_config_force(conf, "queue.buffering.max.messages", "1000000",
							result) &&
	/* so that a refusal is about one event */
		(outbox_config_get(config, OUTBOX_SINGLE_MESSAGES) == NULL ||
		 outbox_config_force(conf, "batch.num.messages", "1", result));
}

static bool
set_consumer(rd_kafka_conf_t *conf, const char *isolation,
			 const char *wait, const char *queue_kbytes,
			 OutboxResult *result)
{
	return outbox_config_force(conf, "isolation.level", isolation, result) &&
		outbox_config_force(conf, "enable.auto.commit", "false", result) &&
		outbox_config_force(conf, "enable.auto.offset.store", "false",
							result) &&
		outbox_config_force(conf, "enable.partition.eof", "true", result) &&
		outbox_config_force(conf, "auto.offset.reset", "earliest", result) &&
	/* the end of the partition is told only after this wait */
		outbox_config_force(conf, "fetch.wait.max.ms", wait, result) &&
		outbox_config_force(conf, "fetch.error.backoff.ms", "50", result) &&
	/* before 2.2 a full queue stops fetching for a second */
		outbox_config_force(conf, "queued.max.messages.kbytes", queue_kbytes,
							result) &&
		outbox_config_force(conf, "check.crcs", "true", result);
}

static bool
set_all(OutboxHandle *handle, rd_kafka_conf_t *conf,
		const OutboxKafkaConfig *config, const char *transactional_id,
		OutboxResult *result)
{
	if (!set_defaults(conf, handle->kind, result) ||
		!outbox_config_apply(config, conf, result) ||
		!outbox_config_force(conf, "socket.nagle.disable", "true", result) ||
		!outbox_config_force(conf, "log.queue", "true", result) ||
		!outbox_config_force(conf, "log.connection.close", "false", result) ||
		!outbox_config_force(conf, "statistics.interval.ms", "0", result) ||
	/* also on producers: a topic appears only by our own wish */
		!outbox_config_force(conf, "allow.auto.create.topics", "false",
							 result))
		return false;
	switch (handle->kind)
	{
		case OUTBOX_HANDLE_TRANSACTIONAL:
		case OUTBOX_HANDLE_IDEMPOTENT:
			return set_producer(conf, config, transactional_id, result);
		case OUTBOX_HANDLE_COMMITTED:
			return set_consumer(conf, "read_committed", "10", "8192", result);
		case OUTBOX_HANDLE_UNCOMMITTED:
			return set_consumer(conf, "read_uncommitted", "10", "8192",
								result);
		case OUTBOX_HANDLE_TAIL:
			return set_consumer(conf, "read_committed", "200", "65536",
								result);
		case OUTBOX_HANDLE_TAIL_UNCOMMITTED:
			return set_consumer(conf, "read_uncommitted", "200", "65536",
								result);
	}
	return false;
}

OutboxHandle *
outbox_handle_new(const OutboxKafkaConfig *config, OutboxHandleKind kind,
				  const char *transactional_id, OutboxDelivered delivered,
				  int wake_fd, OutboxResult *result)
{
	OutboxHandle *handle = palloc0(sizeof(OutboxHandle));
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	bool		producer = kind == OUTBOX_HANDLE_TRANSACTIONAL ||
		kind == OUTBOX_HANDLE_IDEMPOTENT;
	char		text[256];

	handle->kind = kind;
	handle->delivered = delivered;
	pthread_mutex_init(&handle->lock, NULL);

	if (!set_all(handle, conf, config, transactional_id, result))
		goto fail;
	rd_kafka_conf_set_opaque(conf, handle);
	rd_kafka_conf_set_log_cb(conf, on_log);
	rd_kafka_conf_set_error_cb(conf, on_error);
	if (producer)
		rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	rd_kafka_conf_interceptor_add_on_new(conf, "outbox", on_new, handle);

	handle->rk = rd_kafka_new(producer ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER,
							  conf, text, sizeof(text));
	if (handle->rk == NULL)
	{
		outbox_result_set(result, OUTBOX_CONFIG, 0,
						  "could not create a Kafka client: %s", text);

		/*
		 * librdkafka has freed the interceptors in conf by now and would do so
		 * again in rd_kafka_conf_destroy(): leave it.
		 */
		conf = NULL;
		goto fail;
	}
	rd_kafka_set_log_queue(handle->rk, NULL);
	if (wake_fd >= 0)
	{
		uint64		one = 1;
		rd_kafka_queue_t *queue = rd_kafka_queue_get_main(handle->rk);

		rd_kafka_queue_io_event_enable(queue, wake_fd, &one, sizeof(one));
		rd_kafka_queue_destroy(queue);
	}
	return handle;

fail:
	if (conf != NULL)
		rd_kafka_conf_destroy(conf);
	pthread_mutex_destroy(&handle->lock);
	pfree(handle);
	return NULL;
}

void
outbox_handle_poll(OutboxHandle *handle)
{
	while (rd_kafka_poll(handle->rk, 0) > 0)
		;
}

rd_kafka_topic_t *
outbox_handle_topic(OutboxHandle *handle, uint32 index, const char *name)
{
	if (index >= handle->topics_size)
	{
		uint32		size = Max(index + 1, handle->topics_size * 2);
		size_t		bytes = size * sizeof(rd_kafka_topic_t *);

		handle->topics = handle->topics == NULL ? palloc(bytes) :
			repalloc(handle->topics, bytes);
		memset(handle->topics + handle->topics_size, 0,
			   (size - handle->topics_size) * sizeof(rd_kafka_topic_t *));
		handle->topics_size = size;
	}
	if (handle->topics[index] == NULL)
		handle->topics[index] = rd_kafka_topic_new(handle->rk, name, NULL);
	return handle->topics[index];
}

bool
outbox_handle_trouble(OutboxHandle *handle, OutboxResult *result)
{
	if (!handle->broken)
		return false;
	pthread_mutex_lock(&handle->lock);
	*result = handle->trouble;
	pthread_mutex_unlock(&handle->lock);
	return true;
}

static void *
discard_main(void *arg)
{
	OutboxHandle *handle = arg;

	if (handle->kind == OUTBOX_HANDLE_TRANSACTIONAL ||
		handle->kind == OUTBOX_HANDLE_IDEMPOTENT)
		rd_kafka_purge(handle->rk, RD_KAFKA_PURGE_F_QUEUE |
					   RD_KAFKA_PURGE_F_INFLIGHT |
					   RD_KAFKA_PURGE_F_NON_BLOCKING);
	for (uint32 i = 0; i < handle->topics_size; i++)
		if (handle->topics[i] != NULL)
			rd_kafka_topic_destroy(handle->topics[i]);
	rd_kafka_destroy(handle->rk);
	pthread_mutex_destroy(&handle->lock);
	if (handle->topics != NULL)
		pfree(handle->topics);
	pfree(handle);
	return NULL;
}

void
outbox_handle_discard(OutboxHandle *handle)
{
	pthread_attr_t attr;
	pthread_t	thread;

	handle->delivered = NULL;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &attr, discard_main, handle) != 0)
		discard_main(handle);
	pthread_attr_destroy(&attr);
}
