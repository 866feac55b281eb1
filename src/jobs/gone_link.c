/*-------------------------------------------------------------------------
 *
 * gone_link.c
 *		The reader's end of the program that knows which keys are gone.
 *
 * Owns the one child of this process.  It stays from question to question,
 * because it remembers what it has read of the topic, and ends with us, or when
 * it says that something is wrong: the next question begins with another one.
 * No transaction is open while we wait, nor does the wait outlast the relay's
 * interest (outbox_reader_check).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/socket.h>

#include "base/result.h"
#include "compat.h"
#include "guc.h"
#include "jobs/gone_link.h"
#include "jobs/rebuild.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port.h"
#include "relay/program.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/memutils.h"

#define READ_CHUNK	(64 * 1024)
#define LOOK_AROUND	1000		/* ms */

static struct
{
	pid_t		pid;			/* 0 = none */
	pgsocket	sock;
	uint64		token;			/* of its job */
	StringInfoData in;
}			child;

static void
end_child(int code, Datum arg)
{
	pid_t		pid = child.pid;

	if (pid == 0)
		return;
	child.pid = 0;
	outbox_program_end(pid, child.sock);
	pfree(child.in.data);
}

pg_noreturn static void
lose_child(const char *why)
{
	end_child(0, 0);
	ereport(ERROR,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 errmsg("outbox-kafka, which looks for keys that are gone, %s",
					why)));
}

static void
wait_for_child(int events)
{
	static uint32 wait_event = 0;

	(void) WaitLatchOrSocket(MyLatch, events | WL_LATCH_SET | WL_TIMEOUT |
							 WL_EXIT_ON_PM_DEATH, child.sock, LOOK_AROUND,
							 outbox_compat_wait_event(&wait_event,
													  "OutboxGoneKeys"));
	ResetLatch(MyLatch);
	outbox_reader_check();
}

static void
send_all(const StringInfoData *out)
{
	int			sent = 0;

	while (sent < out->len)
	{
		ssize_t		n = send(child.sock, out->data + sent, out->len - sent,
							 MSG_NOSIGNAL);

		if (n >= 0)
			sent += n;
		else if (errno == EAGAIN || errno == EWOULDBLOCK)
			wait_for_child(WL_SOCKET_WRITEABLE);
		else if (errno != EINTR)
			lose_child("closed its socket");
	}
}

static void
put_hello(StringInfo out, const OutboxChunkRequest *request)
{
	int			start = outbox_frame_begin(out, OUTBOX_FRAME_HELLO);

	outbox_put_u16(out, OUTBOX_PROTOCOL_VERSION);
	outbox_put_u32(out, outbox_rebuild_memory);
	outbox_put_u64(out, request->token);
	outbox_put_cstring(out, request->topic);
	outbox_put_cstring(out, outbox_kafka_config_file[0] != '\0' ?
					   outbox_kafka_config_file : NULL);
	outbox_put_u32(out, 2);
	outbox_put_cstring(out, "bootstrap.servers");
	outbox_put_cstring(out, outbox_bootstrap_servers);
	outbox_put_cstring(out, "client.id");
	outbox_put_cstring(out, "outbox-rebuild");
	outbox_frame_end(out, start);
}

static void
start_child(const OutboxChunkRequest *request)
{
	static bool registered = false;
	char		program[MAXPGPATH];
	char	   *argv[] = {program, "gone", "--fd", OUTBOX_PROGRAM_FD, NULL};
	MemoryContext old;
	StringInfoData hello;

	if (child.pid != 0 && child.token == request->token)
		return;
	end_child(0, 0);
	outbox_program_find(program, outbox_kafka_program, "outbox-kafka",
						"outbox.kafka_program");
	old = MemoryContextSwitchTo(TopMemoryContext);
	initStringInfo(&child.in);
	MemoryContextSwitchTo(old);
	if (!registered)
		on_proc_exit(end_child, 0);
	registered = true;
	child.pid = outbox_program_start(argv, &child.sock);
	child.token = request->token;
	initStringInfo(&hello);
	put_hello(&hello, request);
	send_all(&hello);
}

/* The body of the first whole frame, palloc'd. */
static char *
receive(OutboxFrameType *type, size_t *len)
{
	const char *body;
	char	   *copy;
	int			used;

	while ((used = outbox_frame_peek(child.in.data, child.in.len, type, &body,
									 len)) == 0)
	{
		ssize_t		n;

		enlargeStringInfo(&child.in, READ_CHUNK);
		n = recv(child.sock, child.in.data + child.in.len, READ_CHUNK, 0);
		if (n > 0)
			child.in.len += n;
		else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			wait_for_child(WL_SOCKET_READABLE);
		else if (n == 0 || errno != EINTR)
			lose_child("ended");
	}
	if (used < 0)
		lose_child("sent a damaged frame");
	copy = palloc(*len);
	memcpy(copy, body, *len);
	memmove(child.in.data, child.in.data + used, child.in.len - used);
	child.in.len -= used;
	return copy;
}

pg_noreturn static void
refuse(OutboxCursor *body)
{
	uint8		class = outbox_get_u8(body);
	int32		len;
	const char *text = outbox_get_bytes(body, &len);

	end_child(0, 0);
	ereport(ERROR,
			(errcode(class == OUTBOX_REFUSED ?
					 ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE :
					 ERRCODE_CONNECTION_FAILURE),
			 errmsg("%.*s", Max(len, 0), text == NULL ? "" : text)));
}

void
outbox_gone_ask(const OutboxChunkRequest *request, OutboxFrameType type,
				const StringInfoData *body, OutboxFrameType wanted,
				OutboxCursor *answer)
{
	StringInfoData out;
	OutboxFrameType got;
	size_t		len;
	char	   *data;
	int			start;

	start_child(request);
	initStringInfo(&out);
	start = outbox_frame_begin(&out, type);
	if (body != NULL)
		appendBinaryStringInfo(&out, body->data, body->len);
	outbox_frame_end(&out, start);
	send_all(&out);
	data = receive(&got, &len);
	outbox_cursor_init(answer, data, len);
	if (got == OUTBOX_FRAME_GONE_FAILED)
		refuse(answer);
	if (got != wanted)
		lose_child("sent a frame out of turn");
}
