/*-------------------------------------------------------------------------
 *
 * publish.c
 *		Main loop of "outbox-kafka publish".
 *
 * One thread waits for the socket and for an eventfd that librdkafka and the
 * workers write to; it parses frames, produces messages, takes delivery
 * reports and answers.  It never blocks: what blocks is a job of a worker.
 * That makes a PONG proof that this loop lives, and the relay's end noticed at
 * once.  The process acts on frames only and holds nothing that must survive.
 *
 *	the relay closes the socket, or dies	_exit(0), whatever is under way
 *	the relay's process is gone				SIGTERM by PR_SET_PDEATHSIG
 *	SIGTERM, SIGQUIT						_exit(0)
 *	damaged frame, wrong order				_exit(0)
 *	any outcome that is no success			FAILED; then only PING and STOP
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-kafka/session.h"

#include "outbox-kafka/orphan.h"
#include "outbox-kafka/publish.h"
#include "outbox-kafka/report.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define IDLE_WAIT	1000		/* ms */
#define REASON_WAIT	400

/*
 * Work on the frame at the front.  False: it must wait.
 */
static bool
do_frame(OutboxSession *session)
{
	OutboxFrameType type;
	const char *body;
	size_t		len;
	bool		done = true;

	if (!outbox_link_next(&session->link, &type, &body, &len))
		return false;
	if (type == OUTBOX_FRAME_STOP)
	{
		if (session->delivery == OUTBOX_AT_LEAST_ONCE && session->greeted)
			outbox_batch_stop(session);
		outbox_link_leave();
	}
	if (session->failed)
		;						/* the relay has not read FAILED yet */
	else if (session->waiting)
		return false;
	else if (type == OUTBOX_FRAME_DATA || type == OUTBOX_FRAME_COMMIT)
	{
		if (!session->initialised)
			outbox_link_leave();
		done = type == OUTBOX_FRAME_DATA ?
			outbox_batch_data(session, body, len) :
			outbox_batch_commit(session, body, len);
	}
	else
		outbox_request(session, type, body, len);
	if (done)
		outbox_link_consume(&session->link);
	return done;
}

/*
 * A producer broke.  When only its transaction did, the delivery report that
 * says why, and for which topic, is behind the log line: wait for it a little.
 */
static void
check_handles(OutboxSession *session)
{
	OutboxResult result;

	if (session->failed || !outbox_producer_trouble(session, &result))
		return;
	if (session->trouble_ms == 0)
		session->trouble_ms = outbox_now_ms();
	if (result.class != OUTBOX_UNKNOWN ||
		outbox_now_ms() - session->trouble_ms >= REASON_WAIT)
		outbox_session_fail(session, 0, &result, 0, OUTBOX_NO_TOPIC);
}

/*
 * Everything that can be done now.  True when there may be more at once.
 */
static bool
take_turn(OutboxSession *session)
{
	uint32		left = session->data_left;
	bool		moved = false;

	session->begin_due_us = 0;
	outbox_producer_poll(session);
	outbox_worker_reap(&session->committer);
	outbox_worker_reap(&session->requests);
	outbox_worker_reap(&session->registrar);
	outbox_batch_progress(session);
	check_handles(session);
	outbox_request_progress(session);
	for (int i = 0; i < 64 && do_frame(session); i++)
		moved = true;
	if (session->in_data && session->data_left != left)
		moved = true;
	outbox_batch_progress(session);
	outbox_batch_tell_ready(session);
	outbox_request_probe(session);
	outbox_session_dig(session);
	outbox_session_report(session);
	return moved;
}

/* us */
static int64
wait_time(const OutboxSession *session)
{
	int64		wait = session->trouble_ms != 0 && !session->failed ?
		REASON_WAIT / 4 : IDLE_WAIT;

	if (session->position_due_ms != 0 && session->position_sent == NULL)
		wait = Min(wait, session->position_due_ms - outbox_now_ms());
	wait *= 1000;
	if (session->begin_due_us != 0)
		wait = Min(wait, session->begin_due_us - outbox_now_us());
	return Max(wait, 0);
}

static void
wait_for_work(OutboxSession *session, int64 timeout)
{
	struct pollfd fds[2] = {0};
	uint64		count;
	bool		unsent = !outbox_link_flush(&session->link);
	bool		full = outbox_link_full(&session->link);
	struct timespec until = {.tv_sec = timeout / 1000000,
	.tv_nsec = timeout % 1000000 * 1000};
	int			n;

	fds[0].fd = session->link.fd;
	fds[0].events = POLLRDHUP | (full ? 0 : POLLIN) | (unsent ? POLLOUT : 0);
	fds[1].fd = session->wake_fd;
	fds[1].events = POLLIN;
	n = ppoll(fds, 2, &until, NULL);
	if (n < 0 && errno != EINTR)
		outbox_link_leave();
	if (full)
		outbox_link_still_here(&session->link);
	if (n <= 0)
		return;
	if ((fds[0].revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) != 0)
		outbox_link_leave();
	if ((fds[0].revents & POLLIN) != 0)
		outbox_link_read(&session->link);
	if ((fds[1].revents & POLLIN) != 0 &&
		read(session->wake_fd, &count, sizeof(count)) < 0)
	{
		/* somebody else took it; polling is never wrong */
	}
}

void
outbox_publish(int fd)
{
	OutboxSession *session = palloc0(sizeof(OutboxSession));

	outbox_orphan_init(fd);

	/* many short-lived small blocks in a few threads: keep them together */
	mallopt(M_ARENA_MAX, 2);
	mallopt(M_TRIM_THRESHOLD, 4 * 1024 * 1024);

	outbox_link_init(&session->link, fd);
	session->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (session->wake_fd < 0)
		outbox_link_leave();
	outbox_report_init(session->wake_fd);
	outbox_delivery_init(session);
	if (!outbox_worker_start(&session->requests, session->wake_fd) ||
		!outbox_worker_start(&session->committer, session->wake_fd) ||
		!outbox_worker_start(&session->registrar, session->wake_fd))
		outbox_link_leave();
	for (;;)
	{
		bool		more = take_turn(session);

		wait_for_work(session, more ? 0 : wait_time(session));
	}
}
