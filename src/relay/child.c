/*-------------------------------------------------------------------------
 *
 * child.c
 *		Start, speak to and end the program outbox-kafka.
 *
 * Owns the one child of this process and the socket to it.  Both ends are
 * non-blocking; this end sleeps only in a WaitEventSet that also holds the
 * process latch and the postmaster's death.
 *
 * A child that dies, hangs or speaks nonsense is an outcome unknown: the
 * caller gets an error, the process exits, and the exit callback here sees to
 * it that no child outlives its relay; see program.c for each way to die.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/socket.h>

#include "base/clock.h"
#include "compat.h"
#include "guc.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port.h"
#include "relay/child.h"
#include "relay/program.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/memutils.h"

#define READ_CHUNK		(64 * 1024)
#define SOCKET_BUFFER	(1024 * 1024)

static struct
{
	pid_t		pid;			/* 0 = none */
	pgsocket	sock;
	WaitEventSet *events;
	StringInfoData out;			/* frames to send */
	int			out_sent;		/* of them, taken by the socket */
	StringInfoData in;			/* bytes received, no whole frame yet */
	OutboxFrameHandler handler;
	void	   *arg;
	uint64		ping_token;
	int64		ping_at;		/* last ping sent, monotonic ms */
	bool		unanswered;		/* no pong for it yet */
}			child;

static void
end_child(int code, Datum arg)
{
	pid_t		pid = child.pid;

	if (pid == 0)
		return;
	child.pid = 0;
	outbox_program_end(pid, child.sock);
}

pid_t
outbox_child_start(OutboxFrameHandler handler, void *arg)
{
	char		program[MAXPGPATH];
	char	   *argv[] = {program, "publish", "--fd", OUTBOX_PROGRAM_FD, NULL};
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	int			size = SOCKET_BUFFER;

	Assert(child.pid == 0);
	outbox_program_find(program, outbox_kafka_program, "outbox-kafka",
						"outbox.kafka_program");
	child.pid = outbox_program_start(argv, &child.sock);
	on_proc_exit(end_child, 0);
	(void) setsockopt(child.sock, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	child.handler = handler;
	child.arg = arg;
	initStringInfo(&child.out);
	initStringInfo(&child.in);
	child.events = outbox_compat_wait_event_set(3);
	AddWaitEventToSet(child.events, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch,
					  NULL);
	AddWaitEventToSet(child.events, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET,
					  NULL, NULL);
	AddWaitEventToSet(child.events, WL_SOCKET_READABLE, child.sock, NULL,
					  NULL);
	MemoryContextSwitchTo(old);
	return child.pid;
}

StringInfo
outbox_child_buffer(void)
{
	return &child.out;
}

Size
outbox_child_pending(void)
{
	return child.out.len - child.out_sent;
}

static void
lost_child(const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 errmsg("outbox-kafka (PID %d) %s", (int) child.pid, why)));
}

void
outbox_child_flush(void)
{
	while (child.out_sent < child.out.len)
	{
		ssize_t		n = send(child.sock, child.out.data + child.out_sent,
							 child.out.len - child.out_sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (n < 0)
			lost_child("closed its socket");
		child.out_sent += n;
	}
	child.out_sent = 0;
	resetStringInfo(&child.out);
}

static void
handle_log(OutboxCursor *body)
{
	uint8		level = outbox_get_u8(body);
	int32		len;
	const char *text = outbox_get_bytes(body, &len);

	if (text != NULL)
		ereport(level <= 4 ? LOG : DEBUG1,
				(errmsg("outbox-kafka: %.*s", len, text)));
}

static void
handle_frame(OutboxFrameType type, const char *data, size_t len)
{
	OutboxCursor body;

	outbox_cursor_init(&body, data, len);
	switch (type)
	{
		case OUTBOX_FRAME_PONG:

			/*
			 * Any one will do: while the broker stalls, our ping waits behind
			 * data that the child does not take yet, and it repeats its last
			 * answer as a sign of life.
			 */
			(void) outbox_get_u64(&body);
			child.unanswered = false;
			break;
		case OUTBOX_FRAME_LOG:
			handle_log(&body);
			break;
		default:
			child.handler(child.arg, type, &body);
	}
	if (body.failed)
		lost_child("sent a damaged frame");
}

static void
handle_frames(void)
{
	int			used = 0;

	for (;;)
	{
		OutboxFrameType type;
		const char *body;
		size_t		body_len;
		int			n = outbox_frame_peek(child.in.data + used,
										  child.in.len - used,
										  &type, &body, &body_len);

		if (n < 0)
			lost_child("sent a damaged frame");
		if (n == 0)
			break;
		used += n;
		handle_frame(type, body, body_len);
	}
	if (used > 0)
	{
		memmove(child.in.data, child.in.data + used, child.in.len - used);
		child.in.len -= used;
	}
}

static void
receive(void)
{
	for (;;)
	{
		ssize_t		n;

		enlargeStringInfo(&child.in, READ_CHUNK);
		n = recv(child.sock, child.in.data + child.in.len, READ_CHUNK, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (n <= 0)
			lost_child("ended");
		child.in.len += n;
		handle_frames();
	}
}

/* A child that is stopped or stuck takes no frames and sends no pong. */
static void
keep_alive(void)
{
	int64		now = outbox_monotonic_ms();

	if (child.unanswered)
	{
		if (now - child.ping_at > OUTBOX_PONG_TIMEOUT)
			lost_child("does not answer");
	}
	else if (now - child.ping_at > OUTBOX_PING_INTERVAL)
	{
		int			start = outbox_frame_begin(&child.out, OUTBOX_FRAME_PING);

		outbox_put_u64(&child.out, ++child.ping_token);
		outbox_frame_end(&child.out, start);
		child.ping_at = now;
		child.unanswered = true;
	}
}

bool
outbox_child_wait(int timeout_ms)
{
	static uint32 wait_event = 0;
	WaitEvent	events[3];
	bool		latch = false;
	int			n;

	keep_alive();
	if (outbox_child_pending() > 0)
	{
		/* Whoever waits for room has it now: no event would tell. */
		outbox_child_flush();
		if (outbox_child_pending() == 0)
			timeout_ms = 0;
	}
	ModifyWaitEvent(child.events, 2,
					WL_SOCKET_READABLE |
					(outbox_child_pending() > 0 ? WL_SOCKET_WRITEABLE : 0),
					NULL);
	n = WaitEventSetWait(child.events,
						 Min(timeout_ms, OUTBOX_PING_INTERVAL),
						 events, lengthof(events),
						 outbox_compat_wait_event(&wait_event, "OutboxRelay"));
	for (int i = 0; i < n; i++)
	{
		if (events[i].events & WL_LATCH_SET)
		{
			ResetLatch(MyLatch);
			latch = true;
		}
		if (events[i].events & WL_SOCKET_WRITEABLE)
			outbox_child_flush();
		if (events[i].events & WL_SOCKET_READABLE)
			receive();
	}
	return latch;
}
