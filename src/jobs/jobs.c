/*-------------------------------------------------------------------------
 *
 * jobs.c
 *		The jobs of a relay: which there are, whose turn it is, what is said.
 *
 * Owns the list of runs, one for each job that is not finished, and the marks
 * of the position record that speak of them.  Up to MAX_ACTIVE are at work at
 * once, each with a reader of its own; the others wait in the order in which
 * they were asked for.
 *
 *	asked for		a row of outbox.snapshot_job, found at reload
 *	begun			its first chunk is appended: it has a mark
 *	done			the mark says so, in the Kafka transaction of its last rows
 *	finished		and so does outbox.snapshot_progress, once that is in Kafka
 *	forgotten		KEPT finished jobs later: until then a failover that loses
 *					the row of a finished job does not begin it again
 *
 * outbox.snapshot_progress is written once a second and when a state changes,
 * in a short transaction that waits for nobody; it is for people.  What counts
 * is in Kafka.
 *
 * A job that is in Kafka and not in the table (its row was lost by a failover,
 * or it was cancelled) is dropped from the marks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/clock.h"
#include "jobs/jobs.h"
#include "jobs/pass.h"
#include "jobs/rebuild.h"
#include "jobs/run.h"
#include "record/job_mark.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define MAX_ACTIVE		4
#define KEPT			16
#define MARK_ROOM		4096	/* bytes that one more job may need */
#define SAVE_INTERVAL	1000	/* ms */
#define LOCK_TIMEOUT	"1000"	/* ms */
#define SAVE_LOCK_TIMEOUT "100"

bool		outbox_snapshot_hold = false;
bool		outbox_rebuild_hold = false;

static List *runs = NIL;		/* of OutboxRun, by id */
static uint64 finished[KEPT];	/* tokens, newest last */
static int	nfinished = 0;
static bool reload_wanted = false;

void
outbox_jobs_guc_init(void)
{
	DefineCustomIntVariable("outbox.rebuild_memory",
							"Memory for the keys of a topic that is rebuilt.",
							"With more keys than fit into it, the topic is read several times.",
							&outbox_rebuild_memory, 64 * 1024, 64,
							4 * 1024 * 1024, PGC_SIGHUP, GUC_UNIT_KB, NULL,
							NULL, NULL);

	/* Not for users: hold chunks back until a test has done something. */
	DefineCustomBoolVariable("outbox.rebuild_hold",
							 "Keep lists of keys that are gone.",
							 "For tests of outbox.", &outbox_rebuild_hold,
							 false, PGC_SIGHUP,
							 GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE |
							 GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomBoolVariable("outbox.snapshot_hold",
							 "Keep chunks of snapshots that have been read.",
							 "For tests of outbox.", &outbox_snapshot_hold,
							 false, PGC_SIGHUP,
							 GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE |
							 GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
}

/* ---- marks ------------------------------------------------------------- */

static void
remember_finished(uint64 token)
{
	for (int i = 0; i < nfinished; i++)
	{
		if (finished[i] == token)
			return;
	}
	if (nfinished == KEPT)
		memmove(finished, finished + 1, sizeof(finished[0]) * --nfinished);
	finished[nfinished++] = token;
}

/* What the next position record says. */
void
outbox_jobs_put_marks(OutboxRelay *relay)
{
	OutboxPosition *pos = &relay->position;
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	for (int i = 0; i < nfinished; i++)
	{
		OutboxJobMark mark = {.token = finished[i],.done = true};

		outbox_job_mark_put(&buf, &mark);
	}
	foreach(lc, runs)
	{
		OutboxRun  *run = lfirst(lc);
		OutboxJobMark mark = {.token = run->job.token,.done = run->done,
		.rows = run->rows};

		if (!run->begun)
			continue;
		if (run->cursor.len > 0)
		{
			mark.cursor = run->cursor.data;
			mark.cursor_len = run->cursor.len;
		}
		outbox_job_mark_put(&buf, &mark);
	}
	if (buf.len > OUTBOX_MAX_MARKS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the places of snapshots need %d bytes, more than %d",
						buf.len, OUTBOX_MAX_MARKS),
				 errhint("Cancel some of the paused snapshots.")));
	memcpy(pos->marks, buf.data, buf.len);
	pos->marks_len = buf.len;
	pfree(buf.data);
}

static bool
find_mark(const OutboxPosition *pos, uint64 token, OutboxJobMark *mark)
{
	OutboxCursor c;

	outbox_cursor_init(&c, pos->marks, pos->marks_len);
	while (outbox_job_mark_next(&c, mark))
	{
		if (mark->token == token)
			return true;
	}
	return false;
}

void
outbox_jobs_recorded(const OutboxPosition *pos)
{
	OutboxJobMark mark;
	ListCell   *lc;

	foreach(lc, runs)
	{
		OutboxRun  *run = lfirst(lc);

		if (!find_mark(pos, run->job.token, &mark))
			continue;
		if (mark.rows != run->recorded_rows)
			run->unsaved = true;
		run->recorded_rows = mark.rows;
		run->recorded_done = mark.done;
	}
}

/* ---- the list ---------------------------------------------------------- */

static OutboxRun *
find_run(int64 id)
{
	ListCell   *lc;

	foreach(lc, runs)
	{
		OutboxRun  *run = lfirst(lc);

		if (run->job.id == id)
			return run;
	}
	return NULL;
}

static void
set_pass(OutboxRun *run)
{
	int32		len;
	const char *cursor = outbox_rebuild_inner(run->job.topic, run->cursor.data,
											  run->cursor.len, &len);

	run->pass = outbox_pass_of_cursor(cursor, len);
}

static OutboxRun *
new_run(const OutboxPosition *pos, const OutboxJob *job)
{
	OutboxRun  *run = palloc0(sizeof(OutboxRun));
	OutboxJobMark mark;

	run->job = *job;
	if (job->filter != NULL)
		run->job.filter = pstrdup(job->filter);
	if (job->topic != NULL)
		run->job.topic = pstrdup(job->topic);
	run->state = OUTBOX_RUN_WAITING;
	run->started_at = GetCurrentTimestamp();
	run->max_rows = job->chunk_rows;
	run->unsaved = true;
	initStringInfo(&run->cursor);
	initStringInfo(&run->next_cursor);
	if (find_mark(pos, job->token, &mark))
	{
		run->begun = true;
		run->done = run->recorded_done = mark.done;
		run->rows = run->recorded_rows = run->saved_rows = mark.rows;
		if (mark.cursor != NULL)
			appendBinaryStringInfo(&run->cursor, mark.cursor,
								   mark.cursor_len);
		outbox_run_discard(run);
		set_pass(run);
	}
	return run;
}

static void
free_run(OutboxRun *run)
{
	outbox_run_rest(run);
	runs = list_delete_ptr(runs, run);
	pfree(run->cursor.data);
	pfree(run->next_cursor.data);
	if (run->job.filter != NULL)
		pfree(run->job.filter);
	if (run->job.topic != NULL)
		pfree(run->job.topic);
	if (run->event_type != NULL)
		pfree(run->event_type);
	pfree(run);
}

/* What somebody asked for a job that we have. */
static void
obey(OutboxRun *run, OutboxJobWanted wanted)
{
	if (run->done || run->state >= OUTBOX_RUN_DONE)
		return;
	if (wanted == OUTBOX_JOB_RUN && run->state == OUTBOX_RUN_RUNNING)
		return;
	run->job.wanted = wanted;
	run->due_ms = 0;
	if (wanted == OUTBOX_JOB_RUN)
	{
		outbox_run_set(run, OUTBOX_RUN_WAITING, NULL);
		return;
	}
	outbox_run_rest(run);
	outbox_run_set(run, wanted == OUTBOX_JOB_PAUSE ? OUTBOX_RUN_PAUSED :
				   OUTBOX_RUN_CANCELLED, NULL);
}

static int
compare_runs(const ListCell *a, const ListCell *b)
{
	const OutboxRun *left = lfirst(a);
	const OutboxRun *right = lfirst(b);

	return left->job.id < right->job.id ? -1 : left->job.id > right->job.id;
}

static void
take_jobs(OutboxRelay *relay, List *jobs)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	ListCell   *lc;

	foreach(lc, jobs)
	{
		OutboxJob  *job = lfirst(lc);
		OutboxRun  *run = find_run(job->id);

		if (run == NULL)
		{
			run = new_run(&relay->position, job);
			runs = lappend(runs, run);
			if (job->wanted == OUTBOX_JOB_RUN)
				continue;
		}
		obey(run, job->wanted);
	}
	list_sort(runs, compare_runs);
	MemoryContextSwitchTo(old);
}

static void
load_jobs(OutboxRelay *relay)
{
	MemoryContext old = CurrentMemoryContext;

	reload_wanted = false;
	outbox_relay_begin_transaction();
	(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_SUSET,
							 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
	take_jobs(relay, outbox_job_list());
	CommitTransactionCommand();
	MemoryContextSwitchTo(old);
}

void
outbox_jobs_reload(void)
{
	reload_wanted = true;
}

/*
 * A batch with rows of this job was refused: not at once again.  A pass would
 * publish all rows in front of the refused one again each time.
 */
static void
hold_refused(OutboxRelay *relay)
{
	OutboxRelayEntry *entry = relay->entry;
	OutboxResult why;
	uint64		token;
	ListCell   *lc;

	SpinLockAcquire(&entry->mutex);
	token = entry->refused_job;
	why = entry->refused_job_why;
	entry->refused_job = 0;
	SpinLockRelease(&entry->mutex);
	foreach(lc, runs)
	{
		OutboxRun  *run = lfirst(lc);

		if (token == 0 || run->job.token != token ||
			run->state != OUTBOX_RUN_WAITING)
			continue;
		outbox_run_set(run, run->pass > 0 ? OUTBOX_RUN_FAILED :
					   OUTBOX_RUN_BLOCKED, why.message);
		run->due_ms = outbox_monotonic_ms() + OUTBOX_REFUSED_WAIT;
	}
}

static bool
is_listed(uint64 token)
{
	ListCell   *lc;

	foreach(lc, runs)
	{
		if (((OutboxRun *) lfirst(lc))->job.token == token)
			return true;
	}
	return false;
}

void
outbox_jobs_init(OutboxRelay *relay)
{
	OutboxJobMark mark;
	OutboxCursor c;

	load_jobs(relay);
	outbox_cursor_init(&c, relay->position.marks, relay->position.marks_len);
	while (outbox_job_mark_next(&c, &mark))
	{
		if (mark.done && !is_listed(mark.token))
			remember_finished(mark.token);
	}
	outbox_jobs_put_marks(relay);
	hold_refused(relay);
}

/* ---- what the stream carries ------------------------------------------- */

static void
note_chunk(OutboxChunk *chunk, const OutboxWalMessage *msg, TransactionId xid)
{
	if (chunk != NULL && !chunk->dead)
		outbox_touched_note(chunk->touched, msg, xid);
}

/*
 * By the table's name in the route, not by the route: a transaction may still
 * use one that is older than the capture's last change.
 */
void
outbox_jobs_note(const OutboxRouteEntry *route, const OutboxWalMessage *msg,
				 TransactionId xid)
{
	ListCell   *lc;

	if (msg->kind != OUTBOX_MESSAGE_CHANGE &&
		msg->kind != OUTBOX_MESSAGE_TRUNCATE)
		return;
	foreach(lc, runs)
	{
		OutboxRun  *run = lfirst(lc);

		if ((run->reading == NULL && run->ready == NULL) ||
			strcmp(run->event_type, route->event_type) != 0)
			continue;
		note_chunk(run->reading, msg, xid);
		note_chunk(run->ready, msg, xid);
	}
}

/* ---- what people see --------------------------------------------------- */

static void
measure(OutboxRun *run, int64 now)
{
	double		seconds = (now - run->saved_ms) / 1000.0;
	double		rate;

	if (run->saved_ms > 0 && seconds > 0.2)
	{
		rate = (run->recorded_rows - run->saved_rows) / seconds;
		run->rate = run->rate > 0 ? (run->rate + rate) / 2 : rate;
	}
	run->saved_ms = now;
	run->saved_rows = run->recorded_rows;
	run->unsaved = false;
}

static void
save_run(OutboxRun *run, int64 now)
{
	OutboxJobProgress progress = {0};

	measure(run, now);
	progress.state = outbox_run_state_name(run->state);
	progress.reason = run->reason[0] == '\0' ? NULL : run->reason;
	progress.rows = run->recorded_rows;
	progress.superseded = run->superseded;
	progress.reread = run->reread;
	progress.removed = run->removed;
	progress.pass = run->pass;
	progress.estimate = run->estimate;
	progress.rate = run->rate;
	progress.started_at = run->started_at;
	progress.finished = run->state >= OUTBOX_RUN_DONE;
	outbox_job_save(run->job.id, &progress);
}

/*
 * Flushed when that ends a job: a failed one has no mark to remember it by.
 * Standbys are not waited for.
 */
static const char *
durability(List *these)
{
	ListCell   *lc;

	foreach(lc, these)
	{
		if (((OutboxRun *) lfirst(lc))->state >= OUTBOX_RUN_DONE)
			return "local";
	}
	return "off";
}

/* False: somebody holds the table; there will be another time. */
static bool
save_runs(List *these, int64 now)
{
	MemoryContext old = CurrentMemoryContext;
	bool		saved = false;
	ListCell   *lc;

	PG_TRY();
	{
		outbox_relay_begin_transaction();
		(void) set_config_option("lock_timeout", SAVE_LOCK_TIMEOUT, PGC_SUSET,
								 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0,
								 false);
		(void) set_config_option("synchronous_commit", durability(these),
								 PGC_SUSET, PGC_S_SESSION, GUC_ACTION_LOCAL,
								 true, 0, false);
		foreach(lc, these)
			save_run(lfirst(lc), now);
		CommitTransactionCommand();
		saved = true;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(old);
		FlushErrorState();
		AbortCurrentTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	return saved;
}

/*
 * Say what has changed.  A finished run ends when that is written.
 */
static void
save_progress(void)
{
	static int64 tried_ms = 0;
	int64		now = outbox_monotonic_ms();
	List	   *due = NIL;
	ListCell   *lc;

	foreach(lc, runs)
	{
		OutboxRun  *run = lfirst(lc);

		if (run->unsaved && (run->saved_ms == 0 ||
							 now - run->saved_ms >= SAVE_INTERVAL))
			due = lappend(due, run);
	}
	if (due == NIL || now - tried_ms < SAVE_INTERVAL / 10)
	{
		list_free(due);
		return;
	}
	tried_ms = now;
	if (save_runs(due, now))
	{
		foreach(lc, due)
		{
			OutboxRun  *run = lfirst(lc);

			if (run->state < OUTBOX_RUN_DONE)
				continue;
			if (run->state == OUTBOX_RUN_DONE)
				remember_finished(run->job.token);
			free_run(run);
		}
	}
	list_free(due);
}

/* ---- taking turns ------------------------------------------------------ */

static bool
may_work(const OutboxRelay *relay, const OutboxRun *run)
{
	if (run->done || (run->state != OUTBOX_RUN_WAITING &&
					  run->state != OUTBOX_RUN_RUNNING &&
					  run->state != OUTBOX_RUN_BLOCKED))
		return false;
	return run->begun ||
		relay->position.marks_len + MARK_ROOM <= OUTBOX_MAX_MARKS;
}

/* The last rows are sent, and now known to be in Kafka, or soon. */
static void
conclude(OutboxRelay *relay, OutboxRun *run)
{
	if (run->recorded_done)
	{
		outbox_run_set(run, OUTBOX_RUN_DONE, NULL);
		return;
	}
	outbox_run_hurry(relay);	/* no event is left that would bring one */
}

static int
time_left(const OutboxRun *run, int64 now)
{
	if (run->unsaved)
		return SAVE_INTERVAL / 10;
	return run->due_ms > now ? (int) (run->due_ms - now) : -1;
}

int
outbox_jobs_step(OutboxRelay *relay, const OutboxSourceProgress *progress)
{
	int			active = 0;
	int			wait = -1;
	int64		now = outbox_monotonic_ms();
	ListCell   *lc;

	if (reload_wanted)
	{
		load_jobs(relay);
		hold_refused(relay);
	}
	if (runs == NIL)
		return -1;
	foreach(lc, runs)
	{
		OutboxRun  *run = lfirst(lc);
		int			left;

		if (run->done && run->state != OUTBOX_RUN_DONE)
			conclude(relay, run);
		if (!may_work(relay, run) || active == MAX_ACTIVE)
			continue;
		active++;
		outbox_run_step(relay, run, progress);
		left = time_left(run, now);
		if (left >= 0 && (wait < 0 || left < wait))
			wait = left;
	}
	save_progress();
	outbox_jobs_put_marks(relay);
	return wait;
}
