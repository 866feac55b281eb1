/*-------------------------------------------------------------------------
 *
 * reader_link.c
 *		The relay's end of a snapshot reader: worker, shared memory, queues.
 *
 * Nothing here ever waits.  The reader's messages set our latch, so that the
 * relay's only sleep ends; requests are small and only one or two are under
 * way, so that the queue takes them at once.
 *
 * A reader that was never started (no free worker slot) or has died is a queue
 * without an other end.  When this process ends, the segment is detached and
 * the reader, which is a slave of its queues, leaves by itself.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "jobs/run.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "storage/shm_mq.h"
#include "storage/shm_toc.h"
#include "utils/memutils.h"

struct OutboxReaderLink
{
	MemoryContext context;
	dsm_segment *segment;
	shm_mq_handle *requests;
	shm_mq_handle *chunks;
	BackgroundWorkerHandle *worker;
};

static void
make_queues(OutboxReaderLink *link, shm_mq **requests, shm_mq **chunks)
{
	shm_toc_estimator e;
	shm_toc    *toc;
	Size		size;

	shm_toc_initialize_estimator(&e);
	shm_toc_estimate_chunk(&e, OUTBOX_REQUESTS_SIZE);
	shm_toc_estimate_chunk(&e, OUTBOX_CHUNKS_SIZE);
	shm_toc_estimate_keys(&e, 2);
	size = shm_toc_estimate(&e);
	link->segment = dsm_create(size, 0);
	dsm_pin_mapping(link->segment);
	toc = shm_toc_create(OUTBOX_READER_MAGIC,
						 dsm_segment_address(link->segment), size);
	*requests = shm_mq_create(shm_toc_allocate(toc, OUTBOX_REQUESTS_SIZE),
							  OUTBOX_REQUESTS_SIZE);
	shm_toc_insert(toc, OUTBOX_READER_REQUESTS, *requests);
	*chunks = shm_mq_create(shm_toc_allocate(toc, OUTBOX_CHUNKS_SIZE),
							OUTBOX_CHUNKS_SIZE);
	shm_toc_insert(toc, OUTBOX_READER_CHUNKS, *chunks);
	shm_mq_set_sender(*requests, MyProc);
	shm_mq_set_receiver(*chunks, MyProc);
}

static bool
start_worker(OutboxReaderLink *link)
{
	OutboxReaderArgs args = {MyDatabaseId,
	dsm_segment_handle(link->segment)};
	BackgroundWorker worker;

	StaticAssertStmt(sizeof(args) <= BGW_EXTRALEN, "arguments must fit");
	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	strlcpy(worker.bgw_library_name, "outbox", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "outbox_reader_main",
			sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, "outbox snapshot reader", sizeof(worker.bgw_name));
	strlcpy(worker.bgw_type, "outbox snapshot reader", sizeof(worker.bgw_type));
	memcpy(worker.bgw_extra, &args, sizeof(args));
	return RegisterDynamicBackgroundWorker(&worker, &link->worker);
}

/* NULL: there is no free worker slot. */
OutboxReaderLink *
outbox_reader_start(void)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext,
												  "outbox reader link",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	OutboxReaderLink *link = palloc0(sizeof(OutboxReaderLink));
	shm_mq	   *requests;
	shm_mq	   *chunks;

	link->context = context;
	make_queues(link, &requests, &chunks);
	if (!start_worker(link))
	{
		dsm_detach(link->segment);
		MemoryContextSwitchTo(old);
		MemoryContextDelete(context);
		return NULL;
	}
	link->requests = shm_mq_attach(requests, link->segment, link->worker);
	link->chunks = shm_mq_attach(chunks, link->segment, link->worker);
	MemoryContextSwitchTo(old);
	return link;
}

void
outbox_reader_stop(OutboxReaderLink *link)
{
	shm_mq_detach(link->requests);
	shm_mq_detach(link->chunks);
	dsm_detach(link->segment);
	MemoryContextDelete(link->context);
}

/* False: the reader is gone. */
bool
outbox_reader_ask(OutboxReaderLink *link, StringInfo request)
{
	shm_mq_result result = shm_mq_send(link->requests, request->len,
									   request->data, true, true);

	if (result == SHM_MQ_WOULD_BLOCK)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a request of %d bytes is too large for the snapshot reader",
						request->len)));
	return result == SHM_MQ_SUCCESS;
}

OutboxReaderAnswer
outbox_reader_listen(OutboxReaderLink *link, const char **data, Size *len)
{
	void	   *bytes;

	switch (shm_mq_receive(link->chunks, len, &bytes, true))
	{
		case SHM_MQ_SUCCESS:
			*data = bytes;
			return OUTBOX_READER_CHUNK;
		case SHM_MQ_WOULD_BLOCK:
			return OUTBOX_READER_NOTHING;
		default:
			return OUTBOX_READER_GONE;
	}
}
