/*-------------------------------------------------------------------------
 *
 * registry_address.c
 *		Addresses that no registry can have.
 *
 * Link-local addresses, where cloud providers answer requests for a machine's
 * own credentials, and the few other addresses known to do the same.  Checked
 * on the address that is about to be connected to, after names were resolved,
 * so that no name can change its meaning in between.  Owns no state.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-kafka/registry_http.h"

#include <netinet/in.h>

static bool
refused_v4(uint32 address)
{
	return (address & 0xFFFF0000U) == 0xA9FE0000U ||	/* 169.254.0.0/16 */
		address == 0x646464C8U ||	/* 100.100.100.200 */
		address == INADDR_ANY ||
		IN_MULTICAST(address) || address == INADDR_BROADCAST;
}

static uint32
last_four(const uint8 *bytes)
{
	return (uint32) bytes[12] << 24 | (uint32) bytes[13] << 16 |
		(uint32) bytes[14] << 8 | bytes[15];
}

bool
outbox_registry_address_refused(const struct sockaddr *address)
{
	static const uint8 metadata[16] = {0xfd, 0x00, 0x0e, 0xc2, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0x02, 0x54};
	static const uint8 nat64[12] = {0x00, 0x64, 0xff, 0x9b};
	const struct in6_addr *six;

	if (address->sa_family == AF_INET)
		return refused_v4(ntohl(((const struct sockaddr_in *) address)->sin_addr.s_addr));
	if (address->sa_family != AF_INET6)
		return true;
	six = &((const struct sockaddr_in6 *) address)->sin6_addr;
	if (IN6_IS_ADDR_V4MAPPED(six) || memcmp(six->s6_addr, nat64, 12) == 0)
		return refused_v4(last_four(six->s6_addr));
	return IN6_IS_ADDR_LINKLOCAL(six) || IN6_IS_ADDR_MULTICAST(six) ||
		IN6_IS_ADDR_UNSPECIFIED(six) ||
		memcmp(six->s6_addr, metadata, sizeof(metadata)) == 0;
}
