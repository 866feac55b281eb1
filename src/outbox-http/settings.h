/*-------------------------------------------------------------------------
 *
 * settings.h
 *		What the launcher and the properties file say.  Read once, at start;
 *		never changed after.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_HTTP_SETTINGS_H
#define OUTBOX_HTTP_SETTINGS_H

#include "base/base.h"

#define OUTBOX_MAX_DATABASES	16
#define OUTBOX_MAX_USERS		64

typedef struct OutboxHttpUser
{
	char	   *name;
	char	   *secret;			/* plain, or SCRAM-SHA-256$... */
	bool		writes;			/* may change schemas, if anybody may */
} OutboxHttpUser;

typedef struct OutboxHttpSettings
{
	/* from the launcher */
	char	   *listen;
	char	   *conninfo;
	char	   *config_file;
	char	   *host;			/* the server's, for want of a conninfo */
	char	   *port;
	bool		writes;
	char	   *databases[OUTBOX_MAX_DATABASES];	/* first = at the root; NULL
													 * = conninfo's */
	int			ndatabases;

	/* from the properties file */
	OutboxHttpUser users[OUTBOX_MAX_USERS];
	int			nusers;
	char	   *writers;		/* comma-separated, NULL = every user */
	char	   *tls_certificate;	/* PEM texts, NULL = no TLS */
	char	   *tls_key;
	char	   *tls_certificate_path;
	char	   *tls_key_path;
	char	   *database_password;
	bool		allow_anonymous;	/* on other than loopback addresses */
} OutboxHttpSettings;

extern OutboxHttpSettings outbox_http_settings;

/* From the launcher's block of names and values.  False: error says why. */
extern bool outbox_settings_take(char *block, size_t len,
								 char *error, size_t error_size);

/* The properties file, if there is one, and what it names. */
extern bool outbox_settings_read_file(char *error, size_t error_size);

/* Whether one of those files is another than the one that was read. */
extern bool outbox_settings_stale(void);

#endif							/* OUTBOX_HTTP_SETTINGS_H */
