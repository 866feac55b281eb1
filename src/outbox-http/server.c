/*-------------------------------------------------------------------------
 *
 * server.c
 *		Connections of clients: libmicrohttpd's daemons and what they call.
 *
 * One thread per address serves all its connections and never waits: what
 * needs the database is handed to a worker and the connection suspended until
 * it is done, so answers from memory are given however slow the database is.
 *
 * An Exchange is one request and its answer.  It lives from the request's
 * first line to MHD's notice of completion, which comes in every case, also
 * when the client went away.
 *
 * What a client can make us hold is bounded: connections, bytes of a head and
 * of a body, bytes of all bodies together, and time.  The time from one
 * answer's end to the next one's is limited as a whole, so that sending or
 * taking a byte now and then does not help; when most connections that an
 * address has are taken, that limit is short.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-http/server.h"

#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "outbox-http/auth.h"
#include "outbox-http/counters.h"
#include "outbox-http/log.h"
#include "outbox-http/routes.h"
#include "outbox-http/settings.h"

#define MAX_CONNECTIONS	512
#define MAX_HEAD		(24 * 1024) /* request line and headers */
#define MAX_BODIES		(64 * 1024 * 1024)	/* all together */
#define IDLE_TIME		30		/* s */
#define EXCHANGE_TIME	60000	/* ms */
#define CROWDED_TIME	3000	/* ms */
#define GONE_TIME		4000	/* ms, when the client sends no more */
#define STOP_TIME		1000	/* ms */

typedef struct Connection
{
	struct Connection *next,
			   *prev;
	int			fd;
	_Atomic int64 since;		/* last answer's end, monotonic ms */
	_Atomic bool working;		/* a worker has its request */
} Connection;

typedef enum ExchangeState
{
	EXCHANGE_NEW,
	EXCHANGE_BODY,				/* admitted; its body is read */
	EXCHANGE_WORKING,			/* with a worker, suspended */
	EXCHANGE_ANSWERED
} ExchangeState;

typedef struct Exchange
{
	OutboxJob	job;			/* must be first */
	OutboxRequest request;
	struct MHD_Connection *mhd;
	Connection *connection;
	const OutboxRoute *route;
	ExchangeState state;
	size_t		taken;			/* bytes of its body that came */
	size_t		held;			/* of them, counted in body_bytes */
	char	   *user;			/* to be checked by a worker, else NULL */
	const char *password;
} Exchange;

typedef struct Listener
{
	struct MHD_Daemon *daemon;
	bool		loopback;
} Listener;

static Listener listeners[OUTBOX_MAX_LISTENERS];
static int	nlisteners;

/* All connections; the lock also keeps their sockets from being closed. */
static Connection *connections;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static Connection *
connection_of(struct MHD_Connection *mhd)
{
	return MHD_get_connection_info(mhd,
								   MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

static int
socket_of(struct MHD_Connection *mhd)
{
	return MHD_get_connection_info(mhd,
								   MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
}

static void
connection_changed(void *cls, struct MHD_Connection *mhd, void **context,
				   enum MHD_ConnectionNotificationCode what)
{
	Connection *c;

	if (what == MHD_CONNECTION_NOTIFY_STARTED)
	{
		c = palloc0(sizeof(Connection));
		c->fd = socket_of(mhd);
		c->since = outbox_monotonic_ms();
		*context = c;
		pthread_mutex_lock(&lock);
		c->next = connections;
		if (connections != NULL)
			connections->prev = c;
		connections = c;
		pthread_mutex_unlock(&lock);
		atomic_fetch_add(&outbox_counters.connections, 1);
		atomic_fetch_add(&outbox_counters.accepted, 1);
		return;
	}
	c = *context;
	pthread_mutex_lock(&lock);
	*(c->prev != NULL ? &c->prev->next : &connections) = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	pthread_mutex_unlock(&lock);
	pfree(c);
	atomic_fetch_sub(&outbox_counters.connections, 1);
}

/*
 * Whether the client has closed its side.  MHD keeps a connection that ended
 * within a request's head until it is idle for too long.
 */
static bool
sends_no_more(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLRDHUP};

	return poll(&p, 1, 0) == 1;
}

void
outbox_server_expire(void)
{
	int64		now = outbox_monotonic_ms();
	unsigned long crowd = MAX_CONNECTIONS / nlisteners * 3 / 4;
	int64		limit = atomic_load(&outbox_counters.connections) > crowd ?
		CROWDED_TIME : EXCHANGE_TIME;

	pthread_mutex_lock(&lock);
	for (Connection *c = connections; c != NULL; c = c->next)
	{
		int64		age = now - c->since;

		if (!c->working &&
			(age > limit || (age > GONE_TIME && sends_no_more(c->fd))))
		{
			/* its thread sees the end of it and closes it */
			shutdown(c->fd, SHUT_RDWR);
			c->since = now;
			atomic_fetch_add(&outbox_counters.expired, 1);
		}
	}
	pthread_mutex_unlock(&lock);
}

/* ---- one exchange ---- */

/* The request line is there, as the client sent it. */
static void *
begin(void *cls, const char *target, struct MHD_Connection *mhd)
{
	Exchange   *e = palloc0(sizeof(Exchange));

	e->mhd = mhd;
	outbox_request_init(&e->request);
	(void) outbox_request_parse(&e->request, target);
	return e;
}

static void
release_body(Exchange *e)
{
	atomic_fetch_sub(&outbox_counters.body_bytes, e->held);
	e->held = 0;
}

static void
complete(void *cls, struct MHD_Connection *mhd, void **context,
		 enum MHD_RequestTerminationCode code)
{
	Exchange   *e = *context;

	if (e == NULL)
		return;
	*context = NULL;
	if (e->connection != NULL)
		e->connection->since = outbox_monotonic_ms();
	release_body(e);
	if (e->user != NULL)
	{
		explicit_bzero((char *) e->password, strlen(e->password));
		free(e->user);
	}
	outbox_request_free(&e->request);
	pfree(e);
}

static enum MHD_Result
respond(Exchange *e)
{
	OutboxRequest *r = &e->request;
	struct MHD_Response *response;
	enum MHD_Result rc;

	e->state = EXCHANGE_ANSWERED;
	response = MHD_create_response_from_buffer(r->answer_len,
											   r->answer == NULL ? "" : r->answer,
											   r->answer == NULL ?
											   MHD_RESPMEM_PERSISTENT :
											   MHD_RESPMEM_MUST_FREE);
	if (response == NULL)
		return MHD_NO;
	r->answer = NULL;
	MHD_add_response_header(response, "Content-Type",
							outbox_media_name(r->media));
	MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	if (r->allow != NULL)
		MHD_add_response_header(response, "Allow", r->allow);
	if (r->status == 401)
		MHD_add_response_header(response, "WWW-Authenticate",
								"Basic realm=\"outbox\", charset=\"UTF-8\"");
	if (r->status == 503)
		MHD_add_response_header(response, "Retry-After", "1");
	outbox_count_answer(r->status);
	rc = MHD_queue_response(e->mhd, r->status, response);
	MHD_destroy_response(response);
	return rc;
}

static const char *
header(Exchange *e, const char *name)
{
	return MHD_lookup_connection_value(e->mhd, MHD_HEADER_KIND, name);
}

static OutboxMethod
parse_method(const char *method)
{
	if (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0)
		return OUTBOX_GET;
	if (strcmp(method, "POST") == 0)
		return OUTBOX_POST;
	if (strcmp(method, "PUT") == 0)
		return OUTBOX_PUT;
	return strcmp(method, "DELETE") == 0 ? OUTBOX_DELETE : OUTBOX_OTHER_METHOD;
}

static void
refuse_user(OutboxRequest *request)
{
	static _Atomic int64 last_said;
	int64		now = outbox_monotonic_ms();

	atomic_fetch_add(&outbox_counters.bad_passwords, 1);
	if (now - last_said > 1000)
	{
		last_said = now;
		outbox_log(OUTBOX_LOG_INFO, "wrong user or password");
	}
	outbox_answer_error(request, 401, "HTTP 401 Unauthorized");
}

/* What a known user may do; false, and an answer, if not this. */
static bool
permit(Exchange *e, int user)
{
	if (!(e->route->flags & OUTBOX_ROUTE_WRITES) ||
		outbox_http_settings.users[user].writes)
		return true;
	outbox_answer_error(&e->request, 40301, "user \"%s\" may only read",
						outbox_http_settings.users[user].name);
	return false;
}

/*
 * False, and an answer, when there is no way in.  A password whose hash has to
 * be computed is kept for a worker.
 */
static bool
authenticate(Exchange *e)
{
	const char *text;
	int			user;

	if (!outbox_auth_required() || (e->route->flags & OUTBOX_ROUTE_OPEN))
		return true;
	text = header(e, "Authorization");
	e->user = outbox_auth_parse(text, &e->password);
	if (e->user == NULL)
	{
		if (text != NULL)
			refuse_user(&e->request);
		else
			outbox_answer_error(&e->request, 401, "HTTP 401 Unauthorized");
		return false;
	}
	switch (outbox_auth_check(e->user, e->password, false, &user))
	{
		case OUTBOX_AUTH_SLOW:
			return true;
		case OUTBOX_AUTH_YES:
			explicit_bzero((char *) e->password, strlen(e->password));
			free(e->user);
			e->user = NULL;
			return permit(e, user);
		default:
			refuse_user(&e->request);
			return false;
	}
}

/* The head is there: may the rest come?  False, and an answer, if not. */
static bool
admit(Exchange *e, const Listener *listener, const char *method)
{
	OutboxRequest *r = &e->request;
	const char *length = header(e, "Content-Length");

	e->connection = connection_of(e->mhd);
	r->method = parse_method(method);
	if (r->status != 0)
		return false;
	if (!outbox_guard(r->method, listener->loopback, header(e, "Host"),
					  header(e, "Origin")))
	{
		outbox_answer_error(r, 40301, "requests of other sites are refused");
		return false;
	}
	e->route = outbox_route_find(r);
	if (e->route == NULL)
	{
		/* what there is, is nobody's business without a password */
		if (outbox_auth_required())
		{
			const char *password;
			char	   *user = outbox_auth_parse(header(e, "Authorization"),
												 &password);

			if (user == NULL)
			{
				r->allow = NULL;
				outbox_answer_error(r, 401, "HTTP 401 Unauthorized");
			}
			free(user);
		}
		return false;
	}
	if (!authenticate(e) ||
		!outbox_route_admit(r, e->route, header(e, "Accept"),
							header(e, "Content-Type")))
		return false;
	if (length != NULL && (strlen(length) > 9 || atoi(length) > OUTBOX_MAX_BODY))
	{
		outbox_answer_error(r, 413, "HTTP 413 Request Entity Too Large");
		return false;
	}
	return true;
}

/* A part of the body came; false when the connection is to be cut. */
static bool
take_body(Exchange *e, const char *data, size_t len)
{
	StringInfo	body = &e->request.body;

	e->taken += len;

	/* what comes after a refusal is not kept, and not listened to for long */
	if (e->request.status != 0)
		return e->taken < 8 * OUTBOX_MAX_BODY;
	e->held += len;
	if (atomic_fetch_add(&outbox_counters.body_bytes, len) + len > MAX_BODIES)
		outbox_answer_error(&e->request, 503, "too many requests at a time");
	else if (e->held > OUTBOX_MAX_BODY)
		outbox_answer_error(&e->request, 413,
							"HTTP 413 Request Entity Too Large");
	else
	{
		if (body->data == NULL)
			initStringInfo(body);
		appendBinaryStringInfo(body, data, len);
	}
	return true;
}

static void
run_job(OutboxJob *job, OutboxDb *db)
{
	Exchange   *e = (Exchange *) job;
	int			user;

	if (e->user != NULL)
	{
		if (outbox_auth_check(e->user, e->password, true,
							  &user) != OUTBOX_AUTH_YES)
		{
			refuse_user(&e->request);
			return;
		}
		if (!permit(e, user))
			return;
	}
	if (!e->route->handler(&e->request, NULL))
		(void) e->route->handler(&e->request, db);
}

static void
job_done(OutboxJob *job)
{
	Exchange   *e = (Exchange *) job;

	e->connection->working = false;
	e->connection->since = outbox_monotonic_ms();
	MHD_resume_connection(e->mhd);
}

/* The request is whole. */
static enum MHD_Result
dispatch(Exchange *e)
{
	if (e->request.status != 0 ||
		(e->user == NULL && e->route->handler(&e->request, NULL)))
		return respond(e);
	e->job.request = &e->request;
	e->job.run = run_job;
	e->job.done = job_done;
	e->state = EXCHANGE_WORKING;
	e->connection->working = true;
	MHD_suspend_connection(e->mhd);
	if (!outbox_workers_submit(&e->job))
	{
		outbox_answer_error(&e->request, 503, "too many requests at a time");
		job_done(&e->job);
	}
	return MHD_YES;
}

static enum MHD_Result
handle(void *cls, struct MHD_Connection *mhd, const char *url,
	   const char *method, const char *version, const char *data,
	   size_t *len, void **context)
{
	Exchange   *e = *context;

	switch (e->state)
	{
		case EXCHANGE_NEW:
			if (!admit(e, cls, method))
				return respond(e);
			e->state = EXCHANGE_BODY;
			return MHD_YES;
		case EXCHANGE_BODY:
			if (*len == 0)
				return dispatch(e);
			if (!take_body(e, data, *len))
				return MHD_NO;
			*len = 0;
			return MHD_YES;
		case EXCHANGE_WORKING:
			return respond(e);
		default:
			*len = 0;
			return MHD_YES;
	}
}

/* Escapes are ours to undo, see request.c. */
static size_t
leave_escapes(void *cls, struct MHD_Connection *mhd, char *text)
{
	return strlen(text);
}

static void
log_library(void *cls, const char *fmt, va_list args)
{
	/* it complains about clients, of which there may be many */
}

static bool
start_daemon(Listener *l, int sock, unsigned limit)
{
	OutboxHttpSettings *s = &outbox_http_settings;
	struct MHD_OptionItem tls[] = {
		{MHD_OPTION_HTTPS_MEM_CERT, 0, s->tls_certificate},
		{MHD_OPTION_HTTPS_MEM_KEY, 0, s->tls_key},
		{MHD_OPTION_HTTPS_PRIORITIES, 0,
			"NORMAL:-VERS-ALL:+VERS-TLS1.2:+VERS-TLS1.3"},
		{MHD_OPTION_END, 0, NULL}
	};
	struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};
	unsigned	flags = MHD_USE_EPOLL_INTERNAL_THREAD |
		MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;

	if (s->tls_key != NULL)
		flags |= MHD_USE_TLS;
	l->daemon = MHD_start_daemon(flags, 0, NULL, NULL, handle, l,
								 MHD_OPTION_EXTERNAL_LOGGER, log_library, NULL,
								 MHD_OPTION_LISTEN_SOCKET, sock,
								 MHD_OPTION_CONNECTION_LIMIT, limit,
								 MHD_OPTION_CONNECTION_TIMEOUT, (unsigned) IDLE_TIME,
								 MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) MAX_HEAD,
								 MHD_OPTION_STRICT_FOR_CLIENT, 1,
								 MHD_OPTION_NOTIFY_CONNECTION, connection_changed, NULL,
								 MHD_OPTION_URI_LOG_CALLBACK, begin, NULL,
								 MHD_OPTION_NOTIFY_COMPLETED, complete, NULL,
								 MHD_OPTION_UNESCAPE_CALLBACK, leave_escapes, NULL,
								 MHD_OPTION_ARRAY, s->tls_key != NULL ? tls : none,
								 MHD_OPTION_END);
	return l->daemon != NULL;
}

bool
outbox_server_start(char *error, size_t error_size)
{
	int			sockets[OUTBOX_MAX_LISTENERS];
	bool		loopback[OUTBOX_MAX_LISTENERS];
	int			n = outbox_listen(sockets, loopback, error, error_size);

	if (n < 0)
		return false;
	for (int i = 0; i < n; i++)
	{
		listeners[i].loopback = loopback[i];
		if (!start_daemon(&listeners[i], sockets[i], MAX_CONNECTIONS / n))
		{
			strlcpy(error, outbox_http_settings.tls_key != NULL ?
					"could not start to serve: do the TLS certificate and its key fit?" :
					"could not start to serve", error_size);
			return false;
		}
		nlisteners++;
	}
	return true;
}

void
outbox_server_stop(void)
{
	int64		until = outbox_monotonic_ms() + STOP_TIME;
	bool		busy = true;

	for (int i = 0; i < nlisteners; i++)
	{
		int			sock = MHD_quiesce_daemon(listeners[i].daemon);

		if (sock >= 0)
			close(sock);
	}
	while (busy && outbox_monotonic_ms() < until)
	{
		busy = false;
		pthread_mutex_lock(&lock);
		for (Connection *c = connections; c != NULL; c = c->next)
			busy = busy || c->working;
		pthread_mutex_unlock(&lock);
		usleep(10 * 1000);
	}
}
