/*-------------------------------------------------------------------------
 *
 * alternate.c
 *		Two statements, each a transaction, run in turn on the same connections.
 *
 *	alternate CONNINFO CLIENTS MILLISECONDS PAIRS FILE
 *
 * FILE describes both, one after the other, in lines: a name, the statement,
 * the number of its parameters, the parameters.  Every connection prepares both
 * and runs them over and over, one kind per slice of MILLISECONDS, in the order
 * A B B A A B ...: whatever the machine does meanwhile falls on both, and what
 * a backend must load once is loaded before.  Connections stay, so nothing is
 * measured but transactions: parameters sent as text, bound, executed, committed,
 * answered.
 *
 * Printed is one line for each pair of slices:
 *
 *	TPS_A TPS_B CPU_A CPU_B
 *
 * CPU is the time on CPU that a transaction took of its backend, in
 * microseconds (/proc/PID/schedstat): it tells apart what a transaction costs
 * and what it waits for, and feels other users of the machine less.
 *
 * The threads keep to the slices by a barrier; the main thread is the one that
 * reads clocks and counters while the others wait for the next slice.
 *
 *-------------------------------------------------------------------------
 */
#include <libpq-fe.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_CLIENTS 64
#define MAX_PARAMS	16
#define WARM_UP		200			/* transactions of each kind */

typedef struct Statement
{
	char	   *name;
	char	   *text;
	int			nparams;
	char	   *params[MAX_PARAMS];
} Statement;

typedef struct Client
{
	pthread_t	thread;
	PGconn	   *conn;
	long		count;			/* transactions of the current slice */
	double		ended;			/* when its last one was answered */
} Client;

static Statement statements[2];
static Client clients[MAX_CLIENTS];
static int	nclients;
static pthread_barrier_t barrier;

/* Of the current slice; written between the barriers only. */
static const Statement *running;	/* NULL: no more */
static double slice_end;

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void
fail(const char *what, const char *why)
{
	fprintf(stderr, "alternate: %s: %s\n", what, why);
	exit(1);
}

static char *
read_line(FILE *f)
{
	char	   *line = NULL;
	size_t		size = 0;

	if (getline(&line, &size, f) < 0)
		fail("could not read", "a line is missing");
	line[strcspn(line, "\n")] = '\0';
	return line;
}

static void
read_statements(const char *path)
{
	FILE	   *f = fopen(path, "r");

	if (f == NULL)
		fail("could not open", path);
	for (int i = 0; i < 2; i++)
	{
		Statement  *s = &statements[i];

		s->name = read_line(f);
		s->text = read_line(f);
		s->nparams = atoi(read_line(f));
		if (s->nparams > MAX_PARAMS)
			fail("could not prepare", "too many parameters");
		for (int p = 0; p < s->nparams; p++)
			s->params[p] = read_line(f);
	}
	fclose(f);
}

static void
run_once(PGconn *conn, const Statement *s)
{
	PGresult   *res = PQexecPrepared(conn, s->name, s->nparams,
									 (const char *const *) s->params,
									 NULL, NULL, 0);

	if (PQresultStatus(res) != PGRES_TUPLES_OK)
		fail("could not execute", PQerrorMessage(conn));
	PQclear(res);
}

static void
open_client(Client *c, const char *conninfo)
{
	c->conn = PQconnectdb(conninfo);
	if (PQstatus(c->conn) != CONNECTION_OK)
		fail("could not connect", PQerrorMessage(c->conn));
	for (int i = 0; i < 2; i++)
	{
		PGresult   *res = PQprepare(c->conn, statements[i].name,
									statements[i].text, 0, NULL);

		if (PQresultStatus(res) != PGRES_COMMAND_OK)
			fail("could not prepare", PQerrorMessage(c->conn));
		PQclear(res);
		for (int n = 0; n < WARM_UP; n++)
			run_once(c->conn, &statements[i]);
	}
}

static void *
run_client(void *arg)
{
	Client	   *c = arg;

	for (;;)
	{
		pthread_barrier_wait(&barrier); /* the slice begins */
		if (running == NULL)
			return NULL;
		c->count = 0;
		do
		{
			run_once(c->conn, running);
			c->count++;
			c->ended = now();
		} while (c->ended < slice_end);
		pthread_barrier_wait(&barrier); /* it is over for all */
	}
}

/* Time on CPU of all backends, in seconds. */
static double
backends_cpu(void)
{
	double		total = 0;

	for (int i = 0; i < nclients; i++)
	{
		char		path[64];
		unsigned long long ns;
		FILE	   *f;

		snprintf(path, sizeof(path), "/proc/%d/schedstat",
				 PQbackendPID(clients[i].conn));
		f = fopen(path, "r");
		if (f == NULL || fscanf(f, "%llu", &ns) != 1)
			fail("could not read", path);
		fclose(f);
		total += ns / 1e9;
	}
	return total;
}

static void
run_slice(const Statement *s, double seconds, double *tps, double *cpu)
{
	double		cpu_before = backends_cpu();
	double		start = now();
	long		count = 0;

	running = s;
	slice_end = start + seconds;
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	*tps = 0;
	for (int i = 0; i < nclients; i++)
	{
		count += clients[i].count;
		*tps += clients[i].count / (clients[i].ended - start);
	}
	*cpu = (backends_cpu() - cpu_before) / count * 1e6;
}

int
main(int argc, char **argv)
{
	double		seconds;
	int			pairs;

	if (argc != 6)
	{
		fprintf(stderr, "usage: alternate CONNINFO CLIENTS MILLISECONDS PAIRS FILE\n");
		return 1;
	}
	nclients = atoi(argv[2]);
	if (nclients < 1 || nclients > MAX_CLIENTS)
		fail("could not start", "1 to 64 clients");
	seconds = atoi(argv[3]) / 1000.0;
	pairs = atoi(argv[4]);
	read_statements(argv[5]);
	pthread_barrier_init(&barrier, NULL, nclients + 1);
	for (int i = 0; i < nclients; i++)
	{
		open_client(&clients[i], argv[1]);
		if (pthread_create(&clients[i].thread, NULL, run_client, &clients[i]) != 0)
			fail("could not start", "a thread");
	}

	for (int n = 0; n < pairs; n++)
	{
		double		tps[2];
		double		cpu[2];

		for (int i = 0; i < 2; i++)
		{
			int			kind = (n + i) % 2;

			run_slice(&statements[kind], seconds, &tps[kind], &cpu[kind]);
		}
		printf("%.1f %.1f %.3f %.3f\n", tps[0], tps[1], cpu[0], cpu[1]);
		fflush(stdout);
	}

	running = NULL;
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < nclients; i++)
	{
		pthread_join(clients[i].thread, NULL);
		PQfinish(clients[i].conn);
	}
	return 0;
}
