/*-------------------------------------------------------------------------
 *
 * feed_child.c
 *		Feed "outbox-kafka publish" with made-up events and measure it.
 *
 *	feed_child PROGRAM BOOTSTRAP TOPIC drain   [EVENTS [SIZE [BATCH [NAME=VALUE ...]]]]
 *	feed_child PROGRAM BOOTSTRAP TOPIC latency [EVENTS [SIZE [PER_SECOND [NAME=VALUE ...]]]]
 *
 * Plays the relay: takeover, then batches through the socket.  "drain" sends
 * as fast as the child takes them, at most three batches ahead of the last
 * COMMITTED, and prints events per second and the child's peak memory.
 * "latency" lets PER_SECOND events become due and sends those that are as one
 * batch whenever fewer than two are under way (0 = one event, when the last is
 * committed), and prints percentiles from due to COMMITTED.
 *
 *-------------------------------------------------------------------------
 */
#include "base/base.h"
#include "base/cursor.h"
#include "record/frame.h"
#include "record/position.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FRAME_EVENTS	1000
#define AHEAD			3
#define IN_FLIGHT		2

static int	sock;
static StringInfoData in;
static int	in_start;
static pid_t child;

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void
start_child(const char *program)
{
	int			ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0)
		exit(1);
	child = fork();
	if (child == 0)
	{
		close(ends[0]);
		dup2(ends[1], 3);
		execl(program, program, "publish", "--fd", "3", NULL);
		_exit(127);
	}
	close(ends[1]);
	sock = ends[0];
	initStringInfo(&in);
}

/* Next frame but LOG, STATUS and RECORDED; false when timeout (s) is over. */
static bool
receive(OutboxFrameType *type, OutboxCursor *body, double timeout)
{
	double		until = now() + timeout;

	for (;;)
	{
		const char *p;
		size_t		len;
		struct pollfd pfd = {.fd = sock,.events = POLLIN};
		double		left = until - now();
		int			n = outbox_frame_peek(in.data + in_start,
										  in.len - in_start, type, &p, &len);

		if (n > 0)
		{
			in_start += n;
			outbox_cursor_init(body, p, len);
			if (*type == OUTBOX_FRAME_LOG || *type == OUTBOX_FRAME_STATUS ||
				*type == OUTBOX_FRAME_RECORDED ||
				*type == OUTBOX_FRAME_READY)
				continue;
			if (*type == OUTBOX_FRAME_FAILED)
			{
				fprintf(stderr, "FAILED: %.*s\n", (int) len - 18,
						p + 18);
				exit(1);
			}
			return true;
		}
		if (in_start > 65536)
		{
			memmove(in.data, in.data + in_start, in.len - in_start);
			in.len -= in_start;
			in_start = 0;
		}
		if (poll(&pfd, 1, left > 0 ? (int) (left * 1000) : 0) <= 0)
			return false;
		enlargeStringInfo(&in, 65536);
		n = recv(sock, in.data + in.len, 65536, 0);
		if (n <= 0)
		{
			fprintf(stderr, "the child is gone\n");
			exit(1);
		}
		in.len += n;
	}
}

static void
expect(OutboxFrameType wanted)
{
	OutboxFrameType type;
	OutboxCursor body;

	if (!receive(&type, &body, 15) || type != wanted)
	{
		fprintf(stderr, "no answer 0x%x\n", wanted);
		exit(1);
	}
}

static void
send_all(StringInfo buf)
{
	int			sent = 0;

	while (sent < buf->len)
	{
		ssize_t		n = send(sock, buf->data + sent, buf->len - sent,
							 MSG_NOSIGNAL);

		if (n <= 0)
			exit(1);
		sent += n;
	}
	resetStringInfo(buf);
}

static void
put_topic(StringInfo buf, uint32 index, const char *name, bool compacted)
{
	int			start = outbox_frame_begin(buf, OUTBOX_FRAME_TOPIC);

	outbox_put_u32(buf, index);
	outbox_put_cstring(buf, name);
	outbox_put_u32(buf, 1);
	outbox_put_u16(buf, 1);
	outbox_put_u8(buf, 1);
	outbox_put_u8(buf, compacted);
	outbox_frame_end(buf, start);
	send_all(buf);
	expect(OUTBOX_FRAME_TOPIC_OK);
}

static void
takeover(const char *bootstrap, const char *topic, char **props, int nprops)
{
	StringInfoData buf;
	char	   *position_topic = psprintf("%s.position", topic);
	int			start;

	initStringInfo(&buf);
	start = outbox_frame_begin(&buf, OUTBOX_FRAME_HELLO);
	outbox_put_u16(&buf, OUTBOX_PROTOCOL_VERSION);
	outbox_put_u8(&buf, getenv("AT_LEAST_ONCE") ? OUTBOX_AT_LEAST_ONCE :
				  OUTBOX_EXACTLY_ONCE);
	outbox_put_u16(&buf, 2);
	outbox_put_cstring(&buf, psprintf("feed-%s", topic));
	outbox_put_cstring(&buf, position_topic);
	outbox_put_cstring(&buf, NULL);
	outbox_put_u32(&buf, nprops + 1);
	outbox_put_cstring(&buf, "bootstrap.servers");
	outbox_put_cstring(&buf, bootstrap);
	for (int i = 0; i < nprops; i++)
	{
		char	   *equals = strchr(props[i], '=');

		outbox_put_bytes(&buf, props[i], equals - props[i]);
		outbox_put_cstring(&buf, equals + 1);
	}
	outbox_frame_end(&buf, start);
	send_all(&buf);
	expect(OUTBOX_FRAME_HELLO_OK);
	put_topic(&buf, 1, position_topic, true);
	start = outbox_frame_begin(&buf, OUTBOX_FRAME_INIT);
	outbox_put_u16(&buf, 2);
	outbox_frame_end(&buf, start);
	send_all(&buf);
	expect(OUTBOX_FRAME_INIT_OK);
	put_topic(&buf, 0, topic, false);
	pfree(buf.data);
}

static void
put_event(StringInfo buf, long i, const char *value, int size)
{
	int			start = buf->len;
	char		key[32];
	uint8		id[16] = {0};

	memcpy(id, &i, sizeof(i));
	outbox_put_u32(buf, 0);
	outbox_put_u32(buf, 0);
	outbox_put_u32(buf, (uint32) -1);
	outbox_put_u64(buf, (uint64) time(NULL) * 1000);
	appendBinaryStringInfo(buf, (char *) id, 16);
	outbox_put_u32(buf, 0);
	outbox_put_bytes(buf, key, snprintf(key, sizeof(key), "%ld", i % 1000));
	outbox_put_bytes(buf, NULL, 0);
	outbox_put_bytes(buf, value, size);
	outbox_store_le((uint8 *) buf->data + start, buf->len - start - 4, 4);
}

static void
put_commit(StringInfo buf, uint32 batch, uint32 events)
{
	int			start = outbox_frame_begin(buf, OUTBOX_FRAME_COMMIT);
	OutboxPosition position = {.scanned = batch};
	StringInfoData record;

	initStringInfo(&record);
	outbox_position_write(&record, &position);
	outbox_put_u32(buf, batch);
	outbox_put_u32(buf, events);
	outbox_put_bytes(buf, record.data, record.len);
	outbox_frame_end(buf, start);
	pfree(record.data);
}

static uint32
committed(double timeout)
{
	OutboxFrameType type;
	OutboxCursor body;

	if (!receive(&type, &body, timeout) || type != OUTBOX_FRAME_COMMITTED)
		return 0;
	return outbox_get_u32(&body);
}

static void
print_memory(void)
{
	char	   *path = psprintf("/proc/%d/status", (int) child);
	FILE	   *f = fopen(path, "r");
	char		line[256];

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, "VmHWM", 5) == 0 || strncmp(line, "RssAnon", 7) == 0)
			fputs(line, stdout);
	if (f != NULL)
		fclose(f);
}

static void
drain(long events, int size, long batch_size)
{
	char	   *value = malloc(size + 1);
	double		start = now();
	uint32		batch = 0,
				done = 0;
	StringInfoData buf;

	memset(value, 'v', size);
	initStringInfo(&buf);
	for (long i = 0; i < events;)
	{
		long		end = Min(i + batch_size, events);
		long		first = i;

		batch++;
		while (i < end)
		{
			long		n = Min(FRAME_EVENTS, end - i);
			int			at = outbox_frame_begin(&buf, OUTBOX_FRAME_DATA);

			outbox_put_u32(&buf, batch);
			outbox_put_u32(&buf, n);
			while (n-- > 0)
				put_event(&buf, i++, value, size);
			outbox_frame_end(&buf, at);
			send_all(&buf);
		}
		put_commit(&buf, batch, end - first);
		send_all(&buf);
		while (batch - done >= AHEAD)
			if ((done = committed(30)) == 0)
				exit(1);
	}
	while (done < batch)
		if ((done = committed(30)) == 0)
			exit(1);
	printf("%.0f events/s\n", events / (now() - start));
}

static int
compare(const void *a, const void *b)
{
	double		x = *(const double *) a,
				y = *(const double *) b;

	return x < y ? -1 : x > y;
}

/*
 * Events become due one by one; a batch of all that are due goes out whenever
 * fewer than IN_FLIGHT batches are under way.
 */
static void
latency(long events, int size, double per_second)
{
	double	   *took = malloc(events * sizeof(double));
	long	   *ends = calloc(events + 1, sizeof(long));	/* by batch */
	double	   *sent = malloc((events + 1) * sizeof(double));
	char	   *value = malloc(size + 1);
	long		next = 0,
				done = 0;
	uint32		batch = 0,
				finished = 0;
	double		start = now();
	StringInfoData buf;

	memset(value, 'v', size);
	initStringInfo(&buf);
	while (done < events)
	{
		double		due = per_second > 0 ? start + next / per_second : 0;
		bool		may = next < events &&
			batch - finished < (per_second > 0 ? IN_FLIGHT : 1);

		if (may && now() >= due)
		{
			int			at = outbox_frame_begin(&buf, OUTBOX_FRAME_DATA);
			long		end = per_second <= 0 ? next + 1 :
				Min((long) ((now() - start) * per_second) + 1, events);
			long		first = next;

			outbox_put_u32(&buf, ++batch);
			outbox_put_u32(&buf, end - next);
			for (; next < end; next++)
			{
				sent[next] = per_second > 0 ? start + next / per_second :
					now();
				put_event(&buf, next, value, size);
			}
			outbox_frame_end(&buf, at);
			put_commit(&buf, batch, end - first);
			ends[batch] = end;
			send_all(&buf);
		}
		else if (committed(may ? due - now() : 15) != 0)
		{
			finished++;
			for (; done < ends[finished]; done++)
				took[done] = now() - sent[done];
		}
	}
	qsort(took, events, sizeof(double), compare);
	printf("%u batches  p50 %.2f ms  p90 %.2f ms  p99 %.2f ms  max %.2f ms\n",
		   batch, took[events / 2] * 1e3, took[events * 9 / 10] * 1e3,
		   took[events * 99 / 100] * 1e3, took[events - 1] * 1e3);
}

int
main(int argc, char **argv)
{
	bool		draining;

	if (argc < 5)
	{
		fprintf(stderr, "usage: feed_child PROGRAM BOOTSTRAP TOPIC "
				"drain|latency [COUNT [SIZE [BATCH|PER_SECOND "
				"[NAME=VALUE ...]]]]\n");
		return 2;
	}
	draining = strcmp(argv[4], "drain") == 0;
	start_child(argv[1]);
	takeover(argv[2], argv[3], argv + 8, Max(argc - 8, 0));
	if (draining)
		drain(argc > 5 ? atol(argv[5]) : 1000000,
			  argc > 6 ? atoi(argv[6]) : 200,
			  argc > 7 ? atol(argv[7]) : 100000);
	else
		latency(argc > 5 ? atol(argv[5]) : 2000,
				argc > 6 ? atoi(argv[6]) : 200,
				argc > 7 ? atof(argv[7]) : 0);
	print_memory();
	close(sock);
	waitpid(child, NULL, 0);
	return 0;
}
