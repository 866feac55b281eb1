/*-------------------------------------------------------------------------
 *
 * main.c
 *		outbox-http: the program that serves schemas and metrics over HTTP.
 *
 * Started by the launcher (src/relay/http.c) with one end of a socket pair,
 * on which it is told its settings and, later, to look at its files again (R)
 * or to end (Q).  The socket's end is its own end: it never outlives its
 * launcher.  The main thread waits for that and for slow clients; serving is
 * done by server.c's threads.
 *
 *-------------------------------------------------------------------------
 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/no_core.h"
#include "outbox-http/auth.h"
#include "outbox-http/cache.h"
#include "outbox-http/db.h"
#include "outbox-http/log.h"
#include "outbox-http/server.h"
#include "outbox-http/settings.h"

#define SETTINGS_TIME	5000	/* ms for the settings to come */
#define MAX_SETTINGS	(256 * 1024)	/* bytes */

static void
usage(FILE *to)
{
	fprintf(to,
			"outbox-http serves the schemas of the PostgreSQL extension outbox.\n"
			"\n"
			"Usage:\n"
			"  outbox-http serve --fd N      started by the server's launcher\n"
			"  outbox-http hash-password     read a password, print what to put into the\n"
			"                                properties file in its place\n"
			"  outbox-http --version\n"
			"  outbox-http --help\n");
}

/* Exactly len bytes, or false when they do not come in time. */
static bool
receive(int fd, void *to, size_t len)
{
	int64		until = outbox_monotonic_ms() + SETTINGS_TIME;
	char	   *p = to;

	while (len > 0)
	{
		struct pollfd event = {.fd = fd, .events = POLLIN};
		int64		left = until - outbox_monotonic_ms();
		ssize_t		n;

		if (left <= 0 || (poll(&event, 1, (int) left) < 0 && errno != EINTR))
			return false;
		n = recv(fd, p, len, MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return false;
		if (n > 0)
		{
			p += n;
			len -= n;
		}
	}
	return true;
}

static bool
receive_settings(int fd, char *error, size_t error_size)
{
	uint32		len;
	char	   *block;

	if (!receive(fd, &len, sizeof(len)) || len == 0 || len > MAX_SETTINGS)
	{
		strlcpy(error, "no settings came from the launcher", error_size);
		return false;
	}
	block = palloc(len);
	if (!receive(fd, block, len))
	{
		strlcpy(error, "no settings came from the launcher", error_size);
		return false;
	}
	return outbox_settings_take(block, len, error, error_size);
}

/* Until the launcher says so or is gone, or the files have changed. */
static void
watch(int fd)
{
	for (;;)
	{
		struct pollfd event = {.fd = fd, .events = POLLIN};
		char		said;
		ssize_t		n;

		(void) poll(&event, 1, 1000);
		outbox_server_expire();
		n = recv(fd, &said, 1, MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return;
		if (n == 1 && (said == 'Q' || (said == 'R' && outbox_settings_stale())))
		{
			outbox_server_stop();
			return;
		}
	}
}

static void
leave_on_signal(int signo)
{
	_exit(0);
}

static int
serve(int fd)
{
	char		error[768];

	signal(SIGPIPE, SIG_IGN);

	/* status 0 even as an orphan, see die_with_parent() in outbox-kafka */
	signal(SIGTERM, leave_on_signal);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	umask(077);
	outbox_log_open(fd);
	outbox_cache_init();
	json_object_seed(0);
	if (!receive_settings(fd, error, sizeof(error)) ||
		!outbox_settings_read_file(error, sizeof(error)) ||
		!outbox_auth_init(error, sizeof(error)) ||
		!outbox_db_init(error, sizeof(error)) ||
		!outbox_server_start(error, sizeof(error)))
	{
		outbox_log(OUTBOX_LOG_ERROR, "%s", error);
		return 1;
	}
	if (!outbox_workers_start())
	{
		outbox_log(OUTBOX_LOG_ERROR, "could not start threads");
		return 1;
	}
	outbox_log(OUTBOX_LOG_READY, "serves on %s%s%s",
			   outbox_http_settings.listen,
			   outbox_http_settings.tls_key != NULL ? ", TLS" : "",
			   outbox_http_settings.writes ? ", changes allowed" : "");
	watch(fd);
	return 0;
}

static int
hash_password(void)
{
	char		line[512];
	char	   *hash;

	if (isatty(STDIN_FILENO))
		fprintf(stderr, "Password (it will be shown): ");
	if (fgets(line, sizeof(line), stdin) == NULL)
		return 1;
	line[strcspn(line, "\r\n")] = '\0';
	hash = outbox_auth_hash(line);
	explicit_bzero(line, sizeof(line));
	if (hash == NULL)
	{
		fprintf(stderr, "outbox-http: could not get random bytes\n");
		return 1;
	}
	printf("%s\n", hash);
	return 0;
}

int
main(int argc, char **argv)
{
	outbox_no_core();
	if (argc == 4 && strcmp(argv[1], "serve") == 0 &&
		strcmp(argv[2], "--fd") == 0 && atoi(argv[3]) > 2)
		_exit(serve(atoi(argv[3])));
	if (argc == 2 && strcmp(argv[1], "hash-password") == 0)
		return hash_password();
	if (argc == 2 && strcmp(argv[1], "--version") == 0)
	{
		printf("outbox-http, libmicrohttpd %s\n", MHD_get_version());
		return 0;
	}
	if (argc == 2 && strcmp(argv[1], "--help") == 0)
	{
		usage(stdout);
		return 0;
	}
	usage(stderr);
	return 2;
}
