/*-------------------------------------------------------------------------
 *
 * log.c
 *		Lines for the server's log, through the launcher.
 *
 * A line is written whole or not at all: the socket is non-blocking and a
 * stalled launcher must not hold a request.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-http/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_LINE 1024

static int	log_fd = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void
outbox_log_open(int fd)
{
	log_fd = fd;
}

void
outbox_log(OutboxLogKind kind, const char *fmt,...)
{
	char		line[MAX_LINE];
	va_list		args;
	size_t		len;

	line[0] = (char) kind;
	va_start(args, fmt);
	vsnprintf(line + 1, sizeof(line) - 2, fmt, args);
	va_end(args);
	len = strlen(line);
	for (size_t i = 0; i < len; i++)
	{
		if ((unsigned char) line[i] < ' ')
			line[i] = ' ';
	}
	line[len++] = '\n';
	if (log_fd < 0)
	{
		fprintf(stderr, "outbox-http: %.*s", (int) len - 1, line + 1);
		return;
	}
	pthread_mutex_lock(&lock);
	if (send(log_fd, line, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
	{
		/* nobody to tell */
	}
	pthread_mutex_unlock(&lock);
}
