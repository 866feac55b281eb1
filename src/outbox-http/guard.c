/*-------------------------------------------------------------------------
 *
 * guard.c
 *		Requests that somebody's browser makes without being asked to.
 *
 * A server on localhost can be reached by every page that a browser on this
 * machine shows.  Two rules shut them out and no other client:
 *
 *	change with an Origin that is not the Host	refused (a page of another site)
 *	loopback without users						Host must be an address,
 *												localhost or a name of
 *												outbox.http_listen (a name that
 *												was made to resolve to us)
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-http/server.h"

#include <arpa/inet.h>

#include "outbox-http/settings.h"

/* Length of "name" in "name:port" or "[address]:port". */
static size_t
name_length(const char *host)
{
	if (*host == '[')
		return strcspn(host, "]") + (strchr(host, ']') != NULL);
	return strcspn(host, ":");
}

/* Whether outbox.http_listen has it as a host. */
static bool
listens_as(const char *name, size_t len)
{
	const char *p = outbox_http_settings.listen;

	while (*p != '\0')
	{
		p += strspn(p, ", \t\n");
		if (strncasecmp(p, name, len) == 0 && p[len] == ':')
			return true;
		p += strcspn(p, ", \t\n");
	}
	return false;
}

static bool
is_local_name(const char *host)
{
	size_t		len = name_length(host);
	char		copy[64];
	struct in_addr address;

	if (len == 0 || len > 255)
		return false;
	if (*host == '[')
		return true;
	if (len == 9 && strncasecmp(host, "localhost", 9) == 0)
		return true;
	if (len > 10 && strncasecmp(host + len - 10, ".localhost", 10) == 0)
		return true;
	if (len < sizeof(copy))
	{
		memcpy(copy, host, len);
		copy[len] = '\0';
		if (inet_pton(AF_INET, copy, &address) == 1)
			return true;
	}
	return listens_as(host, len);
}

bool
outbox_guard(OutboxMethod method, bool loopback, const char *host,
			 const char *origin)
{
	if (loopback && outbox_http_settings.nusers == 0 && host != NULL &&
		*host != '\0' && !is_local_name(host))
		return false;
	if (origin != NULL && method != OUTBOX_GET)
	{
		const char *site = strstr(origin, "://");

		return site != NULL && host != NULL && strcasecmp(site + 3, host) == 0;
	}
	return true;
}
