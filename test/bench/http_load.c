/*
 * http_load.c: asks for one path over and over, on a few keep-alive
 * connections, and counts the answers.
 *
 *	http_load PORT PATH SECONDS CONNECTIONS
 *
 * Prints "ANSWERS SECONDS".  Each connection has one request under way; an
 * answer must be 200 and have a Content-Length.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_CONNECTIONS 64
#define ANSWER_SIZE		(256 * 1024)

static char request[1024];
static struct
{
	int			fd;
	char		answer[ANSWER_SIZE + 1];
	size_t		len;
}			connections[MAX_CONNECTIONS];

static void
fail(const char *why)
{
	fprintf(stderr, "http_load: %s\n", why);
	exit(1);
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void
ask(int i)
{
	size_t		len = strlen(request);

	connections[i].len = 0;
	if (send(connections[i].fd, request, len, 0) != (ssize_t) len)
		fail("could not send");
}

/* Whether the whole answer is there now. */
static int
receive(int i)
{
	char	   *answer = connections[i].answer;
	char	   *body,
			   *length;
	ssize_t		n = recv(connections[i].fd, answer + connections[i].len,
						 ANSWER_SIZE - connections[i].len, 0);

	if (n <= 0)
		fail("the connection was closed, or the answer is too long");
	connections[i].len += n;
	answer[connections[i].len] = '\0';
	body = strstr(answer, "\r\n\r\n");
	if (body == NULL)
		return 0;
	if (strncmp(answer, "HTTP/1.1 200 ", 13) != 0)
		fail("an answer is not 200");
	length = strstr(answer, "Content-Length: ");
	if (length == NULL || length > body)
		fail("an answer has no length");
	return connections[i].len >=
		(size_t) (body + 4 - answer) + strtoul(length + 16, NULL, 10);
}

int
main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	struct pollfd events[MAX_CONNECTIONS];
	unsigned long answers = 0;
	double		began,
				until;
	int			n,
				on = 1;

	if (argc != 5 || (n = atoi(argv[4])) < 1 || n > MAX_CONNECTIONS)
		fail("usage: http_load PORT PATH SECONDS CONNECTIONS");
	snprintf(request, sizeof(request),
			 "GET %s HTTP/1.1\r\nHost: localhost:%s\r\n"
			 "Accept: application/vnd.schemaregistry.v1+json\r\n\r\n",
			 argv[2], argv[1]);
	address.sin_port = htons(atoi(argv[1]));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	began = now();
	until = began + atof(argv[3]);
	for (int i = 0; i < n; i++)
	{
		connections[i].fd = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(connections[i].fd, (struct sockaddr *) &address,
					sizeof(address)) != 0)
			fail("could not connect");
		setsockopt(connections[i].fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		events[i].fd = connections[i].fd;
		events[i].events = POLLIN;
		ask(i);
	}
	while (now() < until)
	{
		if (poll(events, n, 1000) <= 0)
			fail("no answer within a second");
		for (int i = 0; i < n; i++)
		{
			if (events[i].revents != 0 && receive(i))
			{
				answers++;
				ask(i);
			}
		}
	}
	printf("%lu %.3f\n", answers, now() - began);
	return 0;
}
