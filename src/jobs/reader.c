/*-------------------------------------------------------------------------
 *
 * reader.c
 *		A background worker that reads tables, or the event log, for the relay.
 *
 * One for each job at work, started by the relay that runs the job and gone
 * with it: when either end of the queues is closed, so is the other.
 *
 *	request		read_table.c reads one chunk into memory, in a transaction of
 *				its own, which ends before anything is sent: neither Kafka nor
 *				a relay that waits for it can make us hold a lock or an xmin.
 *				But for tables without a key: pass.c
 *	chunk		sent when WAL is flushed up to its H
 *	error		sent instead; the relay decides what becomes of the job
 *
 * A death at any place loses a chunk that nobody has seen; the relay notices a
 * closed queue, and where to go on is written in Kafka.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "jobs/chunk.h"
#include "jobs/pass.h"
#include "jobs/read_table.h"
#include "jobs/rebuild.h"
#include "jobs/replay.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/shm_mq.h"
#include "storage/shm_toc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#define LOCK_TIMEOUT	"2000"	/* ms that a table may be locked against us */

typedef struct Queues
{
	shm_mq_handle *requests;
	shm_mq_handle *chunks;
} Queues;

static Queues queues;

static void
attach(dsm_handle handle)
{
	dsm_segment *segment = dsm_attach(handle);
	shm_toc    *toc;
	shm_mq	   *mq;

	/* The relay was faster to leave than we to come. */
	if (segment == NULL)
		proc_exit(0);
	dsm_pin_mapping(segment);
	toc = shm_toc_attach(OUTBOX_READER_MAGIC, dsm_segment_address(segment));
	if (toc == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("invalid magic number in dynamic shared memory segment")));
	mq = shm_toc_lookup(toc, OUTBOX_READER_REQUESTS, false);
	shm_mq_set_receiver(mq, MyProc);
	queues.requests = shm_mq_attach(mq, segment, NULL);
	mq = shm_toc_lookup(toc, OUTBOX_READER_CHUNKS, false);
	shm_mq_set_sender(mq, MyProc);
	queues.chunks = shm_mq_attach(mq, segment, NULL);
}

/* No request comes while one is worked on. */
void
outbox_reader_check(void)
{
	Size		len;
	void	   *data;

	CHECK_FOR_INTERRUPTS();
	if (shm_mq_receive(queues.requests, &len, &data, true) ==
		SHM_MQ_DETACHED)
		proc_exit(0);
}

static void
begin(void)
{
	StartTransactionCommand();
	XactIsoLevel = XACT_READ_COMMITTED;
	XactReadOnly = true;
	(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_SUSET,
							 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}

/* The head comes first, and is known last. */
static void
read_chunk(const OutboxChunkRequest *request, StringInfo out)
{
	OutboxChunkHead head;
	StringInfoData rows;
	MemoryContext work = CurrentMemoryContext;
	MemoryContext old;

	pgstat_report_activity(STATE_RUNNING, "outbox: reading a chunk");
	if (request->topic != NULL)
		outbox_rebuild_ask_kafka(request);
	if (!outbox_pass_is_open())
		begin();
	old = MemoryContextSwitchTo(work);
	initStringInfo(&rows);
	MemoryContextSwitchTo(old);
	if (request->replay != 0)
		outbox_replay_read(request, &head, &rows);
	else if (request->topic != NULL)
		outbox_rebuild_read(request, &head, &rows);
	else
		outbox_read_chunk(request, &head, &rows);
	MemoryContextSwitchTo(work);
	outbox_chunk_put_head(out, &head);
	appendBinaryStringInfo(out, rows.data, rows.len);
	if (!outbox_pass_is_open())
		CommitTransactionCommand();
	MemoryContextSwitchTo(work);
	XLogFlush(head.until);
	pgstat_report_activity(STATE_IDLE, NULL);
}

static void
report_error(uint32 number, StringInfo out)
{
	ErrorData  *error = CopyErrorData();
	OutboxChunkHead head = {.number = number,.sqlstate = error->sqlerrcode};

	FlushErrorState();
	if (head.sqlstate == 0)
		head.sqlstate = ERRCODE_INTERNAL_ERROR;
	head.message = error->hint == NULL ? error->message :
		psprintf("%s (%s)", error->message, error->hint);
	head.message_len = strlen(head.message);
	resetStringInfo(out);
	outbox_chunk_put_head(out, &head);
}

static void
answer(const char *data, Size len)
{
	OutboxChunkRequest request;
	MemoryContext work = CurrentMemoryContext;
	StringInfoData out;

	outbox_chunk_get_request(data, len, &request);
	initStringInfo(&out);
	PG_TRY();
	{
		read_chunk(&request, &out);
	}
	PG_CATCH();
	{
		/* Being told to leave is not the job's error. */
		if (ProcDiePending)
			PG_RE_THROW();
		MemoryContextSwitchTo(work);
		report_error(request.number, &out);
		AbortCurrentTransaction();
		outbox_pass_forget();
		MemoryContextSwitchTo(work);
		pgstat_report_activity(STATE_IDLE, NULL);
	}
	PG_END_TRY();
	if (shm_mq_send(queues.chunks, out.len, out.data, false, true) !=
		SHM_MQ_SUCCESS)
		proc_exit(0);
}

void
outbox_reader_main(Datum arg)
{
	OutboxReaderArgs args;
	MemoryContext work;

	memcpy(&args, MyBgworkerEntry->bgw_extra, sizeof(args));
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(args.database, InvalidOid, 0);
	SetConfigOption("search_path", "pg_catalog, pg_temp", PGC_SUSET,
					PGC_S_SESSION);
	MemoryContextSwitchTo(TopMemoryContext);
	attach(args.segment);
	work = AllocSetContextCreate(TopMemoryContext, "outbox reader",
								 ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(work);
	for (;;)
	{
		void	   *data;
		Size		len;

		if (shm_mq_receive(queues.requests, &len, &data, false) !=
			SHM_MQ_SUCCESS)
			proc_exit(0);
		answer(data, len);
		MemoryContextReset(work);
	}
}
