/*-------------------------------------------------------------------------
 *
 * plain_producer.c
 *		The yardstick: a plain librdkafka transactional producer.
 *
 *	plain_producer BOOTSTRAP TOPIC [EVENTS [SIZE [BATCH [NAME=VALUE ...]]]]
 *
 * Produces EVENTS messages of SIZE bytes, with a key and the header "id" as
 * outbox-kafka adds it, BATCH per Kafka transaction, one transactional id, and
 * prints events per second.  The clock starts at the first begin_transaction.
 *
 *-------------------------------------------------------------------------
 */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static long failed;

static void
on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
	(void) rk;
	(void) opaque;
	if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
		failed++;
}

static void
check(rd_kafka_error_t *error, const char *doing)
{
	if (error == NULL)
		return;
	fprintf(stderr, "%s: %s\n", doing, rd_kafka_error_string(error));
	exit(1);
}

static void
set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char		text[256];

	if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) !=
		RD_KAFKA_CONF_OK)
	{
		fprintf(stderr, "%s\n", text);
		exit(1);
	}
}

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void
produce_one(rd_kafka_t *rk, rd_kafka_topic_t *topic, long i, char *value,
			size_t size)
{
	char		key[32];
	char		id[64];
	int			key_len = snprintf(key, sizeof(key), "%ld", i % 1000);
	rd_kafka_headers_t *headers = rd_kafka_headers_new(1);
	rd_kafka_error_t *error;

	snprintf(id, sizeof(id), "00000000-0000-7000-8000-%012ld", i);
	rd_kafka_header_add(headers, "id", 2, id, 36);
	for (;;)
	{
		rd_kafka_vu_t args[] = {
			{.vtype = RD_KAFKA_VTYPE_RKT,.u.rkt = topic},
			{.vtype = RD_KAFKA_VTYPE_MSGFLAGS,.u.i = RD_KAFKA_MSG_F_COPY},
			{.vtype = RD_KAFKA_VTYPE_VALUE,.u.mem = {value, size}},
			{.vtype = RD_KAFKA_VTYPE_KEY,.u.mem = {key, (size_t) key_len}},
			{.vtype = RD_KAFKA_VTYPE_HEADERS,.u.headers = headers}
		};

		error = rd_kafka_produceva(rk, args, sizeof(args) / sizeof(args[0]));
		if (error == NULL)
			return;
		if (rd_kafka_error_code(error) != RD_KAFKA_RESP_ERR__QUEUE_FULL)
			check(error, "produce");
		rd_kafka_error_destroy(error);
		rd_kafka_poll(rk, 1);
	}
}

int
main(int argc, char **argv)
{
	long		events = argc > 3 ? atol(argv[3]) : 1000000;
	size_t		size = argc > 4 ? (size_t) atol(argv[4]) : 200;
	long		batch = argc > 5 ? atol(argv[5]) : 100000;
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char		id[64];
	char		text[256];
	char	   *value;
	rd_kafka_t *rk;
	rd_kafka_topic_t *topic;
	const struct rd_kafka_metadata *metadata;
	double		start;

	if (argc < 3)
	{
		fprintf(stderr, "usage: plain_producer BOOTSTRAP TOPIC "
				"[EVENTS [SIZE [BATCH [NAME=VALUE ...]]]]\n");
		return 2;
	}
	snprintf(id, sizeof(id), "plain-producer-%ld", (long) time(NULL));
	set(conf, "bootstrap.servers", argv[1]);
	set(conf, "transactional.id", id);
	set(conf, "partitioner", "murmur2_random");
	set(conf, "socket.nagle.disable", "true");
	set(conf, "linger.ms", "1");
	for (int i = 6; i < argc; i++)
	{
		char	   *equals = strchr(argv[i], '=');

		if (equals == NULL)
			return 2;
		*equals = '\0';
		set(conf, argv[i], equals + 1);
	}
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
	if (rk == NULL)
	{
		fprintf(stderr, "%s\n", text);
		return 1;
	}
	topic = rd_kafka_topic_new(rk, argv[2], NULL);
	check(rd_kafka_init_transactions(rk, 15000), "init_transactions");
	if (rd_kafka_metadata(rk, 0, topic, &metadata, 5000) == 0)
		rd_kafka_metadata_destroy(metadata);
	value = malloc(size + 1);
	memset(value, 'v', size);

	start = now();
	for (long i = 0; i < events;)
	{
		check(rd_kafka_begin_transaction(rk), "begin");
		for (long n = 0; n < batch && i < events; n++, i++)
		{
			produce_one(rk, topic, i, value, size);
			if (n % 1000 == 0)
				rd_kafka_poll(rk, 0);
		}
		check(rd_kafka_commit_transaction(rk, 60000), "commit");
	}
	printf("%.0f events/s\n", events / (now() - start));
	rd_kafka_topic_destroy(topic);
	rd_kafka_destroy(rk);
	return failed == 0 ? 0 : 1;
}
