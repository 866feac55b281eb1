/*-------------------------------------------------------------------------
 *
 * producer.c
 *		The ring of transactional producers: init, begin, commit, revive.
 *
 * Transactional id k is "<prefix>-<k>"; batch b uses producer b modulo ring,
 * because a broker refuses the next transaction of one id for about 20 ms
 * while it writes the markers of the last.  A producer belongs to the main
 * thread, but for a commit its librdkafka handle is used by the committer
 * thread; only the main thread replaces a handle.
 *
 * When two ids are not enough, because the broker is slow to write markers, an
 * early batch is late by 20 ms, and so are all behind it.  So ids rest a little
 * after a commit, see rest.h.
 *
 * What is left when the process dies just here:
 *
 *	in INIT			some ids have a new epoch.  Open transactions of theirs
 *					are aborted, which is what INIT is for.
 *	after begin		nothing at the broker: it learns of the transaction with
 *					the first message.
 *	in a commit		EndTxn is at the broker or not; see batch.c.
 *	while reviving	the commit before it was a success and was reported.
 *
 * A commit is asked for in slices of COMMIT_SLICE ms so that it can be given
 * up; librdkafka resumes it.  It is given up after the transaction timeout:
 * by then the broker has decided by itself, and the relay must find out how.
 *
 * KAFKA-17754: librdkafka sends EndTxn again after a lost connection, with a
 * protocol in which the coordinator checks nothing but the epoch.  If the
 * first one is only late, it would end the *next* transaction of this id,
 * half-produced.  So whenever one commit took more than one EndTxn, the handle
 * is thrown away and the id initialised again, which raises the epoch, before
 * the id is used for another batch.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-kafka/session.h"

#include "outbox-kafka/report.h"
#include "outbox-kafka/rest.h"
#include "outbox-kafka/topics.h"

#include <syslog.h>

#define COMMIT_SLICE	250		/* ms */
#define COMMIT_GRACE	3000	/* beyond the transaction timeout */
#define INIT_TIMEOUT	10000

typedef struct CommitJob
{
	OutboxJob	job;
	OutboxSession *session;
	OutboxBatch *batch;
	OutboxHandle *handle;
	int			fd;
	int64		timeout;
	uint32		requests;		/* EndTxn requests it took */
} CommitJob;

typedef struct InitJob
{
	OutboxJob	job;
	OutboxSession *session;
	OutboxProducer *revived;	/* only this one; NULL = INIT */
	int			first;			/* ids first .. first + count - 1 */
	int			count;
	OutboxHandle *handles[OUTBOX_MAX_IDS];
	OutboxTopicList names;		/* to be looked up beforehand */
} InitJob;

/*
 * Fill *result from an error of the transactional API, and destroy it.
 */
static void
take_error(OutboxResult *result, OutboxHandle *handle,
		   rd_kafka_error_t *error, const char *doing)
{
	rd_kafka_resp_err_t err = rd_kafka_error_code(error);
	OutboxResultClass class = outbox_error_class(err);
	OutboxResult trouble;

	if (class != OUTBOX_FENCED && class != OUTBOX_CONFIG)
		class = OUTBOX_UNKNOWN;
	if (outbox_handle_trouble(handle, &trouble) &&
		trouble.class == OUTBOX_FENCED)
		class = OUTBOX_FENCED;
	outbox_result_set(result, class, err, "%s: %s", doing,
					  rd_kafka_error_string(error));
	rd_kafka_error_destroy(error);
}

/*
 * Whether the producer of a batch is free and has rested.
 */
bool
outbox_producer_can_begin(OutboxSession *session, uint32 batch)
{
	OutboxProducer *producer = &session->producers[batch % session->ring];

	if (producer->state != OUTBOX_PRODUCER_FREE)
		return false;
	if (outbox_now_us() < producer->rested_us)
	{
		session->begin_due_us = producer->rested_us;
		return false;
	}
	return true;
}

/*
 * The producer of a batch, its transaction begun.  NULL: still busy, or
 * *result says what is wrong.
 */
OutboxProducer *
outbox_producer_begin(OutboxSession *session, uint32 batch,
					  OutboxResult *result)
{
	OutboxProducer *producer = &session->producers[batch % session->ring];
	rd_kafka_error_t *error;

	if (producer->state == OUTBOX_PRODUCER_ABSENT)
		outbox_link_leave();	/* DATA before INIT */
	if (!outbox_producer_can_begin(session, batch))
		return NULL;
	producer->handle->end_txn_requests = 0;
	producer->handle->partitions_us = 0;
	producer->handle->came_early = false;
	error = rd_kafka_begin_transaction(producer->handle->rk);
	if (error != NULL)
	{
		take_error(result, producer->handle, error,
				   "could not begin a Kafka transaction");
		return NULL;
	}
	producer->state = OUTBOX_PRODUCER_OPEN;
	return producer;
}

/*
 * In the committer thread.
 */
static void
commit_run(OutboxJob *job)
{
	CommitJob  *commit = (CommitJob *) job;
	int64		deadline = outbox_now_ms() + commit->timeout;

	if (commit->session->halted)
	{
		outbox_result_set(&job->result, OUTBOX_UNKNOWN, 0,
						  "not committed, because an earlier step failed");
		return;
	}
	outbox_link_check_open(commit->fd);
	outbox_result_ok(&job->result);
	for (;;)
	{
		rd_kafka_error_t *error;

		error = rd_kafka_commit_transaction(commit->handle->rk, COMMIT_SLICE);
		if (error == NULL)
			break;
		if (rd_kafka_error_is_retriable(error) &&
			!rd_kafka_error_is_fatal(error) &&
			!rd_kafka_error_txn_requires_abort(error) &&
			outbox_now_ms() < deadline)
		{
			rd_kafka_error_destroy(error);
			continue;
		}
		take_error(&job->result, commit->handle, error,
				   "could not commit a Kafka transaction");

		/* those behind it in the queue must not be committed */
		commit->session->halted = true;
		break;
	}
	commit->requests = commit->handle->end_txn_requests;
}

static void revive(OutboxSession *session, OutboxProducer *producer);

/* Learn how long an id must rest after its commit. */
static void
adapt_rest(OutboxSession *session, OutboxProducer *producer, uint32 events)
{
	session->rest_us = outbox_rest_next(session->rest_us, events,
										producer->handle->came_early);
	producer->rested_us = outbox_now_us() + session->rest_us;
}

static void
commit_done(OutboxJob *job)
{
	CommitJob  *commit = (CommitJob *) job;
	OutboxSession *session = commit->session;
	OutboxBatch *batch = commit->batch;

	if (job->result.class != OUTBOX_OK)
		outbox_session_fail(session, OUTBOX_FRAME_COMMIT, &job->result,
							batch->number, OUTBOX_NO_TOPIC);
	else if (!session->failed)
	{
		outbox_session_reply_committed(session, batch->number, batch->events);
		adapt_rest(session, batch->producer, batch->events);
		if (commit->requests > 1)
			revive(session, batch->producer);
		else
			batch->producer->state = OUTBOX_PRODUCER_FREE;
		session->first = (session->first + 1) % OUTBOX_WINDOW;
		session->count--;
	}
	pfree(commit);
}

/*
 * Every message of the batch is acknowledged: commit it.
 */
void
outbox_producer_commit(OutboxSession *session, OutboxBatch *batch)
{
	CommitJob  *commit = palloc0(sizeof(CommitJob));

	commit->job.run = commit_run;
	commit->job.done = commit_done;
	commit->session = session;
	commit->batch = batch;
	commit->handle = batch->producer->handle;
	commit->fd = session->link.fd;
	commit->timeout = outbox_transaction_timeout(session->config) +
		COMMIT_GRACE;
	batch->handed = true;
	batch->producer->state = OUTBOX_PRODUCER_COMMITTING;
	outbox_worker_submit(&session->committer, &commit->job);
}

/*
 * In the requests thread: initialise what init_run created.
 */
static bool
init_one(OutboxSession *session, int id, OutboxHandle *handle, int64 deadline,
		 OutboxResult *result)
{
	char		doing[OUTBOX_RESULT_MESSAGE_SIZE];

	snprintf(doing, sizeof(doing),
			 "could not initialise transactional id \"%s-%d\"",
			 session->prefix, id);
	for (;;)
	{
		rd_kafka_error_t *error;
		OutboxResult link;

		error = rd_kafka_init_transactions(handle->rk, COMMIT_SLICE);
		if (error == NULL)
			return true;
		outbox_report_trouble(&link);
		if (rd_kafka_error_is_retriable(error) &&
			!rd_kafka_error_is_fatal(error) &&
			link.class != OUTBOX_CONFIG && outbox_now_ms() < deadline)
		{
			rd_kafka_error_destroy(error);
			continue;
		}
		take_error(result, handle, error, doing);
		if (link.class != OUTBOX_OK)
			*result = link;
		else if (result->class == OUTBOX_UNKNOWN)
			result->class = OUTBOX_RETRY;
		return false;
	}
}

static void
init_run(OutboxJob *job)
{
	InitJob    *init = (InitJob *) job;
	OutboxSession *session = init->session;
	int64		deadline = outbox_now_ms() + INIT_TIMEOUT;

	outbox_result_ok(&job->result);
	for (int i = 0; i < init->count; i++)
	{
		char	   *id = psprintf("%s-%d", session->prefix, init->first + i);

		init->handles[i] = outbox_handle_new(session->config,
											 OUTBOX_HANDLE_TRANSACTIONAL, id,
											 outbox_delivered,
											 session->wake_fd, &job->result);
		pfree(id);
		if (init->handles[i] == NULL)
			return;
	}
	for (int i = 0; i < init->count; i++)
	{
		if (!init_one(session, init->first + i, init->handles[i], deadline,
					  &job->result))
			return;
		if (session->delivery == OUTBOX_EXACTLY_ONCE &&
			init->first + i < session->ring)
			outbox_topics_warm(init->handles[i], &init->names);
	}
	if (session->delivery == OUTBOX_AT_LEAST_ONCE)
		outbox_topics_warm(session->plain, &init->names);
}

static void
init_done(OutboxJob *job)
{
	InitJob    *init = (InitJob *) job;
	OutboxSession *session = init->session;
	bool		ok = job->result.class == OUTBOX_OK;

	for (int i = 0; i < init->count; i++)
	{
		int			id = init->first + i;

		if (init->handles[i] == NULL)
			continue;
		if (ok && session->delivery == OUTBOX_EXACTLY_ONCE &&
			id < session->ring)
		{
			OutboxProducer *producer = &session->producers[id];

			if (producer->handle != NULL)
				outbox_session_bury(session, producer->handle);
			producer->handle = init->handles[i];
			producer->state = OUTBOX_PRODUCER_FREE;
		}
		else
			outbox_session_bury(session, init->handles[i]);
	}
	if (!ok)
		outbox_session_fail(session, OUTBOX_FRAME_INIT, &job->result, 0,
							OUTBOX_NO_TOPIC);
	else if (init->revived == NULL)
	{
		session->initialised = true;
		session->waiting = false;
		outbox_session_spare_plain(session);
		outbox_session_reply(session, OUTBOX_FRAME_INIT_OK);
	}
	outbox_topics_list_free(&init->names);
	pfree(init);
}

static InitJob *
new_init_job(OutboxSession *session, int first, int count)
{
	InitJob    *init = palloc0(sizeof(InitJob));

	init->job.run = init_run;
	init->job.done = init_done;
	init->session = session;
	init->first = first;
	init->count = count;
	outbox_topics_list(session, &init->names);
	return init;
}

/*
 * INIT.  A second one in the same session raises the epochs again; it must not
 * come while batches are under way.
 */
void
outbox_producer_init(OutboxSession *session, int count)
{
	InitJob    *init;

	if (session->count > 0)
		outbox_link_leave();
	init = new_init_job(session, 0, count);
	session->waiting = true;
	outbox_worker_submit(&session->requests, &init->job);
}

static void
revive(OutboxSession *session, OutboxProducer *producer)
{
	InitJob    *init = new_init_job(session,
									(int) (producer - session->producers), 1);

	outbox_report_log(LOG_NOTICE, "OUTBOX",
					  "a commit took more than one EndTxn request; the "
					  "producer is initialised again");
	init->revived = producer;
	producer->state = OUTBOX_PRODUCER_REVIVING;
	outbox_worker_submit(&session->requests, &init->job);
}

void
outbox_producer_poll(OutboxSession *session)
{
	if (session->plain != NULL)
		outbox_handle_poll(session->plain);
	for (int i = 0; i < session->ring; i++)
		if (session->producers[i].handle != NULL)
			outbox_handle_poll(session->producers[i].handle);
}

/*
 * Whether a producer is beyond use.  One that the committer has will say so
 * itself, with its batch; a replaced one does not matter.
 */
bool
outbox_producer_trouble(OutboxSession *session, OutboxResult *result)
{
	if (session->plain != NULL &&
		outbox_handle_trouble(session->plain, result))
		return true;
	for (int i = 0; i < session->ring; i++)
	{
		OutboxProducer *producer = &session->producers[i];

		if ((producer->state == OUTBOX_PRODUCER_FREE ||
			 producer->state == OUTBOX_PRODUCER_OPEN) &&
			outbox_handle_trouble(producer->handle, result))
			return true;
	}
	return false;
}
