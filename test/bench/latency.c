/*-------------------------------------------------------------------------
 *
 * latency.c
 *		Time from COMMIT to a read_committed consumer, at a steady rate.
 *
 *	latency CONNINFO BOOTSTRAP TOPIC TYPE [RATE [SECONDS [CONNECTIONS]]]
 *
 * Writers and consumer are threads of one process, so both ends of a
 * measurement are read from one clock.  Event n is due n / RATE seconds after
 * the start; connection n modulo CONNECTIONS emits it in a transaction of its
 * own (one statement, prepared), late when its last one took too long.  The
 * event's key is n.
 *
 *	sent		just before the statement is sent
 *	committed	just after its answer arrived: COMMIT is over
 *	received	the consumer's poll returned the message
 *
 * Printed are percentiles of committed..received and of sent..received, both
 * without the first second.  Events that the consumer has before the writer
 * knows of its COMMIT count as they are, below zero.
 *
 *-------------------------------------------------------------------------
 */
#include <librdkafka/rdkafka.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WARM_UP		1.0			/* s, not counted */
#define PATIENCE	20.0		/* s for the last events to arrive */
#define PAYLOAD \
	"{\"order_no\": 4711, \"customer\": \"customer-0815\", " \
	"\"article\": \"a thing with quite a long description of what it is\", " \
	"\"pieces\": 3, \"cents\": 129900, " \
	"\"remark\": \"please ring twice, the bell is hard to hear from the garden\"}"

typedef struct Moment
{
	double		sent;
	double		committed;
	double		received;		/* 0 = not yet */
} Moment;

static const char *conninfo;
static const char *type;
static double rate = 1000;
static long total;
static int	connections = 8;
static double start;
static Moment *moments;
static rd_kafka_t *consumer;

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void
sleep_until(double when)
{
	struct timespec ts = {.tv_sec = (time_t) when};

	ts.tv_nsec = (long) ((when - (double) ts.tv_sec) * 1e9);
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) != 0)
		;
}

static void
fail(const char *what, const char *why)
{
	fprintf(stderr, "latency: %s: %s\n", what, why);
	exit(1);
}

static PGconn *
connect_and_prepare(void)
{
	PGconn	   *conn = PQconnectdb(conninfo);
	PGresult   *res;

	if (PQstatus(conn) != CONNECTION_OK)
		fail("could not connect", PQerrorMessage(conn));
	res = PQprepare(conn, "emit",
					"SELECT outbox.emit($1, $2::jsonb, key => $3)", 3, NULL);
	if (PQresultStatus(res) != PGRES_COMMAND_OK)
		fail("could not prepare", PQerrorMessage(conn));
	PQclear(res);
	return conn;
}

static void *
writer(void *arg)
{
	PGconn	   *conn = connect_and_prepare();

	for (long n = (long) (size_t) arg; n < total; n += connections)
	{
		char		key[32];
		const char *values[] = {type, PAYLOAD, key};
		double		due = start + n / rate;
		PGresult   *res;

		snprintf(key, sizeof(key), "%ld", n);
		if (now() < due)
			sleep_until(due);
		moments[n].sent = now();
		res = PQexecPrepared(conn, "emit", 3, values, NULL, NULL, 0);
		moments[n].committed = now();
		if (PQresultStatus(res) != PGRES_TUPLES_OK)
			fail("could not emit", PQerrorMessage(conn));
		PQclear(res);
	}
	PQfinish(conn);
	return NULL;
}

static void
set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char		text[256];

	if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) !=
		RD_KAFKA_CONF_OK)
		fail(name, text);
}

/* A consumer that stands at the end of the topic's partition 0. */
static void
open_consumer(const char *bootstrap, const char *topic)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_topic_partition_list_t *list;
	char		text[256];
	int64_t		low,
				high;

	set(conf, "bootstrap.servers", bootstrap);
	set(conf, "group.id", "latency");
	set(conf, "isolation.level", "read_committed");
	set(conf, "enable.auto.commit", "false");
	set(conf, "socket.nagle.disable", "true");
	consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
	if (consumer == NULL)
		fail("could not create a consumer", text);
	rd_kafka_poll_set_consumer(consumer);
	if (rd_kafka_query_watermark_offsets(consumer, topic, 0, &low, &high,
										 10000) != 0)
		fail(topic, "has no partition 0; emit one event first");
	list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(list, topic, 0)->offset = high;
	rd_kafka_assign(consumer, list);
	rd_kafka_topic_partition_list_destroy(list);

	/* until its first fetch waits at the broker */
	sleep_until(now() + 1);
}

/* Number of events received, each once. */
static long
receive_all(void)
{
	double		deadline = start + total / rate + PATIENCE;
	long		received = 0;

	while (received < total && now() < deadline)
	{
		rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, 100);
		char		key[32];
		long		n;

		if (message == NULL)
			continue;
		if (message->err != 0)
			fail("consumer", rd_kafka_message_errstr(message));
		snprintf(key, sizeof(key), "%.*s", (int) message->key_len,
				 (char *) message->key);
		n = atol(key);
		if (n < 0 || n >= total || moments[n].received != 0)
			fail("received twice, or not ours", key);
		moments[n].received = now();
		received++;
		rd_kafka_message_destroy(message);
	}
	return received;
}

static int
compare(const void *a, const void *b)
{
	double		x = *(const double *) a,
				y = *(const double *) b;

	return x < y ? -1 : x > y;
}

static void
print_percentiles(const char *name, double *took, long n)
{
	qsort(took, n, sizeof(double), compare);
	printf("%s p50 %.2f p90 %.2f p99 %.2f max %.2f\n", name,
		   took[n / 2] * 1e3, took[n * 9 / 10] * 1e3, took[n * 99 / 100] * 1e3,
		   took[n - 1] * 1e3);
}

static void
report(void)
{
	long		first = (long) (WARM_UP * rate);
	long		n = total - first;
	double	   *took = malloc(n * sizeof(double));
	double		last = 0;

	for (long i = 0; i < n; i++)
		took[i] = moments[first + i].received - moments[first + i].committed;
	print_percentiles("committed", took, n);
	for (long i = 0; i < n; i++)
		took[i] = moments[first + i].received - moments[first + i].sent;
	print_percentiles("sent", took, n);
	for (long i = 0; i < n; i++)
		took[i] = moments[first + i].committed - moments[first + i].sent;
	print_percentiles("transaction", took, n);
	for (long i = 0; i < total; i++)
		if (moments[i].committed > last)
			last = moments[i].committed;
	printf("rate %.0f\n", total / (last - start));
	free(took);
}

int
main(int argc, char **argv)
{
	pthread_t  *threads;
	long		received;

	if (argc < 5)
	{
		fprintf(stderr, "usage: latency CONNINFO BOOTSTRAP TOPIC TYPE "
				"[RATE [SECONDS [CONNECTIONS]]]\n");
		return 2;
	}
	conninfo = argv[1];
	type = argv[4];
	if (argc > 5)
		rate = atof(argv[5]);
	total = (long) (rate * (WARM_UP + (argc > 6 ? atof(argv[6]) : 20)));
	if (argc > 7)
		connections = atoi(argv[7]);
	moments = calloc(total, sizeof(Moment));
	threads = calloc(connections, sizeof(pthread_t));

	open_consumer(argv[2], argv[3]);
	start = now() + 0.5;		/* for the connections to be made */
	for (int i = 0; i < connections; i++)
		if (pthread_create(&threads[i], NULL, writer, (void *) (size_t) i) != 0)
			fail("could not start", "a thread");
	received = receive_all();
	for (int i = 0; i < connections; i++)
		pthread_join(threads[i], NULL);
	if (received != total)
	{
		fprintf(stderr, "latency: %ld of %ld events arrived\n", received,
				total);
		return 1;
	}
	report();
	rd_kafka_consumer_close(consumer);
	rd_kafka_destroy(consumer);
	return 0;
}
