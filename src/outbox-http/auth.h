/*-------------------------------------------------------------------------
 *
 * auth.h
 *		Users and passwords.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_HTTP_AUTH_H
#define OUTBOX_HTTP_AUTH_H

#include "base/base.h"

typedef enum OutboxAuth
{
	OUTBOX_AUTH_NO,
	OUTBOX_AUTH_YES,
	OUTBOX_AUTH_SLOW			/* a hash must be computed to know */
} OutboxAuth;

/* Once: check the secrets of the settings.  False: error says why. */
extern bool outbox_auth_init(char *error, size_t error_size);

/* Whether there are users at all; without, everybody may come in. */
extern bool outbox_auth_required(void);

/*
 * Whether this is the password of that user, whose index is set.  With "slow"
 * false no hash is computed; a password that was right before is known.
 */
extern OutboxAuth outbox_auth_check(const char *name, const char *password,
									bool slow, int *user);

/*
 * User and password of an Authorization header (RFC 7617), in one malloc'd
 * text: the password follows the user's zero byte.  NULL when it has none.
 */
extern char *outbox_auth_parse(const char *header, const char **password);

/* A line for the properties file, palloc'd; NULL without random bytes. */
extern char *outbox_auth_hash(const char *password);

#endif							/* OUTBOX_HTTP_AUTH_H */
