/*-------------------------------------------------------------------------
 *
 * link.c
 *		The child's end of the socket to the relay.
 *
 * Owns both buffers.  Main thread only, except outbox_link_check_open().
 *
 * PING is answered when it arrives, before the frames ahead of it: those may
 * wait for the broker, and the relay's question is only whether this process
 * lives.  Input is bounded: past INPUT_BOUND bytes of whole frames nothing is
 * read, so that a slow broker presses back to the relay; PINGs may then be
 * stuck in the socket, which is why the main loop repeats the last PONG.
 *
 * End of file, an error or a damaged frame: _exit(0) at once, whatever is
 * under way.  What a commit's EndTxn has done by then the next child finds out
 * from the position record.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-kafka/link.h"

#include "base/cursor.h"
#include "outbox-kafka/errors.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_SIZE	(256 * 1024)
#define INPUT_BOUND	(1024 * 1024)
#define REPEAT_PONG	1000		/* ms */
#define KEEP_SIZE	(4 * 1024 * 1024)	/* larger buffers are given back */

void
outbox_link_leave(void)
{
	_exit(0);
}

void
outbox_link_init(OutboxLink *link, int fd)
{
	memset(link, 0, sizeof(*link));
	link->fd = fd;
	initStringInfo(&link->in);
	initStringInfo(&link->out);
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ||
		fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		outbox_link_leave();
}

void
outbox_link_check_open(int fd)
{
	struct pollfd pfd = {.fd = fd,.events = POLLRDHUP};

	if (poll(&pfd, 1, 0) > 0 &&
		(pfd.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) != 0)
		outbox_link_leave();
}

static void
answer_ping(OutboxLink *link, uint64 token)
{
	int			start = outbox_frame_begin(&link->out, OUTBOX_FRAME_PONG);

	outbox_put_u64(&link->out, token);
	outbox_frame_end(&link->out, start);
	link->pinged = true;
	link->last_token = token;
	link->last_pong_ms = outbox_now_ms();
}

void
outbox_link_still_here(OutboxLink *link)
{
	if (link->pinged && outbox_link_unsent(link) == 0 &&
		outbox_now_ms() - link->last_pong_ms >= REPEAT_PONG)
		answer_ping(link, link->last_token);
}

/*
 * Look at every frame that has become whole.
 */
static void
scan_arrivals(OutboxLink *link)
{
	for (;;)
	{
		OutboxFrameType type;
		const char *body;
		size_t		body_len;
		OutboxCursor c;
		uint64		token;
		int			n = outbox_frame_peek(link->in.data + link->scanned,
										  link->in.len - link->scanned,
										  &type, &body, &body_len);

		if (n < 0)
			outbox_link_leave();
		if (n == 0)
			break;
		link->scanned += n;
		link->whole = link->scanned;
		if (type != OUTBOX_FRAME_PING)
			continue;
		outbox_cursor_init(&c, body, body_len);
		token = outbox_get_u64(&c);
		if (c.failed || outbox_cursor_left(&c) != 0)
			outbox_link_leave();
		answer_ping(link, token);
	}
}

/*
 * Move what is left to the front, and give an outsized buffer back.
 */
static void
compact(OutboxLink *link)
{
	int			left = link->in.len - link->start;

	if (left == 0 && link->in.maxlen > KEEP_SIZE)
	{
		pfree(link->in.data);
		initStringInfo(&link->in);
	}
	else if (left == 0 || link->start > READ_SIZE)
		memmove(link->in.data, link->in.data + link->start, left);
	else
		return;
	link->in.len = left;
	link->scanned -= link->start;
	link->whole -= link->start;
	link->start = 0;
}

bool
outbox_link_full(const OutboxLink *link)
{
	return link->whole - link->start >= INPUT_BOUND;
}

void
outbox_link_read(OutboxLink *link)
{
	while (!outbox_link_full(link))
	{
		ssize_t		n;

		compact(link);
		enlargeStringInfo(&link->in, READ_SIZE);
		n = recv(link->fd, link->in.data + link->in.len,
				 link->in.maxlen - link->in.len - 1, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (n <= 0)
			outbox_link_leave();
		link->in.len += n;
		link->in.data[link->in.len] = '\0';
		scan_arrivals(link);
	}
}

bool
outbox_link_next(OutboxLink *link, OutboxFrameType *type,
				 const char **body, size_t *len)
{
	while (link->start < link->whole)
	{
		int			n = outbox_frame_peek(link->in.data + link->start,
										  link->whole - link->start,
										  type, body, len);

		if (n <= 0)
			outbox_link_leave();
		if (*type != OUTBOX_FRAME_PING)
			return true;
		link->start += n;
	}
	return false;
}

void
outbox_link_consume(OutboxLink *link)
{
	OutboxFrameType type;
	const char *body;
	size_t		len;
	int			n = outbox_frame_peek(link->in.data + link->start,
									  link->whole - link->start,
									  &type, &body, &len);

	if (n <= 0)
		outbox_link_leave();
	link->start += n;
}

int
outbox_link_unsent(const OutboxLink *link)
{
	return link->out.len - link->out_start;
}

bool
outbox_link_flush(OutboxLink *link)
{
	while (outbox_link_unsent(link) > 0)
	{
		ssize_t		n = send(link->fd, link->out.data + link->out_start,
							 outbox_link_unsent(link), MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return false;
		if (n < 0)
			outbox_link_leave();
		link->out_start += n;
	}
	resetStringInfo(&link->out);
	link->out_start = 0;
	return true;
}
