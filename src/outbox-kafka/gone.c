/*-------------------------------------------------------------------------
 *
 * gone.c
 *		Which keys of a topic are gone: the mode that rebuild_topic() uses.
 *
 * One thread, one question at a time, see frame.h.  Nothing is written to Kafka.
 *
 *	ENDS	the high watermark of each partition, open transactions included.
 *			The reader keeps them: the line between old and new
 *	GONE	keys whose last record in front of the line has a value, and which
 *			have no record at all behind it, in any partition, as of the
 *			watermarks at this moment
 *
 * What lies in front of the line is read once for a range of hashes
 * (gone_keys.c), what lies behind it once in all: each further question reads on
 * from where the last one ended, so that its answer is as of now.
 *
 * Reading is read-committed and gets past the watermark, which is taken with a
 * read-uncommitted consumer: an open transaction makes it wait, never miss what
 * that is about to commit (see position_topic.c).
 *
 * Killed at any place, or the reader is: the question is asked again of another
 * process, with the same line and a hash to begin with.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-kafka/gone.h"

#include "outbox-kafka/gone_keys.h"
#include "outbox-kafka/handle.h"
#include "outbox-kafka/hello.h"
#include "outbox-kafka/link.h"
#include "outbox-kafka/orphan.h"
#include "outbox-kafka/report.h"
#include "outbox-kafka/topics.h"

#include <poll.h>

#define LOOKUP_TIMEOUT	10000	/* ms */
#define STALLED			30000	/* ms without a record: give up */
#define LOOK_EVERY		4096	/* records between looks at the socket */

typedef struct Gone
{
	OutboxLink	link;
	OutboxKafkaConfig *config;
	char	   *topic;
	uint64		token;
	size_t		memory;
	OutboxHandle *committed;
	OutboxHandle *uncommitted;
	int			partitions;
	int64	   *line;			/* by partition; NULL: nothing is read yet */
	int64	   *place;			/* read up to here, behind the line */
	OutboxGoneKeys *keys;
	OutboxResult result;
} Gone;

/* What to do with records [from, until) of each partition. */
typedef struct Stretch
{
	const int64 *from;
	const int64 *until;
	bool		new;			/* they lie behind the line */
} Stretch;

static bool
connect_to_kafka(Gone *gone)
{
	if (gone->committed != NULL)
		return true;
	gone->committed = outbox_handle_new(gone->config, OUTBOX_HANDLE_COMMITTED,
										NULL, NULL, -1, &gone->result);
	if (gone->committed != NULL)
		gone->uncommitted = outbox_handle_new(gone->config,
											  OUTBOX_HANDLE_UNCOMMITTED, NULL,
											  NULL, -1, &gone->result);
	return gone->uncommitted != NULL;
}

/* Where each partition ends, palloc'd; NULL and gone->result. */
static int64 *
ask_ends(Gone *gone)
{
	rd_kafka_t *rk = gone->uncommitted->rk;
	int64		deadline = outbox_now_ms() + LOOKUP_TIMEOUT;
	int64	   *ends;

	outbox_handle_poll(gone->uncommitted);
	gone->partitions = outbox_topics_lookup(rk, gone->topic, deadline,
											&gone->result);
	if (gone->partitions < 0)
		return NULL;
	ends = palloc0((gone->partitions + 1) * sizeof(int64));
	for (int i = 0; i < gone->partitions; i++)
	{
		int64		low;
		rd_kafka_resp_err_t err;

		do
		{
			outbox_link_check_open(gone->link.fd);
			err = rd_kafka_query_watermark_offsets(rk, gone->topic, i, &low,
												   &ends[i], 1000);
		} while (err != RD_KAFKA_RESP_ERR_NO_ERROR &&
				 outbox_error_class(err) != OUTBOX_CONFIG &&
				 outbox_now_ms() < deadline);
		if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
		{
			outbox_result_set(&gone->result, outbox_error_class(err), err,
							  "could not ask for the end of topic \"%s\": %s",
							  gone->topic, rd_kafka_err2str(err));
			return NULL;
		}
	}
	return ends;
}

/* ---- reading ------------------------------------------------------------- */

static void
take_record(Gone *gone, const Stretch *stretch,
			const rd_kafka_message_t *message)
{
	if (message->key == NULL)
		return;
	if (stretch->new)
		outbox_gone_keys_alive(gone->keys, message->key, message->key_len);
	else if (message->payload != NULL)
		outbox_gone_keys_value(gone->keys, message->partition, message->key,
							   message->key_len);
	else
		outbox_gone_keys_tombstone(gone->keys, message->partition,
								   message->key, message->key_len);
}

/*
 * One record, or news about a partition.  True: its partition is read.
 */
static bool
take(Gone *gone, const Stretch *stretch, const rd_kafka_message_t *message)
{
	if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		if (message->offset < stretch->until[message->partition])
			take_record(gone, stretch, message);
		return message->offset + 1 >= stretch->until[message->partition];
	}
	if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
		return message->offset >= stretch->until[message->partition];
	if (outbox_error_class(message->err) == OUTBOX_CONFIG)
		outbox_result_set(&gone->result, OUTBOX_CONFIG, message->err,
						  "could not read topic \"%s\": %s", gone->topic,
						  rd_kafka_message_errstr(message));
	return false;
}

static void
stalled(Gone *gone)
{
	OutboxResult link;

	outbox_report_trouble(&link);
	if (link.class != OUTBOX_OK)
		gone->result = link;
	else
		outbox_result_set(&gone->result, OUTBOX_RETRY,
						  RD_KAFKA_RESP_ERR__TIMED_OUT,
						  "could not read topic \"%s\" to its end; an open transaction may be in the way",
						  gone->topic);
}

/* Until as many partitions as are left have been read. */
static void
drain(Gone *gone, const Stretch *stretch, rd_kafka_queue_t *queue, int left,
	  bool *reading)
{
	int64		heard_ms = outbox_now_ms();

	for (uint32 n = 1; left > 0 && gone->result.class == OUTBOX_OK; n++)
	{
		rd_kafka_message_t *message = rd_kafka_consume_queue(queue, 100);

		if (message == NULL || n % LOOK_EVERY == 0)
		{
			outbox_link_check_open(gone->link.fd);
			outbox_handle_poll(gone->committed);
		}
		if (message == NULL)
		{
			if (outbox_now_ms() - heard_ms > STALLED)
				stalled(gone);
			continue;
		}
		if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
			heard_ms = outbox_now_ms();
		if (reading[message->partition] && take(gone, stretch, message))
		{
			reading[message->partition] = false;
			left--;
		}
		rd_kafka_message_destroy(message);
	}
}

static bool
read_stretch(Gone *gone, const Stretch *stretch)
{
	rd_kafka_topic_t *topic = outbox_handle_topic(gone->committed, 0,
												  gone->topic);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(gone->committed->rk);
	bool	   *reading = palloc0((gone->partitions + 1) * sizeof(bool));
	bool	   *started = palloc0((gone->partitions + 1) * sizeof(bool));
	int			left = 0;

	for (int i = 0; i < gone->partitions; i++)
	{
		if (stretch->from[i] >= stretch->until[i])
			continue;
		if (topic == NULL ||
			rd_kafka_consume_start_queue(topic, i, stretch->from[i],
										 queue) != 0)
		{
			outbox_result_set(&gone->result, OUTBOX_RETRY,
							  rd_kafka_last_error(),
							  "could not read topic \"%s\": %s", gone->topic,
							  rd_kafka_err2str(rd_kafka_last_error()));
			break;
		}
		reading[i] = started[i] = true;
		left++;
	}
	drain(gone, stretch, queue, left, reading);
	for (int i = 0; i < gone->partitions; i++)
	{
		if (started[i])
			rd_kafka_consume_stop(topic, i);
	}
	rd_kafka_queue_destroy(queue);
	pfree(reading);
	pfree(started);
	return gone->result.class == OUTBOX_OK;
}

/* What lies in front of the line, for the range that begins with this hash. */
static bool
read_old(Gone *gone, uint64 from)
{
	Stretch		old = {.until = gone->line};
	int64	   *beginning = palloc0((gone->partitions + 1) * sizeof(int64));
	bool		ok;

	outbox_gone_keys_begin(gone->keys, from);
	for (int i = 0; i < gone->partitions; i++)
		beginning[i] = gone->line[i] > 0 ? RD_KAFKA_OFFSET_BEGINNING : 0;
	old.from = beginning;
	ok = read_stretch(gone, &old);
	pfree(beginning);
	if (!ok)
		return false;
	outbox_gone_keys_sort(gone->keys);
	memcpy(gone->place, gone->line, gone->partitions * sizeof(int64));
	return true;
}

/* From where the last reading ended to the end there is now. */
static bool
read_new(Gone *gone)
{
	Stretch		new = {.from = gone->place,.new = true};
	int64	   *ends = ask_ends(gone);
	bool		ok;

	if (ends == NULL)
		return false;
	new.until = ends;
	ok = read_stretch(gone, &new);
	if (ok)
		memcpy(gone->place, ends, gone->partitions * sizeof(int64));
	pfree(ends);
	return ok;
}

/* ---- answers ------------------------------------------------------------- */

static void
fail(Gone *gone)
{
	StringInfo	out = &gone->link.out;
	int			start = outbox_frame_begin(out, OUTBOX_FRAME_GONE_FAILED);

	outbox_put_u8(out, (uint8) gone->result.class);
	outbox_put_cstring(out, gone->result.message);
	outbox_frame_end(out, start);
}

static void
answer_ends(Gone *gone)
{
	StringInfo	out = &gone->link.out;
	int64	   *ends = connect_to_kafka(gone) ? ask_ends(gone) : NULL;
	int			start;

	if (ends == NULL)
	{
		fail(gone);
		return;
	}
	start = outbox_frame_begin(out, OUTBOX_FRAME_ENDS_OK);
	outbox_put_u32(out, gone->partitions);
	for (int i = 0; i < gone->partitions; i++)
		outbox_put_u64(out, ends[i]);
	outbox_frame_end(out, start);
	pfree(ends);
}

/*
 * The line that the question is about.  Partitions that have come since have
 * no keys in front of it.  A topic that has become smaller is another one.
 */
static bool
take_line(Gone *gone, OutboxCursor *c, uint32 n)
{
	int64	   *ends = ask_ends(gone);
	bool		ok = ends != NULL && n <= gone->partitions;

	if (ends == NULL)
		return false;
	gone->line = palloc0((gone->partitions + 1) * sizeof(int64));
	gone->place = palloc0((gone->partitions + 1) * sizeof(int64));
	for (int i = 0; ok && i < n; i++)
	{
		gone->line[i] = (int64) outbox_get_u64(c);
		ok = gone->line[i] <= ends[i];
	}
	pfree(ends);
	if (!ok)
		outbox_result_set(&gone->result, OUTBOX_REFUSED, 0,
						  "topic \"%s\" was made anew", gone->topic);
	return ok;
}

static void
put_gone(Gone *gone, uint64 from, uint32 max)
{
	StringInfo	out = &gone->link.out;
	const OutboxGoneKey **list;
	uint64		next;
	int			start;
	int			n;

	list = palloc((outbox_gone_keys_count(gone->keys) + 1) * sizeof(*list));
	n = outbox_gone_keys_list(gone->keys, from, max, list, &next);
	start = outbox_frame_begin(out, OUTBOX_FRAME_GONE_OK);
	outbox_put_u64(out, next);
	outbox_put_u8(out, next == 0);
	outbox_put_u32(out, n);
	for (int i = 0; i < n; i++)
	{
		outbox_put_u64(out, list[i]->hash);
		outbox_put_u32(out, list[i]->partition);
		outbox_put_bytes(out, list[i]->key, list[i]->len);
	}
	outbox_frame_end(out, start);
	pfree(list);
}

static void
answer_gone(Gone *gone, OutboxCursor *c)
{
	uint32		skip = outbox_get_u32(c);
	uint64		from = outbox_get_u64(c);
	uint32		max = outbox_get_u32(c);
	uint32		n = outbox_get_u32(c);
	bool		ok = connect_to_kafka(gone);

	if (ok && gone->keys == NULL)
	{
		ok = take_line(gone, c, n);
		if (ok)
			gone->keys = outbox_gone_keys_new(gone->token, skip, gone->memory);
		ok = ok && read_old(gone, from);
	}
	else if (ok && (from < outbox_gone_keys_first(gone->keys) ||
					from > outbox_gone_keys_last(gone->keys)))
		ok = read_old(gone, from);
	if (ok && read_new(gone))
		put_gone(gone, from, max);
	else
		fail(gone);
}

static void
greet(Gone *gone, OutboxCursor *c)
{
	uint16		version = outbox_get_u16(c);
	char	   *path;

	gone->memory = (size_t) outbox_get_u32(c) * 1024;
	gone->token = outbox_get_u64(c);
	gone->topic = outbox_hello_string(c);
	path = outbox_hello_string(c);
	if (c->failed || gone->topic == NULL)
		outbox_link_leave();
	if (version != OUTBOX_PROTOCOL_VERSION)
		outbox_result_set(&gone->result, OUTBOX_CONFIG, 0,
						  "this outbox-kafka speaks protocol version %u, not %u",
						  OUTBOX_PROTOCOL_VERSION, version);
	else
		gone->config = outbox_hello_config(c, path, &gone->result);
}

static void
do_frame(Gone *gone, OutboxFrameType type, const char *body, size_t len)
{
	OutboxCursor c;

	outbox_cursor_init(&c, body, len);
	if (type == OUTBOX_FRAME_HELLO && gone->topic == NULL)
		greet(gone, &c);
	else if (gone->topic == NULL)
		outbox_link_leave();
	else if (gone->result.class != OUTBOX_OK)
		fail(gone);				/* and so it stays: another process then */
	else if (type == OUTBOX_FRAME_ENDS)
		answer_ends(gone);
	else if (type == OUTBOX_FRAME_GONE)
		answer_gone(gone, &c);
	else
		outbox_link_leave();
}

static void
wait_for_link(Gone *gone)
{
	struct pollfd fd = {.fd = gone->link.fd,.events = POLLIN | POLLRDHUP};

	if (!outbox_link_flush(&gone->link))
		fd.events |= POLLOUT;
	(void) poll(&fd, 1, 1000);
	if ((fd.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) != 0)
		outbox_link_leave();
	if ((fd.revents & POLLIN) != 0)
		outbox_link_read(&gone->link);
}

void
outbox_gone(int fd)
{
	Gone	   *gone = palloc0(sizeof(Gone));
	OutboxFrameType type;
	const char *body;
	size_t		len;

	outbox_orphan_init(fd);
	outbox_link_init(&gone->link, fd);
	for (;;)
	{
		wait_for_link(gone);
		while (outbox_link_next(&gone->link, &type, &body, &len))
		{
			do_frame(gone, type, body, len);
			outbox_link_consume(&gone->link);
		}
	}
}
