/*-------------------------------------------------------------------------
 *
 * session.c
 *		Frames from the child to the relay, and handles no longer used.
 *
 * Main thread only.  After the first FAILED nothing but PONG and STATUS is
 * said: the relay ends this process and takes over with a new one.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-kafka/session.h"

#include "base/cursor.h"
#include "outbox-kafka/report.h"

/* Log lines are dropped while this much waits to be sent. */
#define LOG_BOUND (64 * 1024)

void
outbox_session_fail(OutboxSession *session, OutboxFrameType to,
					const OutboxResult *result, uint32 batch, uint32 topic)
{
	outbox_session_fail_event(session, to, result, batch, topic, 0);
}

void
outbox_session_fail_event(OutboxSession *session, OutboxFrameType to,
						  const OutboxResult *result, uint32 batch,
						  uint32 topic, uint32 event)
{
	StringInfo	out = &session->link.out;
	int			start;

	if (session->failed)
		return;
	session->failed = true;
	session->halted = true;
	start = outbox_frame_begin(out, OUTBOX_FRAME_FAILED);
	outbox_put_u8(out, (uint8) to);
	outbox_put_u8(out, (uint8) result->class);
	outbox_put_u32(out, (uint32) result->code);
	outbox_put_u32(out, batch);
	outbox_put_u32(out, topic);
	outbox_put_cstring(out, result->message);
	outbox_put_u32(out, event);
	outbox_frame_end(out, start);
}

void
outbox_session_reply(OutboxSession *session, OutboxFrameType type)
{
	outbox_frame_end(&session->link.out,
					 outbox_frame_begin(&session->link.out, type));
}

void
outbox_session_reply_committed(OutboxSession *session, uint32 batch,
							   uint32 events)
{
	StringInfo	out = &session->link.out;
	int			start = outbox_frame_begin(out, OUTBOX_FRAME_COMMITTED);

	outbox_put_u32(out, batch);
	outbox_put_u32(out, events);
	outbox_frame_end(out, start);
}

void
outbox_session_reply_recorded(OutboxSession *session, const char *position,
							  int32 len)
{
	StringInfo	out = &session->link.out;
	int			start = outbox_frame_begin(out, OUTBOX_FRAME_RECORDED);

	outbox_put_bytes(out, position, len);
	outbox_frame_end(out, start);
}

/*
 * The handle for metadata and admin requests.
 */
OutboxHandle *
outbox_session_client(const OutboxSession *session)
{
	return session->plain != NULL ? session->plain :
		session->producers[0].handle;
}

/*
 * After INIT, exactly once: a handle that produces nothing costs an idle
 * machine its wake-ups and a busy one its memory.
 */
void
outbox_session_spare_plain(OutboxSession *session)
{
	if (session->plain == NULL || session->delivery != OUTBOX_EXACTLY_ONCE)
		return;
	outbox_session_bury(session, session->plain);
	session->plain = NULL;
}

/*
 * Pass on log lines and a change of the link's state.
 */
void
outbox_session_report(OutboxSession *session)
{
	StringInfo	out = &session->link.out;
	OutboxResult status;
	char		line[OUTBOX_LOG_LINE_SIZE];
	int			level;
	int			start;

	if (outbox_report_status_changed(&status))
	{
		start = outbox_frame_begin(out, OUTBOX_FRAME_STATUS);
		outbox_put_u8(out, (uint8) status.class);
		outbox_put_u32(out, (uint32) status.code);
		outbox_put_cstring(out, status.message);
		outbox_frame_end(out, start);
	}
	while (outbox_report_next_log(&level, line))
	{
		if (outbox_link_unsent(&session->link) > LOG_BOUND)
			continue;
		start = outbox_frame_begin(out, OUTBOX_FRAME_LOG);
		outbox_put_u8(out, (uint8) level);
		outbox_put_cstring(out, line);
		outbox_frame_end(out, start);
	}
}

/*
 * A request's job may still use a handle that was replaced: keep it until no
 * job is under way.
 */
void
outbox_session_bury(OutboxSession *session, OutboxHandle *handle)
{
	size_t		bytes = (session->nburied + 1) * sizeof(OutboxHandle *);

	session->buried = session->buried == NULL ? palloc(bytes) :
		repalloc(session->buried, bytes);
	session->buried[session->nburied++] = handle;
}

void
outbox_session_dig(OutboxSession *session)
{
	if (session->nburied == 0 || !outbox_worker_idle(&session->requests) ||
		!outbox_worker_idle(&session->registrar))
		return;
	while (session->nburied > 0)
		outbox_handle_discard(session->buried[--session->nburied]);
}
