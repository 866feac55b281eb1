/*-------------------------------------------------------------------------
 *
 * auth.c
 *		Users and passwords.
 *
 * The file has a password as it is, or its SCRAM-SHA-256 verifier as
 * PostgreSQL writes it into pg_authid (RFC 5803):
 *
 *	SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>
 *
 * To check one takes thousands of hashes, which is what it is for; so a
 * password that was right is remembered as a MAC under a key that this process
 * made up.  Comparisons take the same time whatever differs, and an unknown
 * user takes as long as a known one whose password is wrong.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-http/auth.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <pthread.h>

#include "outbox-http/settings.h"

#define KEY_SIZE		SHA256_DIGEST_LENGTH
#define MAX_SALT		64
#define SALT_SIZE		16
#define ITERATIONS		4096
#define MAX_ITERATIONS	1000000
#define MAX_BASE64		1024	/* of a header */
#define PREFIX			"SCRAM-SHA-256$"

typedef struct Verifier
{
	bool		plain;
	int			iterations;
	uint8		salt[MAX_SALT];
	int			salt_len;
	uint8		key[KEY_SIZE];	/* stored key; plain: MAC of the password */
	bool		known;			/* a password was right, under lock */
	uint8		right[KEY_SIZE];	/* its MAC */
} Verifier;

static Verifier verifiers[OUTBOX_MAX_USERS];
static uint8 process_key[KEY_SIZE];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* One hash at a time: guessing must not take all processors. */
static pthread_mutex_t hashing = PTHREAD_MUTEX_INITIALIZER;

static void
mac(const uint8 *key, const char *text, uint8 out[KEY_SIZE])
{
	unsigned int len = KEY_SIZE;

	(void) HMAC(EVP_sha256(), key, KEY_SIZE, (const unsigned char *) text,
				strlen(text), out, &len);
}

static bool
same(const uint8 *a, const uint8 *b)
{
	return CRYPTO_memcmp(a, b, KEY_SIZE) == 0;
}

/* RFC 5802, section 3: StoredKey. */
static bool
stored_key(const char *password, const uint8 *salt, int salt_len,
		   int iterations, uint8 stored[KEY_SIZE], uint8 server[KEY_SIZE])
{
	uint8		salted[KEY_SIZE],
				client[KEY_SIZE];
	int			done;

	done = PKCS5_PBKDF2_HMAC(password, strlen(password), salt, salt_len,
							 iterations, EVP_sha256(), KEY_SIZE, salted);
	mac(salted, "Client Key", client);
	SHA256(client, KEY_SIZE, stored);
	if (server != NULL)
		mac(salted, "Server Key", server);
	OPENSSL_cleanse(salted, KEY_SIZE);
	OPENSSL_cleanse(client, KEY_SIZE);
	return done == 1;
}

/* Base64 of a known largest size; -1 when it is none. */
static int
decode_base64(const char *text, size_t len, uint8 *out, int max)
{
	uint8		buffer[MAX_BASE64];
	int			n;

	if (len == 0 || len % 4 != 0 || len > MAX_BASE64)
		return -1;
	n = EVP_DecodeBlock(buffer, (const unsigned char *) text, (int) len);
	if (n < 0)
		return -1;
	n -= (text[len - 1] == '=') + (text[len - 2] == '=');
	if (n < 1 || n > max)
		return -1;
	memcpy(out, buffer, n);
	return n;
}

static bool
parse_verifier(const char *text, Verifier *v)
{
	char	   *end;
	const char *salt,
			   *keys,
			   *colon;
	long		iterations;

	iterations = strtol(text + strlen(PREFIX), &end, 10);
	if (*end != ':' || iterations < 1 || iterations > MAX_ITERATIONS)
		return false;
	v->iterations = (int) iterations;
	salt = end + 1;
	if ((keys = strchr(salt, '$')) == NULL ||
		(colon = strchr(keys, ':')) == NULL)
		return false;
	v->salt_len = decode_base64(salt, keys - salt, v->salt, MAX_SALT);
	return v->salt_len > 0 &&
		decode_base64(keys + 1, colon - keys - 1, v->key, KEY_SIZE) == KEY_SIZE;
}

bool
outbox_auth_init(char *error, size_t error_size)
{
	OutboxHttpSettings *s = &outbox_http_settings;

	if (RAND_bytes(process_key, KEY_SIZE) != 1)
	{
		strlcpy(error, "could not get random bytes", error_size);
		return false;
	}
	for (int i = 0; i < s->nusers; i++)
	{
		Verifier   *v = &verifiers[i];
		char	   *secret = s->users[i].secret;

		v->plain = strncmp(secret, PREFIX, strlen(PREFIX)) != 0;
		if (v->plain)
			mac(process_key, secret, v->key);
		else if (!parse_verifier(secret, v))
		{
			snprintf(error, error_size,
					 "the password of user \"%.100s\" in \"%s\" is a damaged SCRAM-SHA-256 verifier",
					 s->users[i].name, s->config_file);
			return false;
		}
		OPENSSL_cleanse(secret, strlen(secret));
	}
	return true;
}

bool
outbox_auth_required(void)
{
	return outbox_http_settings.nusers > 0;
}

static OutboxAuth
check_hash(Verifier *v, const char *password, const uint8 *guess, bool real)
{
	uint8		stored[KEY_SIZE];
	bool		right;

	pthread_mutex_lock(&hashing);
	right = stored_key(password, v->salt, v->salt_len, v->iterations, stored,
					   NULL) && same(stored, v->key) && real;
	pthread_mutex_unlock(&hashing);
	if (!right)
		return OUTBOX_AUTH_NO;
	pthread_mutex_lock(&lock);
	v->known = true;
	memcpy(v->right, guess, KEY_SIZE);
	pthread_mutex_unlock(&lock);
	return OUTBOX_AUTH_YES;
}

OutboxAuth
outbox_auth_check(const char *name, const char *password, bool slow,
				  int *user)
{
	OutboxHttpSettings *s = &outbox_http_settings;
	Verifier   *v = NULL;
	uint8		guess[KEY_SIZE];
	bool		right = false,
				real = true;

	*user = -1;
	mac(process_key, password, guess);
	for (int i = 0; i < s->nusers; i++)
	{
		if (strcmp(s->users[i].name, name) == 0)
		{
			v = &verifiers[i];
			*user = i;
		}
	}
	if (v == NULL)
	{
		/* as long as for somebody who is there */
		v = &verifiers[0];
		real = false;
	}
	if (v->plain)
		return same(guess, v->key) && real ? OUTBOX_AUTH_YES : OUTBOX_AUTH_NO;
	pthread_mutex_lock(&lock);
	right = v->known && same(guess, v->right) && real;
	pthread_mutex_unlock(&lock);
	if (right)
		return OUTBOX_AUTH_YES;
	return slow ? check_hash(v, password, guess, real) : OUTBOX_AUTH_SLOW;
}

char *
outbox_auth_parse(const char *header, const char **password)
{
	char	   *text;
	char	   *colon = NULL;
	int			n;

	if (header == NULL || strncasecmp(header, "Basic ", 6) != 0)
		return NULL;
	header += 6;
	header += strspn(header, " ");
	text = calloc(1, MAX_BASE64);
	if (text == NULL)
		return NULL;
	n = decode_base64(header, strlen(header), (uint8 *) text, MAX_BASE64 - 1);
	if (n > 0 && memchr(text, '\0', n) == NULL)
		colon = strchr(text, ':');
	if (colon == NULL)
	{
		free(text);
		return NULL;
	}
	*colon = '\0';
	*password = colon + 1;
	return text;
}

char *
outbox_auth_hash(const char *password)
{
	uint8		salt[SALT_SIZE],
				stored[KEY_SIZE],
				server[KEY_SIZE];
	char		salt64[32],
				stored64[64],
				server64[64];

	if (RAND_bytes(salt, SALT_SIZE) != 1 ||
		!stored_key(password, salt, SALT_SIZE, ITERATIONS, stored, server))
		return NULL;
	EVP_EncodeBlock((unsigned char *) salt64, salt, SALT_SIZE);
	EVP_EncodeBlock((unsigned char *) stored64, stored, KEY_SIZE);
	EVP_EncodeBlock((unsigned char *) server64, server, KEY_SIZE);
	return psprintf("%s%d:%s$%s:%s", PREFIX, ITERATIONS, salt64, stored64,
					server64);
}
