/*-------------------------------------------------------------------------
 *
 * http.c
 *		Start, watch and end the program outbox-http.
 *
 * Belongs to the launcher, which has at most one such child.  It is started
 * while outbox.http_listen is set and some database has the extension, ended
 * when that is over, and replaced when its settings are others than those it
 * was started with.  What it is told goes through the socket alone, so that
 * nothing of it is seen in a list of processes:
 *
 *	launcher -> program		u32 length, then name and value after each other,
 *							each with a zero byte at the end; later 'R': look
 *							at your files again, 'Q': finish what is under way
 *							and end
 *	program -> launcher		lines: a letter (E error, W warning, L log,
 *							R ready) and a text for the server's log
 *
 *	program dies			its socket closes; started again with back-off
 *	program does not end	killed after LEAVE_TIME
 *	launcher dies			see program.c
 *
 * The program holds no shared memory: no way for it to die touches the server.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/socket.h>

#include "base/clock.h"
#include "commands/dbcommands.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "postmaster/postmaster.h"
#include "relay/http.h"
#include "relay/program.h"
#include "replication/slot.h"
#include "source/source.h"
#include "state/state.h"
#include "storage/ipc.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/varlena.h"

#define FIRST_DELAY		1000	/* ms before a second start */
#define LONGEST_DELAY	30000	/* ms */
#define LONG_LIFE		60000	/* ms after which a death is the first one */
#define LEAVE_TIME		3000	/* ms to end after being asked to */
#define MAX_LINE		2048	/* of what it says */

static char *http_listen = NULL;
static char *http_conninfo = NULL;
static char *http_database = NULL;
static char *http_config_file = NULL;
static char *http_program = NULL;
static bool http_writes = false;

static struct
{
	pid_t		pid;			/* 0 = none */
	pgsocket	sock;
	StringInfoData settings;	/* what it was started with */
	StringInfoData in;			/* begun line */
	Oid			database;		/* chosen for want of a setting */
	int64		started_at;		/* monotonic ms */
	int64		next_start;
	int64		kill_at;		/* it was asked to end; 0 = it was not */
	int			failures;		/* in a row */
} http = {.sock = PGINVALID_SOCKET};

/*
 * A password in a setting would be shown to every superuser's tool and end up
 * in files and logs: it has a place of its own.
 */
static bool
check_conninfo(char **newval, void **extra, GucSource source)
{
	if (strstr(*newval, "://") != NULL)
	{
		GUC_check_errdetail("Write it as name=value pairs, not as an URI.");
		return false;
	}
	for (const char *p = *newval; *p != '\0'; p++)
	{
		if (pg_strncasecmp(p, "password", 8) == 0)
		{
			p += 8;
			p += strspn(p, " \t\r\n");
			if (*p == '=')
			{
				GUC_check_errdetail("A password goes into the file that outbox.http_config_file names, as database.password.");
				return false;
			}
			p--;
		}
	}
	return true;
}

static void
define_string(const char *name, const char *what, const char *more,
			  char **var, GucStringCheckHook check)
{
	DefineCustomStringVariable(name, what, more, var, "", PGC_SIGHUP,
							   GUC_SUPERUSER_ONLY, check, NULL, NULL);
}

void
outbox_http_init(void)
{
	define_string("outbox.http_listen",
				  "Where the schema registry API and metrics are served, as port or host:port, comma-separated.",
				  "A port alone means the loopback addresses. Empty: nowhere.",
				  &http_listen, NULL);
	define_string("outbox.http_conninfo",
				  "How outbox-http connects to the database, as name=value pairs.",
				  "Empty: the server's first socket directory, user outbox_http.",
				  &http_conninfo, check_conninfo);
	define_string("outbox.http_database",
				  "Databases whose schemas outbox-http serves, comma-separated; the first one at the root.",
				  "Empty: the one of outbox.http_conninfo, else the one that has the extension.",
				  &http_database, NULL);
	define_string("outbox.http_config_file",
				  "Properties file of outbox-http: users, TLS, secrets.",
				  "Must have mode 0600.",
				  &http_config_file, NULL);
	define_string("outbox.http_program",
				  "Path of the program outbox-http.",
				  "Empty: beside the server's own binary.",
				  &http_program, NULL);
	DefineCustomBoolVariable("outbox.http_writes",
							 "Let clients of outbox-http register and change schemas.",
							 "The role it connects as must be allowed to, too.",
							 &http_writes, false, PGC_SIGHUP,
							 GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
}

static void
end_http(int code, Datum arg)
{
	pid_t		pid = http.pid;

	if (pid == 0)
		return;
	http.pid = 0;
	pg_atomic_write_u32(&OutboxState->http_serves, 0);
	outbox_program_end(pid, http.sock);
	http.sock = PGINVALID_SOCKET;
}

/* The chosen database stays while it has a slot, whoever else gets one. */
static char *
choose_database(void)
{
	Oid		   *databases = palloc_array(Oid, Max(max_replication_slots, 1));
	int			n = outbox_slot_databases(databases, max_replication_slots);
	Oid			chosen = InvalidOid;

	for (int i = 0; i < n; i++)
	{
		if (databases[i] == http.database)
		{
			chosen = databases[i];
			break;
		}
		if (!OidIsValid(chosen) || databases[i] < chosen)
			chosen = databases[i];
	}
	pfree(databases);
	http.database = chosen;
	return OidIsValid(chosen) ? get_database_name(chosen) : NULL;
}

static void
put_setting(StringInfo buf, const char *name, const char *value)
{
	appendBinaryStringInfo(buf, name, strlen(name) + 1);
	appendBinaryStringInfo(buf, value, strlen(value) + 1);
}

/* What the program is to be told; false when there is nothing to start for. */
static bool
build_settings(StringInfo buf)
{
	char	   *database;
	char	   *sockets = pstrdup(Unix_socket_directories);
	List	   *dirs;
	char		port[16];

	if (http_listen[0] == '\0')
		return false;
	database = choose_database();
	if (database == NULL && http_database[0] == '\0')
		return false;
	put_setting(buf, "listen", http_listen);
	put_setting(buf, "conninfo", http_conninfo);
	put_setting(buf, "databases", http_database);
	put_setting(buf, "database", database == NULL ? "" : database);
	put_setting(buf, "config_file", http_config_file);
	put_setting(buf, "program", http_program);	/* a new one, a new start */
	put_setting(buf, "writes", http_writes ? "on" : "off");
	put_setting(buf, "host",
				SplitDirectoriesString(sockets, ',', &dirs) && dirs != NIL ?
				(char *) linitial(dirs) : "localhost");
	snprintf(port, sizeof(port), "%d", PostPortNumber);
	put_setting(buf, "port", port);
	return true;
}

/* A word to the program: too small for the socket not to take it. */
static void
tell(const char *data, size_t len)
{
	if (send(http.sock, data, len, MSG_NOSIGNAL) != (ssize_t) len)
		ereport(DEBUG1, (errmsg_internal("outbox-http takes no more: %m")));
}

static void
start(StringInfo settings)
{
	static bool first = true;
	char		program[MAXPGPATH];
	char	   *argv[] = {program, "serve", "--fd", OUTBOX_PROGRAM_FD, NULL};
	uint32		len = settings->len;

	http.started_at = outbox_monotonic_ms();
	http.next_start = http.started_at +
		Min(FIRST_DELAY << Min(http.failures, 8), LONGEST_DELAY);
	if (first)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		initStringInfo(&http.settings);
		initStringInfo(&http.in);
		MemoryContextSwitchTo(old);
		on_proc_exit(end_http, 0);
		first = false;
	}
	outbox_program_find(program, http_program, "outbox-http",
						"outbox.http_program");
	http.pid = outbox_program_start(argv, &http.sock);
	http.kill_at = 0;
	resetStringInfo(&http.in);
	resetStringInfo(&http.settings);
	appendBinaryStringInfo(&http.settings, settings->data, settings->len);
	tell((char *) &len, sizeof(len));
	tell(settings->data, settings->len);
}

/* It has ended, or must. */
static void
lost(void)
{
	int64		now = outbox_monotonic_ms();
	bool		asked = http.kill_at != 0;

	ereport(asked ? DEBUG1 : LOG,
			(errmsg("outbox-http (PID %d) ended", (int) http.pid)));
	end_http(0, (Datum) 0);
	if (asked)
		http.next_start = now;
	else if (now - http.started_at > LONG_LIFE)
	{
		http.failures = 0;
		http.next_start = now;
	}
	else
		http.failures++;
}

static void
ask_to_end(void)
{
	if (http.kill_at != 0)
		return;
	http.kill_at = outbox_monotonic_ms() + LEAVE_TIME;
	tell("Q", 1);
}

/*
 * A missing program is a warning and tried again: the launcher lives on.  To
 * catch the error is safe, since start() touches nothing of the backend's.
 */
static void
start_guarded(StringInfo settings)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		start(settings);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		http.failures++;
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg_internal("%s", error->message),
				 error->hint ? errhint("%s", error->hint) : 0));
		FreeErrorData(error);
	}
	PG_END_TRY();
}

long
outbox_http_look(long wait_ms)
{
	int64		now = outbox_monotonic_ms();
	StringInfoData settings;
	bool		wanted;

	initStringInfo(&settings);
	wanted = build_settings(&settings);
	if (http.pid != 0 && http.kill_at != 0 && now >= http.kill_at)
		lost();
	if (http.pid != 0)
	{
		if (!wanted || settings.len != http.settings.len ||
			memcmp(settings.data, http.settings.data, settings.len) != 0)
			ask_to_end();
		if (http.kill_at != 0)
			wait_ms = Min(wait_ms, http.kill_at - now + 1);
	}
	else if (wanted && now >= http.next_start)
		start_guarded(&settings);
	else if (wanted)
		wait_ms = Min(wait_ms, http.next_start - now + 1);
	pfree(settings.data);
	return Max(wait_ms, 1);
}

void
outbox_http_reload(void)
{
	http.failures = 0;
	http.next_start = 0;
	if (http.pid != 0 && http.kill_at == 0)
		tell("R", 1);
}

pgsocket
outbox_http_socket(void)
{
	return http.sock;
}

/* A line of the program's, made harmless for the log. */
static void
handle_line(char *line, int len)
{
	char		kind = len > 0 ? line[0] : '\0';

	for (int i = 0; i < len; i++)
	{
		if ((unsigned char) line[i] < ' ' || (unsigned char) line[i] >= 127)
			line[i] = '?';
	}
	switch (kind)
	{
		case 'R':
			http.failures = 0;
			pg_atomic_write_u32(&OutboxState->http_serves, 1);
			/* fall through */
		case 'L':
			ereport(LOG, (errmsg("outbox-http: %s", line + 1)));
			break;
		case 'W':
		case 'E':
			ereport(WARNING,
					(errcode(ERRCODE_CONFIG_FILE_ERROR),
					 errmsg("outbox-http: %s", line + 1)));
			break;
		default:
			break;
	}
}

void
outbox_http_receive(void)
{
	char		chunk[MAX_LINE];
	ssize_t		n = recv(http.sock, chunk, sizeof(chunk), 0);
	char	   *end;

	if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK))
		return;
	if (n <= 0)
	{
		lost();
		return;
	}
	appendBinaryStringInfo(&http.in, chunk, n);
	while ((end = memchr(http.in.data, '\n', http.in.len)) != NULL)
	{
		int			len = end - http.in.data;

		*end = '\0';
		handle_line(http.in.data, len);
		memmove(http.in.data, end + 1, http.in.len - len - 1);
		http.in.len -= len + 1;
	}
	if (http.in.len > MAX_LINE)
		lost();
}
