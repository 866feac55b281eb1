/*-------------------------------------------------------------------------
 *
 * listen.c
 *		Sockets for outbox.http_listen.
 *
 * Elements are port, host:port, [address]:port or *:port.  A port alone is the
 * loopback addresses of both families (one of them suffices, for machines
 * without the other).  Addresses that others can reach are bound only when
 * there are users, or the file says that everybody may read.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-http/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "outbox-http/log.h"
#include "outbox-http/settings.h"

#define BACKLOG 512

typedef struct Bound
{
	int		   *sockets;
	bool	   *loopback;
	int			n;
	char	   *error;
	size_t		error_size;
} Bound;

static bool
is_loopback(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return (ntohl(((const struct sockaddr_in *) address)->sin_addr.s_addr) >> 24) == 127;
	if (address->sa_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *) address)->sin6_addr);
	return false;
}

/* False for what must not be, or cannot; the error says why. */
static bool
bind_one(Bound *b, const struct addrinfo *info, const char *element)
{
	OutboxHttpSettings *s = &outbox_http_settings;
	bool		loopback = is_loopback(info->ai_addr);
	int			on = 1;
	int			fd;
	bool		fatal;

	if (!loopback && s->nusers == 0 && !s->allow_anonymous)
	{
		snprintf(b->error, b->error_size,
				 "refusing to listen on \"%s\", which others can reach, without users: name some in outbox.http_config_file, or set allow.anonymous there",
				 element);
		return false;
	}
	if (b->n == OUTBOX_MAX_LISTENERS)
	{
		snprintf(b->error, b->error_size,
				 "outbox.http_listen has more than %d addresses",
				 OUTBOX_MAX_LISTENERS);
		return false;
	}
	fd = socket(info->ai_family,
				SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0)
	{
		(void) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (info->ai_family == AF_INET6)
			(void) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
		if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 &&
			listen(fd, BACKLOG) == 0)
		{
			b->loopback[b->n] = loopback;
			b->sockets[b->n++] = fd;
			if (!loopback && s->nusers > 0 && s->tls_key == NULL)
				outbox_log(OUTBOX_LOG_WARNING,
						   "passwords cross the network readable by everybody: \"%s\" is not a loopback address and there is no TLS",
						   element);
			if (!loopback && s->nusers == 0)
				outbox_log(OUTBOX_LOG_WARNING,
						   "everybody who reaches \"%s\" may read schemas%s",
						   element, s->writes ? " and change them" : "");
			return true;
		}
	}
	/* a family that this machine does not have is no loss */
	fatal = errno != EADDRNOTAVAIL && errno != EAFNOSUPPORT;
	snprintf(b->error, b->error_size, "could not listen on \"%s\": %s",
			 element, strerror(errno));
	if (fd >= 0)
		close(fd);
	return !fatal;
}

/* "host:port" in two; NULL host = loopback, "" = every address. */
static const char *
split(char *element, char **host)
{
	char	   *colon = strrchr(element, ':');

	*host = NULL;
	if (colon == NULL)
		return element;
	*colon = '\0';
	if (*element == '[' && colon[-1] == ']')
	{
		colon[-1] = '\0';
		element++;
	}
	*host = strcmp(element, "*") == 0 ? "" : element;
	return colon + 1;
}

static bool
bind_element(Bound *b, char *element)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *list = NULL;
	char		copy[256];
	char	   *host;
	const char *port;
	int			before = b->n,
				rc;
	bool		ok = true;

	strlcpy(copy, element, sizeof(copy));
	port = split(copy, &host);
	hints.ai_flags = AI_NUMERICSERV |
		(host != NULL && *host == '\0' ? AI_PASSIVE : 0);
	rc = getaddrinfo(host != NULL && *host == '\0' ? NULL : host, port, &hints,
					 &list);
	if (rc != 0 || atoi(port) < 1 || atoi(port) > 65535)
	{
		snprintf(b->error, b->error_size,
				 "outbox.http_listen: \"%s\" is neither port nor host:port%s%s",
				 element, rc != 0 ? ": " : "", rc != 0 ? gai_strerror(rc) : "");
		if (list != NULL)
			freeaddrinfo(list);
		return false;
	}
	for (struct addrinfo *i = list; ok && i != NULL; i = i->ai_next)
		ok = bind_one(b, i, element);
	freeaddrinfo(list);
	return ok && b->n > before;
}

int
outbox_listen(int *sockets, bool *loopback, char *error, size_t error_size)
{
	Bound		b = {sockets, loopback, 0, error, error_size};
	char	   *list = pstrdup(outbox_http_settings.listen);

	for (char *element = strtok(list, ", \t\n"); element != NULL;
		 element = strtok(NULL, ", \t\n"))
	{
		if (!bind_element(&b, element))
		{
			while (b.n > 0)
				close(sockets[--b.n]);
			return -1;
		}
	}
	pfree(list);
	if (b.n == 0)
	{
		strlcpy(error, "outbox.http_listen names no address", error_size);
		return -1;
	}
	return b.n;
}
