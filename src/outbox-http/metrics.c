/*-------------------------------------------------------------------------
 *
 * metrics.c
 *		/metrics: Prometheus text format 0.0.4.
 *
 * Every number of outbox.stat_relay, stat_topic, stat_log and outbox.status() is
 * there under the name of its column, so a column added there shows up here by
 * itself; outbox.stat_latency_bucket is a histogram.  Times are seconds since
 * 1970, positions are bytes of WAL.  Rows of other databases in the same server
 * are labelled with their names.
 *
 * What this program counts of itself is told also while the database is away:
 * the answer is then still 200, with outbox_up 0.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-http/cache.h"
#include "outbox-http/counters.h"
#include "outbox-http/routes.h"

#include <time.h>

OutboxCounters outbox_counters;

static const int status_codes[OUTBOX_NSTATUS] = OUTBOX_STATUS_CODES;

/* Columns that only grow until the server restarts. */
static const char *const growing[] = {
	"events", "transactions", "kafka_transactions", "bytes",
	"forged_messages", "split_transactions", "spilled_transactions",
	"blocks", "left_out", "dropped_blocks", "holes"
};

void
outbox_count_answer(int status)
{
	int			i = 0;

	while (i < OUTBOX_NSTATUS && status_codes[i] != status)
		i++;
	if (i == OUTBOX_NSTATUS)
		for (i = 0; status_codes[i] != 500; i++)
			 /* find it */ ;
	atomic_fetch_add(&outbox_counters.answers[i], 1);
}

static bool
only_grows(const char *name)
{
	for (size_t i = 0; i < lengthof(growing); i++)
	{
		if (strcmp(growing[i], name) == 0)
			return true;
	}
	return false;
}

static void
put_type(StringInfo out, const char *name, const char *type, const char *help)
{
	appendStringInfo(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name,
					 type);
}

static void
put_label(StringInfo out, const char *name, const char *value)
{
	if (out->data[out->len - 1] != '{')
		appendStringInfoChar(out, ',');
	appendStringInfo(out, "%s=\"", name);
	for (; *value != '\0'; value++)
	{
		if (*value == '\n')
			appendStringInfoString(out, "\\n");
		else
		{
			if (*value == '"' || *value == '\\')
				appendStringInfoChar(out, '\\');
			appendStringInfoChar(out, *value);
		}
	}
	appendStringInfoChar(out, '"');
}

/* "16/B374D848" in bytes. */
static uint64
lsn_value(const char *text)
{
	char	   *end;
	uint64		high = strtoul(text, &end, 16);

	return *end == '/' ? high << 32 | strtoul(end + 1, NULL, 16) : 0;
}

/* "2026-11-21 12:00:00.25+00" in seconds; sessions are in UTC and ISO style. */
static double
time_value(const char *text)
{
	struct tm	tm = {0};
	double		seconds = 0;

	if (sscanf(text, "%d-%d-%d %d:%d:%lf", &tm.tm_year, &tm.tm_mon,
			   &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &seconds) != 6)
		return 0;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	return (double) timegm(&tm) + seconds;
}

static void
put_value(StringInfo out, OutboxColumnKind kind, const char *text)
{
	if (kind == OUTBOX_COLUMN_LSN)
		appendStringInfo(out, " " UINT64_FORMAT "\n", lsn_value(text));
	else if (kind == OUTBOX_COLUMN_TIME)
		appendStringInfo(out, " %.3f\n", time_value(text));
	else if (strcmp(text, "Infinity") == 0)
		appendStringInfoString(out, " +Inf\n");
	else if (strcmp(text, "-Infinity") == 0)
		appendStringInfoString(out, " -Inf\n");
	else
		appendStringInfo(out, " %s\n", text);
}

/* One family: a column of all rows, labelled with the first nlabels ones. */
static void
put_column(StringInfo out, const OutboxRows *rows, int column, int nlabels,
		   const char *prefix, const char *help)
{
	const char *column_name = outbox_rows_name(rows, column);
	bool		counter = only_grows(column_name);
	char		name[128];
	char		text[192];

	snprintf(name, sizeof(name), "%s_%s%s", prefix, column_name,
			 counter ? "_total" :
			 outbox_rows_kind(rows, column) == OUTBOX_COLUMN_TIME ?
			 "_seconds" : "");
	snprintf(text, sizeof(text), "Column %s of %s.", column_name, help);
	put_type(out, name, counter ? "counter" : "gauge", text);
	for (int row = 0; row < outbox_rows_count(rows); row++)
	{
		const char *value = outbox_rows_text(rows, row, column);

		if (value == NULL)
			continue;
		appendStringInfo(out, "%s{", name);
		for (int i = 0; i < nlabels; i++)
		{
			const char *label = outbox_rows_text(rows, row, i);

			put_label(out, outbox_rows_name(rows, i), label ? label : "");
		}
		appendStringInfoChar(out, '}');
		put_value(out, outbox_rows_kind(rows, column), value);
	}
}

/* Every column of the statement that is a number, a position or a time. */
static void
put_rows(StringInfo out, const OutboxRows *rows, int nlabels,
		 const char *prefix, const char *help)
{
	for (int column = nlabels; column < outbox_rows_columns(rows); column++)
	{
		if (outbox_rows_kind(rows, column) != OUTBOX_COLUMN_OTHER)
			put_column(out, rows, column, nlabels, prefix, help);
	}
}

/* The state of each relay as a family of its own: 1 for the one it is in. */
static void
put_states(StringInfo out, const OutboxRows *rows)
{
	put_type(out, "outbox_relay_state", "gauge",
			 "State of the relay, 1 for the one it is in.");
	for (int row = 0; row < outbox_rows_count(rows); row++)
	{
		const char *database = outbox_rows_text(rows, row, 0);
		const char *state = outbox_rows_text(rows, row, 1);

		appendStringInfoString(out, "outbox_relay_state{");
		put_label(out, "datname", database ? database : "");
		put_label(out, "state", state ? state : "");
		appendStringInfoString(out, "} 1\n");
	}
}

/*
 * One bucket; the last one of a database has all that it counted.  A server of
 * another version may leave something out: then there is no bucket.
 */
static void
put_bucket(StringInfo out, const char *name, const OutboxRows *rows, int row)
{
	const char *database = outbox_rows_text(rows, row, 0);
	const char *le = outbox_rows_text(rows, row, 1);
	const char *count = outbox_rows_text(rows, row, 2);
	const char *sum = outbox_rows_text(rows, row, 3);
	bool		last;

	if (database == NULL || le == NULL || count == NULL || sum == NULL)
		return;
	last = strcmp(le, "Infinity") == 0;
	appendStringInfo(out, "%s_bucket{", name);
	put_label(out, "datname", database);
	put_label(out, "le", last ? "+Inf" : le);
	appendStringInfo(out, "} %s\n", count);
	for (int i = 0; last && i < 2; i++)
	{
		appendStringInfo(out, "%s_%s{", name, i == 0 ? "count" : "sum");
		put_label(out, "datname", database);
		appendStringInfo(out, "} %s\n", i == 0 ? count : sum);
	}
}

/* Rows of a database follow each other. */
static void
put_histogram(StringInfo out, const OutboxRows *rows)
{
	const char *name = "outbox_publish_latency_seconds";

	put_type(out, name, "histogram", "From commit to being published.");
	for (int row = 0; row < outbox_rows_count(rows); row++)
		put_bucket(out, name, rows, row);
}

static void
put_number(StringInfo out, const char *name, const char *type,
		   const char *help, uint64 value)
{
	put_type(out, name, type, help);
	appendStringInfo(out, "%s " UINT64_FORMAT "\n", name, value);
}

static void
put_own(StringInfo out, bool up)
{
	uint64		hits,
				misses,
				entries,
				bytes;

	outbox_cache_counts(&hits, &misses, &entries, &bytes);
	put_number(out, "outbox_up", "gauge",
			   "Whether the database answered.", up);
	put_type(out, "outbox_http_answers_total", "counter",
			 "Answers by HTTP status.");
	for (int i = 0; i < OUTBOX_NSTATUS; i++)
		appendStringInfo(out, "outbox_http_answers_total{code=\"%d\"} %lu\n",
						 status_codes[i],
						 atomic_load(&outbox_counters.answers[i]));
	put_number(out, "outbox_http_connections", "gauge",
			   "Open connections.", atomic_load(&outbox_counters.connections));
	put_number(out, "outbox_http_connections_total", "counter",
			   "Connections accepted.", atomic_load(&outbox_counters.accepted));
	put_number(out, "outbox_http_expired_total", "counter",
			   "Connections closed for being too slow.",
			   atomic_load(&outbox_counters.expired));
	put_number(out, "outbox_http_bad_passwords_total", "counter",
			   "Requests with a wrong user or password.",
			   atomic_load(&outbox_counters.bad_passwords));
	put_number(out, "outbox_http_cache_hits_total", "counter",
			   "Schemas by id answered from memory.", hits);
	put_number(out, "outbox_http_cache_misses_total", "counter",
			   "Schemas by id asked of the database.", misses);
	put_number(out, "outbox_http_cache_entries", "gauge",
			   "Schemas in memory.", entries);
	put_number(out, "outbox_http_cache_bytes", "gauge",
			   "Size of the schemas in memory.", bytes);
}

/* Without the database, or the right to ask, our own numbers are the answer. */
static OutboxRows *
query(OutboxRequest *request, OutboxDb *db, const char *sql)
{
	OutboxRows *rows = outbox_db_query(db, request, sql, 0, NULL);

	if (rows == NULL)
		request->status = 0;
	return rows;
}

static void
put_view(StringInfo out, OutboxRequest *request, OutboxDb *db,
		 const char *sql, int nlabels, const char *prefix, const char *help)
{
	OutboxRows *rows = query(request, db, sql);

	if (rows == NULL)
		return;
	put_rows(out, rows, nlabels, prefix, help);
	outbox_rows_free(rows);
}

bool
outbox_metrics(OutboxRequest *request, OutboxDb *db)
{
	StringInfoData out;
	OutboxRows *rows;
	bool		up;

	if (db == NULL)
		return false;
	initStringInfo(&out);
	rows = query(request, db, "SELECT 1");
	up = rows != NULL;
	if (up)
		outbox_rows_free(rows);
	rows = up ? query(request, db, "SELECT r.datname, r.state, r.* "
					  "FROM outbox.stat_relay r") : NULL;
	if (rows != NULL)
	{
		put_states(&out, rows);
		put_rows(&out, rows, 1, "outbox_relay", "outbox.stat_relay");
		outbox_rows_free(rows);
		put_view(&out, request, db, "SELECT current_database() AS datname, "
				 "t.topic, t.* FROM outbox.stat_topic t", 2,
				 "outbox_topic", "outbox.stat_topic");
		put_view(&out, request, db, "SELECT l.* FROM outbox.stat_log l", 1,
				 "outbox_log", "outbox.stat_log");
		put_view(&out, request, db, "SELECT current_database() AS datname, "
				 "s.* FROM outbox.status() s", 1,
				 "outbox_status", "outbox.status()");
	}
	rows = up ? query(request, db, "SELECT datname, le, transactions, sum "
					  "FROM outbox.stat_latency_bucket "
					  "ORDER BY datid, le") : NULL;
	if (rows != NULL)
	{
		put_histogram(&out, rows);
		outbox_rows_free(rows);
	}
	put_own(&out, up);
	request->media = OUTBOX_MEDIA_METRICS;
	outbox_answer_text(request, 200, out.data, out.len);
	pfree(out.data);
	return true;
}
