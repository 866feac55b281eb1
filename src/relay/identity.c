/*-------------------------------------------------------------------------
 *
 * identity.c
 *		Which copy of the data this is.
 *
 * A copied data directory that is started elsewhere has the same system
 * identifier; the host identity tells it from the original: the setting
 * outbox.host_identity or, without it, machine id and data directory.  It is
 * kept hashed, so that the position topic says nothing about the host.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "guc.h"
#include "miscadmin.h"
#include "relay/relay.h"

static void
read_machine_id(char *id, size_t size)
{
	int			fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC);
	ssize_t		n = -1;

	if (fd >= 0)
	{
		n = read(fd, id, size - 1);
		close(fd);
	}
	id[Max(n, 0)] = '\0';
	if (n <= 0 && gethostname(id, size) != 0)
		id[0] = '\0';
}

void
outbox_identity(uint8 host[OUTBOX_IDENTITY_SIZE])
{
	pg_cryptohash_ctx *ctx = pg_cryptohash_create(PG_SHA256);
	uint8		digest[PG_SHA256_DIGEST_LENGTH];
	char		text[MAXPGPATH + 256];

	if (outbox_host_identity[0] != '\0')
		strlcpy(text, outbox_host_identity, sizeof(text));
	else
	{
		char		machine[128];

		read_machine_id(machine, sizeof(machine));
		snprintf(text, sizeof(text), "%s\n%s", machine, DataDir);
	}
	if (ctx == NULL || pg_cryptohash_init(ctx) < 0 ||
		pg_cryptohash_update(ctx, (uint8 *) text, strlen(text)) < 0 ||
		pg_cryptohash_final(ctx, digest, sizeof(digest)) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute the host identity")));
	pg_cryptohash_free(ctx);
	memcpy(host, digest, OUTBOX_IDENTITY_SIZE);
}
