/*-------------------------------------------------------------------------
 *
 * db.c
 *		Connections to the database, and statements within a time limit.
 *
 * Each worker has connections of its own, so nothing here is shared but the
 * back-off: while a database cannot be reached, one attempt per wait is made
 * and everybody else is told at once.  libpq is used without blocking: a
 * server that hangs costs a worker QUERY_TIME, never more, and its connection
 * is thrown away, since the outcome of what it was asked is not known.  (A
 * change that was under way may be made or not; each is such that asking again
 * gives the same.)
 *
 * Statements are constants with parameters.  A session reads only, unless
 * writes are on.
 *
 *	connection breaks while idle		seen before the next statement is sent
 *	connection breaks during one		reads are tried once more on a new one,
 *										changes are answered with 50001
 *	server is away						50001, and attempts with back-off
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-http/db.h"

#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <pthread.h>

#include "base/clock.h"
#include "outbox-http/log.h"
#include "outbox-http/settings.h"

#define CONNECT_TIME	5000	/* ms */
#define QUERY_TIME		15000	/* ms; the session's own limit is lower */
#define IDLE_TIME		30000	/* ms until an unused connection is closed */
#define LONGEST_WAIT	8000	/* ms between attempts to connect */
#define MAX_KEYWORDS	64

struct OutboxDb
{
	PGconn	   *conn[OUTBOX_MAX_DATABASES];
	int64		used[OUTBOX_MAX_DATABASES]; /* monotonic ms */
};

/* Back-off, of all workers; under lock. */
static struct
{
	int64		next_attempt;	/* monotonic ms */
	int			failures;		/* in a row */
}			backoff[OUTBOX_MAX_DATABASES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Parameters of a connection; the database's name is filled in. */
static const char *keywords[MAX_KEYWORDS];
static const char *values[MAX_KEYWORDS];
static int	nkeywords;

static const char session_sql[] =
	"SELECT pg_catalog.set_config(n, v, false) FROM (VALUES "
	"('search_path', 'pg_catalog, pg_temp'), "
	"('timezone', 'UTC'), ('datestyle', 'ISO'), "
	"('statement_timeout', '10s'), "
	"('lock_timeout', '5s'), "
	"('idle_in_transaction_session_timeout', '20s'), "
	"('default_transaction_read_only', $1)) AS s(n, v)";

static void
set_keyword(const char *name, const char *value)
{
	int			i = 0;

	while (i < nkeywords && strcmp(keywords[i], name) != 0)
		i++;
	if (i == MAX_KEYWORDS - 1)
		return;
	keywords[i] = name;
	values[i] = value;
	nkeywords = Max(nkeywords, i + 1);
}

bool
outbox_db_init(char *error, size_t error_size)
{
	OutboxHttpSettings *s = &outbox_http_settings;
	PQconninfoOption *options;
	char	   *message = NULL;

	set_keyword("dbname", NULL);	/* always the first one */
	if (s->conninfo[0] == '\0')
	{
		set_keyword("host", s->host);
		set_keyword("port", s->port);
		set_keyword("user", "outbox_http");
	}
	else
	{
		options = PQconninfoParse(s->conninfo, &message);
		if (options == NULL)
		{
			snprintf(error, error_size, "outbox.http_conninfo: %s",
					 message == NULL ? "out of memory" : message);
			PQfreemem(message);
			return false;
		}
		for (PQconninfoOption *o = options; o->keyword != NULL; o++)
		{
			if (o->val != NULL)
				set_keyword(pstrdup(o->keyword), pstrdup(o->val));
		}
		PQconninfoFree(options);
	}
	if (s->database_password != NULL)
		set_keyword("password", s->database_password);
	set_keyword("client_encoding", "UTF8");
	set_keyword("fallback_application_name", "outbox-http");
	return true;
}

OutboxDb *
outbox_db_new(void)
{
	return palloc0(sizeof(OutboxDb));
}

static void
disconnect(OutboxDb *db, int database)
{
	PQfinish(db->conn[database]);
	db->conn[database] = NULL;
}

void
outbox_db_rest(OutboxDb *db)
{
	int64		now = outbox_monotonic_ms();

	for (int i = 0; i < outbox_http_settings.ndatabases; i++)
	{
		if (db->conn[i] != NULL && now - db->used[i] > IDLE_TIME)
			disconnect(db, i);
	}
}

/* Sleep until the socket can be read (or written); false after deadline. */
static bool
wait_socket(PGconn *conn, short events, int64 deadline)
{
	for (;;)
	{
		struct pollfd p = {.fd = PQsocket(conn), .events = events};
		int64		left = deadline - outbox_monotonic_ms();
		int			n;

		if (left <= 0 || p.fd < 0)
			return false;
		n = poll(&p, 1, (int) left);
		if (n > 0)
			return true;
		if (n < 0 && errno != EINTR)
			return false;
	}
}

/*
 * Send one statement and collect its result.  NULL when time is over or the
 * connection is lost; it is of no further use then.
 */
static PGresult *
run(PGconn *conn, const char *sql, int nparams, const char *const *params)
{
	int64		deadline = outbox_monotonic_ms() + QUERY_TIME;
	PGresult   *result = NULL,
			   *next;
	int			flush;

	if (PQsendQueryParams(conn, sql, nparams, NULL, params, NULL, NULL, 0) != 1)
		return NULL;
	while ((flush = PQflush(conn)) == 1)
	{
		if (!wait_socket(conn, POLLIN | POLLOUT, deadline) ||
			PQconsumeInput(conn) != 1)
			return NULL;
	}
	if (flush != 0)
		return NULL;
	for (;;)
	{
		while (PQisBusy(conn))
		{
			if (!wait_socket(conn, POLLIN, deadline) ||
				PQconsumeInput(conn) != 1)
			{
				PQclear(result);
				return NULL;
			}
		}
		next = PQgetResult(conn);
		if (next == NULL)
			return result;
		PQclear(result);
		result = next;
	}
}

static PGconn *
open_connection(int database)
{
	const char *mine[MAX_KEYWORDS];
	const char *names[MAX_KEYWORDS];
	const char *read_only = outbox_http_settings.writes ? "off" : "on";
	int64		deadline = outbox_monotonic_ms() + CONNECT_TIME;
	PostgresPollingStatusType status = PGRES_POLLING_WRITING;
	PGconn	   *conn;
	PGresult   *result;

	memcpy(names, keywords, sizeof(names));
	memcpy(mine, values, sizeof(mine));
	if (outbox_http_settings.databases[database] != NULL)
		mine[0] = outbox_http_settings.databases[database];
	names[nkeywords] = NULL;
	conn = PQconnectStartParams(names, mine, 0);
	if (conn == NULL || PQstatus(conn) == CONNECTION_BAD)
		return conn;
	while (status != PGRES_POLLING_OK && status != PGRES_POLLING_FAILED)
	{
		if (!wait_socket(conn, status == PGRES_POLLING_READING ?
						 POLLIN : POLLOUT, deadline))
			break;
		status = PQconnectPoll(conn);
	}
	if (PQstatus(conn) != CONNECTION_OK)
		return conn;
	PQsetnonblocking(conn, 1);
	result = run(conn, session_sql, 1, &read_only);
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
	{
		PQclear(result);
		PQfinish(conn);
		return NULL;
	}
	PQclear(result);
	return conn;
}

/* One line of libpq's for the log, which holds no secret. */
static void
log_failure(int database, PGconn *conn, int failures)
{
	const char *name = outbox_http_settings.databases[database];
	const char *why = conn == NULL ? "" : PQerrorMessage(conn);

	/* the first one, then ever more rarely */
	if ((failures & (failures - 1)) == 0)
		outbox_log(OUTBOX_LOG_INFO, "could not connect to database \"%s\": %s",
				   name == NULL ? "" : name,
				   *why == '\0' ? "no answer within the time limit" : why);
}

/*
 * Whether a connection that was idle can be used.  A server that ends says so
 * on it, or closes it, so something to read is bad news nearly always.
 */
static bool
still_good(PGconn *conn)
{
	struct pollfd p = {.fd = PQsocket(conn), .events = POLLIN};

	if (PQstatus(conn) != CONNECTION_OK || p.fd < 0)
		return false;
	if (poll(&p, 1, 0) == 0)
		return true;
	return PQconsumeInput(conn) == 1 && PQstatus(conn) == CONNECTION_OK &&
		poll(&p, 1, 0) == 0;
}

/* The connection, opened if need be; NULL while it cannot be. */
static PGconn *
get_connection(OutboxDb *db, int database, bool *fresh)
{
	PGconn	   *conn = db->conn[database];
	int64		now = outbox_monotonic_ms();
	bool		may_try;
	int			failures;

	*fresh = false;
	if (conn != NULL && still_good(conn))
		return conn;
	disconnect(db, database);

	pthread_mutex_lock(&lock);
	failures = backoff[database].failures;
	may_try = now >= backoff[database].next_attempt;
	if (may_try && failures > 0)
		backoff[database].next_attempt = now + CONNECT_TIME;
	pthread_mutex_unlock(&lock);
	if (!may_try)
		return NULL;

	conn = open_connection(database);
	pthread_mutex_lock(&lock);
	if (conn != NULL && PQstatus(conn) == CONNECTION_OK)
	{
		failures = backoff[database].failures;
		backoff[database].failures = 0;
		backoff[database].next_attempt = 0;
	}
	else
	{
		failures = ++backoff[database].failures;
		backoff[database].next_attempt = outbox_monotonic_ms() +
			Min(250 << Min(failures, 8), LONGEST_WAIT);
	}
	pthread_mutex_unlock(&lock);
	if (conn == NULL || PQstatus(conn) != CONNECTION_OK)
	{
		log_failure(database, conn, failures);
		PQfinish(conn);
		return NULL;
	}
	if (failures > 0)
		outbox_log(OUTBOX_LOG_INFO, "connected to database \"%s\" again",
				   PQdb(conn));
	*fresh = true;
	return db->conn[database] = conn;
}

bool
outbox_db_reachable(int database)
{
	bool		reachable;

	pthread_mutex_lock(&lock);
	reachable = backoff[database].failures == 0;
	pthread_mutex_unlock(&lock);
	return reachable;
}

/*
 * The API's code for an error.  Those of class OB carry it (src/schema/
 * errors.h): OBxyz is 40xyz or 42xyz by x.
 */
static int
error_code(const char *state)
{
	if (strncmp(state, "OB900", 5) == 0)
		return 409;
	if (strncmp(state, "OB4", 3) == 0)
		return 40400 + atoi(state + 3);
	if (strncmp(state, "OB2", 3) == 0)
		return 42200 + atoi(state + 3);
	if (strcmp(state, "25006") == 0)
		return 42205;			/* writes are off, or a standby */
	if (strcmp(state, "42501") == 0)
		return 40301;			/* the role may not */
	if (strcmp(state, "57014") == 0 || strcmp(state, "55P03") == 0)
		return 50002;			/* took too long */
	if (strncmp(state, "22", 2) == 0)
		return 42201;			/* no such text in this database */
	return 50001;
}

static void
answer_failure(OutboxRequest *request, PGresult *result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
	int			code = error_code(state == NULL ? "" : state);

	if (message == NULL)
		message = "";
	if (code == 50001)
	{
		outbox_log(OUTBOX_LOG_INFO, "error %s in the database: %s",
				   state == NULL ? "" : state, message);
		outbox_answer_error(request, code, "error %s in the database",
							state == NULL ? "" : state);
	}
	else if (detail != NULL && state[0] == 'O')
		outbox_answer_error(request, code, "%s: %s", message, detail);
	else
		outbox_answer_error(request, code, "%s", message);
}

OutboxRows *
outbox_db_query(OutboxDb *db, OutboxRequest *request, const char *sql,
				int nparams, const char *const *params)
{
	int			database = request->database;
	PGresult   *result = NULL;
	bool		fresh = false;
	int			attempts = request->method == OUTBOX_GET ? 2 : 1;

	while (result == NULL && !fresh && attempts-- > 0)
	{
		PGconn	   *conn = get_connection(db, database, &fresh);
		int64		began = outbox_monotonic_ms();

		if (conn == NULL)
			break;
		db->used[database] = began;
		result = run(conn, sql, nparams, params);
		if (result != NULL && PQstatus(conn) != CONNECTION_OK)
		{
			PQclear(result);
			result = NULL;
		}
		if (result == NULL)
		{
			disconnect(db, database);
			if (outbox_monotonic_ms() - began >= QUERY_TIME)
			{
				outbox_answer_error(request, 50002,
									"the database did not answer in time");
				return NULL;
			}
		}
	}
	if (result == NULL)
		outbox_answer_error(request, 50001, "the database is not available");
	else if (PQresultStatus(result) != PGRES_TUPLES_OK)
	{
		answer_failure(request, result);
		PQclear(result);
		result = NULL;
	}
	return (OutboxRows *) result;
}

int
outbox_rows_count(const OutboxRows *rows)
{
	return PQntuples((const PGresult *) rows);
}

int
outbox_rows_columns(const OutboxRows *rows)
{
	return PQnfields((const PGresult *) rows);
}

const char *
outbox_rows_name(const OutboxRows *rows, int column)
{
	return PQfname((const PGresult *) rows, column);
}

/* Oids of built-in types never change (pg_type.dat). */
OutboxColumnKind
outbox_rows_kind(const OutboxRows *rows, int column)
{
	switch (PQftype((const PGresult *) rows, column))
	{
		case 20:				/* int8 */
		case 21:				/* int2 */
		case 23:				/* int4 */
		case 700:				/* float4 */
		case 701:				/* float8 */
		case 1700:				/* numeric */
			return OUTBOX_COLUMN_NUMBER;
		case 3220:				/* pg_lsn */
			return OUTBOX_COLUMN_LSN;
		case 1184:				/* timestamptz */
			return OUTBOX_COLUMN_TIME;
		default:
			return OUTBOX_COLUMN_OTHER;
	}
}

const char *
outbox_rows_text(const OutboxRows *rows, int row, int column)
{
	if (PQgetisnull((const PGresult *) rows, row, column))
		return NULL;
	return PQgetvalue((const PGresult *) rows, row, column);
}

void
outbox_rows_free(OutboxRows *rows)
{
	PQclear((PGresult *) rows);
}
