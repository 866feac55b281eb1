/*-------------------------------------------------------------------------
 *
 * registry_http.c
 *		One HTTP request to a schema registry, with failover.
 *
 * Owns a curl handle and the credentials.  Whoever answers is not trusted:
 *
 *	addresses	http and https only; the address that is connected to is vetted
 *				(registry_address.c); no redirect is followed; no proxy is
 *				taken from the environment
 *	size		1 MB of body, 64 kB of headers, then the connection is closed
 *	time		3 s to connect, 5 s for everything, by server
 *	TLS			1.2 or later, certificate and name are checked
 *	secrets		go to these addresses only, never over plain http unless
 *				allowed, never into a message
 *
 * Servers are asked in turn, beginning with the one that answered last, as long
 * as they do not answer, or say that they cannot now (5xx, 429, 408).  A
 * certificate that is not right, a redirect or an answer out of bounds is no
 * answer either; the last one of the list decides what is reported, but a thing
 * that a person must mend is preferred.  Repeating is the caller's.
 *
 * Used by one thread at a time.  curl's own threads do no more than look up
 * names, so that a slow resolver is bounded like everything else.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-kafka/registry_http.h"

#include "common/base64.h"

#include <curl/curl.h>
#include <unistd.h>

#define CONNECT_TIMEOUT	3000L	/* ms */
#define TOTAL_TIMEOUT	5000L
#define MAX_HEADERS		(64 * 1024)
#define MAX_SERVERS		16
#define MIN_SECRET		4		/* shorter ones are not looked for in texts */

#define ALLOW_PLAINTEXT	"outbox.allow.registry.plaintext"
#define KEY(name)		"schema.registry." name

typedef struct Server
{
	char	   *base;			/* without a slash at the end */
	char	   *name;			/* HOST:PORT */
	bool		tls;
} Server;

struct OutboxRegistryHttp
{
	CURL	   *curl;
	const OutboxKafkaConfig *config;
	Server		servers[MAX_SERVERS];
	int			count;
	int			current;		/* answered last */
	struct curl_slist *headers;
};

/* What one transfer's callbacks share. */
typedef struct Transfer
{
	StringInfo	body;
	size_t		header_bytes;
	bool		too_large;
	bool		refused;		/* the address */
} Transfer;

/* ---- settings --------------------------------------------------------- */

static const char *
setting(const OutboxRegistryHttp *http, const char *name)
{
	const char *value = outbox_config_get(http->config, name);

	return value != NULL && value[0] != '\0' ? value : NULL;
}

/* A part of a URL as a palloc'd string, NULL when it has none. */
static char *
url_part(CURLU *url, CURLUPart part, unsigned int flags)
{
	char	   *text;
	char	   *copy;

	if (curl_url_get(url, part, &text, flags) != CURLUE_OK)
		return NULL;
	copy = pstrdup(text);
	curl_free(text);
	return copy;
}

/*
 * The address is not repeated in messages: somebody may have put a password
 * into it.
 */
static const char *
take_url(Server *server, CURLU *url, const char *text)
{
	char	   *scheme,
			   *host,
			   *port,
			   *path;
	size_t		len;

	if (curl_url_set(url, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK)
		return "is no URL";
	scheme = url_part(url, CURLUPART_SCHEME, 0);
	if (scheme == NULL || (strcmp(scheme, "http") != 0 &&
						   strcmp(scheme, "https") != 0))
		return "is neither http nor https";
	if (url_part(url, CURLUPART_USER, 0) != NULL ||
		url_part(url, CURLUPART_PASSWORD, 0) != NULL)
		return "holds credentials; set " KEY("basic.auth.user.info")
			" in the properties file";
	if (url_part(url, CURLUPART_QUERY, 0) != NULL ||
		url_part(url, CURLUPART_FRAGMENT, 0) != NULL)
		return "holds a query or a fragment";
	host = url_part(url, CURLUPART_HOST, 0);
	port = url_part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT);
	path = url_part(url, CURLUPART_PATH, 0);
	if (host == NULL || port == NULL || path == NULL)
		return "is no URL";
	for (len = strlen(path); len > 0 && path[len - 1] == '/'; len--)
		path[len - 1] = '\0';
	server->tls = strcmp(scheme, "https") == 0;
	server->name = psprintf("%.100s:%s", host, port);
	server->base = psprintf("%s://%s:%s%s", scheme, host, port, path);
	return NULL;
}

static bool
take_urls(OutboxRegistryHttp *http, const char *list, OutboxResult *result)
{
	char	   *copy = pstrdup(list);
	char	   *rest = copy;
	const char *wrong = NULL;
	int			number = 0;

	for (char *item; wrong == NULL && (item = strsep(&rest, ",")) != NULL;)
	{
		CURLU	   *url = curl_url();

		number++;
		item += strspn(item, " \t");
		item[strcspn(item, " \t")] = '\0';
		if (http->count == MAX_SERVERS)
			wrong = "is one too many";
		else
			wrong = take_url(&http->servers[http->count++], url, item);
		curl_url_cleanup(url);
	}
	pfree(copy);
	if (wrong != NULL)
		outbox_result_set(result, OUTBOX_CONFIG, 0,
						  "address %d of the schema registry %s", number,
						  wrong);
	return wrong == NULL;
}

static bool
check_secrets(OutboxRegistryHttp *http, OutboxResult *result)
{
	const char *user = setting(http, KEY("basic.auth.user.info"));
	const char *token = setting(http, KEY("bearer.auth.token"));
	const char *allow = setting(http, ALLOW_PLAINTEXT);
	const char *wrong = NULL;

	if (user != NULL && token != NULL)
		wrong = KEY("basic.auth.user.info") " and "
			KEY("bearer.auth.token") " cannot both be set";
	else if (user != NULL && strchr(user, ':') == NULL)
		wrong = KEY("basic.auth.user.info") " must be USER:PASSWORD";
	for (int i = 0; wrong == NULL && i < http->count; i++)
		if ((user != NULL || token != NULL) && !http->servers[i].tls &&
			(allow == NULL || strcmp(allow, "true") != 0))
			wrong = "credentials of the schema registry would cross an "
				"unencrypted connection; use https, or set "
				ALLOW_PLAINTEXT "=true";
	if (wrong != NULL)
		outbox_result_set(result, OUTBOX_CONFIG, 0, "%s", wrong);
	return wrong == NULL;
}

/* curl would say no more than that it failed. */
static bool
check_file(OutboxRegistryHttp *http, const char *name, OutboxResult *result)
{
	const char *path = setting(http, name);

	if (path == NULL || access(path, R_OK) == 0)
		return true;
	outbox_result_set(result, OUTBOX_CONFIG, 0,
					  "could not read the file that property \"%s\" names",
					  name);
	return false;
}

/* ---- callbacks of curl ------------------------------------------------ */

static size_t
take_body(char *data, size_t size, size_t n, void *arg)
{
	Transfer   *transfer = arg;

	if (n > OUTBOX_REGISTRY_MAX_BODY - transfer->body->len)
	{
		transfer->too_large = true;
		return 0;
	}
	appendBinaryStringInfo(transfer->body, data, (int) n);
	return n;
}

static size_t
take_header(char *data, size_t size, size_t n, void *arg)
{
	Transfer   *transfer = arg;

	transfer->header_bytes += n;
	if (transfer->header_bytes <= MAX_HEADERS)
		return n;
	transfer->too_large = true;
	return 0;
}

static curl_socket_t
open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	Transfer   *transfer = arg;

	if (purpose != CURLSOCKTYPE_IPCXN ||
		outbox_registry_address_refused(&address->addr))
	{
		transfer->refused = true;
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC,
				  address->protocol);
}

/* ---- the handle ------------------------------------------------------- */

static void
set_protocols(CURL *curl)
{
#if LIBCURL_VERSION_NUM >= 0x075500
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
#else
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS,
					 (long) (CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
}

static void
set_credentials(OutboxRegistryHttp *http)
{
	CURL	   *curl = http->curl;
	const char *user = setting(http, KEY("basic.auth.user.info"));
	const char *token = setting(http, KEY("bearer.auth.token"));
	const char *value;

	if (user != NULL)
	{
		curl_easy_setopt(curl, CURLOPT_HTTPAUTH, (long) CURLAUTH_BASIC);
		curl_easy_setopt(curl, CURLOPT_USERPWD, user);
	}
	if (token != NULL)
	{
		curl_easy_setopt(curl, CURLOPT_HTTPAUTH, (long) CURLAUTH_BEARER);
		curl_easy_setopt(curl, CURLOPT_XOAUTH2_BEARER, token);
	}
	if ((value = setting(http, KEY("ssl.ca.location"))) != NULL)
	{
		curl_easy_setopt(curl, CURLOPT_CAINFO, value);
		curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);	/* this one alone */
	}
	if ((value = setting(http, KEY("ssl.certificate.location"))) != NULL)
		curl_easy_setopt(curl, CURLOPT_SSLCERT, value);
	if ((value = setting(http, KEY("ssl.key.location"))) != NULL)
		curl_easy_setopt(curl, CURLOPT_SSLKEY, value);
	if ((value = setting(http, KEY("ssl.key.password"))) != NULL)
		curl_easy_setopt(curl, CURLOPT_KEYPASSWD, value);
}

static bool
prepare(OutboxRegistryHttp *http)
{
	CURL	   *curl = http->curl = curl_easy_init();

	http->headers = curl_slist_append(NULL,
									  "Accept: application/vnd.schemaregistry.v1+json, application/json");
	http->headers = curl_slist_append(http->headers,
									  "Content-Type: application/vnd.schemaregistry.v1+json");
	http->headers = curl_slist_append(http->headers, "Expect:");
	if (curl == NULL || http->headers == NULL)
		return false;
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");	/* also none of the
												 * environment */
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(curl, CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, TOTAL_TIMEOUT);
	curl_easy_setopt(curl, CURLOPT_MAXFILESIZE,
					 (long) OUTBOX_REGISTRY_MAX_BODY);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, http->headers);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "outbox-kafka");
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	set_protocols(curl);
	set_credentials(http);
	return true;
}

OutboxRegistryHttp *
outbox_registry_http_new(const OutboxKafkaConfig *config,
						 OutboxResult *result)
{
	OutboxRegistryHttp *http = palloc0(sizeof(OutboxRegistryHttp));
	const char *list;

	http->config = config;
	outbox_result_ok(result);
	if ((list = setting(http, OUTBOX_REGISTRY_URL)) == NULL)
	{
		pfree(http);
		return NULL;
	}
	curl_global_init(CURL_GLOBAL_DEFAULT);
	if (take_urls(http, list, result) && check_secrets(http, result) &&
		check_file(http, KEY("ssl.ca.location"), result) &&
		check_file(http, KEY("ssl.certificate.location"), result) &&
		check_file(http, KEY("ssl.key.location"), result))
	{
		if (prepare(http))
			return http;
		outbox_result_set(result, OUTBOX_UNKNOWN, 0,
						  "could not start the HTTP client");
	}
	outbox_registry_http_free(http);
	return NULL;
}

void
outbox_registry_http_free(OutboxRegistryHttp *http)
{
	if (http->curl != NULL)
		curl_easy_cleanup(http->curl);
	curl_slist_free_all(http->headers);
	pfree(http);
}

/* ---- asking ----------------------------------------------------------- */

/* Whether a person must mend it before it can work. */
static OutboxResultClass
class_of_failure(CURLcode code)
{
	switch (code)
	{
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_CERTPROBLEM:
		case CURLE_SSL_CACERT_BADFILE:
		case CURLE_SSL_CIPHER:
		case CURLE_SSL_ISSUER_ERROR:
		case CURLE_SSL_ENGINE_NOTFOUND:
		case CURLE_UNSUPPORTED_PROTOCOL:
		case CURLE_LOGIN_DENIED:
			return OUTBOX_CONFIG;
		default:
			return OUTBOX_RETRY;
	}
}

static void
judge_failure(const Server *server, CURLcode code, const char *text,
			  const Transfer *transfer, OutboxResult *result)
{
	if (transfer->refused)
		outbox_result_set(result, OUTBOX_CONFIG, 0,
						  "schema registry %s: its address is one that is "
						  "never connected to (link-local or the like)",
						  server->name);
	else if (transfer->too_large || code == CURLE_FILESIZE_EXCEEDED)
		outbox_result_set(result, OUTBOX_RETRY, 0,
						  "schema registry %s: the answer is larger than "
						  "%d kB", server->name,
						  OUTBOX_REGISTRY_MAX_BODY / 1024);
	else
		outbox_result_set(result, class_of_failure(code), 0,
						  "schema registry %s: %s", server->name,
						  text[0] != '\0' ? text : curl_easy_strerror(code));
}

/* Whether a status is something to work with. */
static bool
judge_status(const Server *server, long status, OutboxResult *result)
{
	if ((status >= 200 && status <= 299) ||
		(status >= 400 && status <= 499 && status != 408 && status != 429))
		return true;
	if (status >= 300 && status <= 399)
		outbox_result_set(result, OUTBOX_CONFIG, (int32) status,
						  "schema registry %s answers with a redirect "
						  "(status %ld), which is not followed",
						  server->name, status);
	else
		outbox_result_set(result, OUTBOX_RETRY, (int32) status,
						  "schema registry %s answers with status %ld",
						  server->name, status);
	return false;
}

static bool
ask_one(OutboxRegistryHttp *http, const Server *server, const char *method,
		const char *path, const char *body, OutboxRegistryAnswer *answer,
		OutboxResult *result)
{
	CURL	   *curl = http->curl;
	Transfer	transfer = {.body = &answer->body};
	char	   *url = psprintf("%s%s", server->base, path);
	char		text[CURL_ERROR_SIZE] = "";
	long		status = 0;
	CURLcode	code;

	resetStringInfo(&answer->body);
	snprintf(answer->server, sizeof(answer->server), "%s", server->name);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	if (body != NULL)
	{
		curl_easy_setopt(curl, CURLOPT_POST, 1L);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
						 (curl_off_t) strlen(body));
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
	}
	else
		curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
	curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, &transfer);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, text);
	code = curl_easy_perform(curl);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, NULL);
	pfree(url);
	if (code != CURLE_OK)
	{
		judge_failure(server, code, text, &transfer, result);
		return false;
	}
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	answer->status = (int) status;
	return judge_status(server, status, result);
}

bool
outbox_registry_http_ask(OutboxRegistryHttp *http, const char *method,
						 const char *path, const char *body,
						 OutboxRegistryAnswer *answer, OutboxResult *result)
{
	int			first = http->current;

	initStringInfo(&answer->body);
	answer->status = 0;
	outbox_result_ok(result);
	for (int i = 0; i < http->count; i++)
	{
		int			n = (first + i) % http->count;
		OutboxResult one;

		if (ask_one(http, &http->servers[n], method, path, body, answer,
					&one))
		{
			http->current = n;
			outbox_result_ok(result);
			return true;
		}
		if (result->class != OUTBOX_CONFIG)
			*result = one;
	}
	outbox_registry_http_mask(http, result->message);
	return false;
}

/* ---- secrets ---------------------------------------------------------- */

static void
mask_one(char *text, const char *secret)
{
	size_t		len = secret == NULL ? 0 : strlen(secret);

	if (len < MIN_SECRET)
		return;
	for (char *at = text; (at = strstr(at, secret)) != NULL; at += len)
		memset(at, '*', len);
}

void
outbox_registry_http_mask(const OutboxRegistryHttp *http, char *text)
{
	const char *user = setting(http, KEY("basic.auth.user.info"));
	const char *password = user == NULL ? NULL : strchr(user, ':');

	mask_one(text, setting(http, KEY("bearer.auth.token")));
	mask_one(text, setting(http, KEY("ssl.key.password")));
	mask_one(text, password == NULL ? NULL : password + 1);
	if (user != NULL)
	{
		int			len = (int) strlen(user);
		int			space = pg_b64_enc_len(len);
		char	   *encoded = palloc0(space + 1);

		if (pg_b64_encode((const void *) user, len, encoded, space) > 0)
			mask_one(text, encoded);
		explicit_bzero(encoded, space);
		pfree(encoded);
	}
}
