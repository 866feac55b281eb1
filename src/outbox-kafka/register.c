/*-------------------------------------------------------------------------
 *
 * register.c
 *		REGISTER frames: have a schema known to the schema registry.
 *
 * A registry may be slow, so this runs in a thread of its own, one request
 * after the other, while the main loop goes on with everything else.  What
 * comes of it is said by REGISTERED in every case: a registry that refuses, or
 * is away, changes nothing for producers and batches.
 *
 * Nothing is remembered here: if this process dies, the relay asks again.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-kafka/session.h"

#include "outbox-kafka/registry.h"

typedef struct RegisterJob
{
	OutboxJob	job;
	OutboxSession *session;
	char	   *body;			/* what borrows from it */
	OutboxRegister what;
	uint32		id;
} RegisterJob;

static void
register_run(OutboxJob *job)
{
	RegisterJob *reg = (RegisterJob *) job;

	if (!outbox_registry_get_id(reg->session->registry, &reg->what, &reg->id,
								&job->result))
		reg->id = 0;
}

static void
register_done(OutboxJob *job)
{
	RegisterJob *reg = (RegisterJob *) job;
	OutboxSession *session = reg->session;
	OutboxRegistered answer = {0};

	answer.schema_id = reg->what.schema_id;
	answer.class = job->result.class;
	answer.code = job->result.code;
	answer.external_id = reg->id;
	answer.message = job->result.message;
	answer.message_len = (int32) strlen(job->result.message);
	if (!session->failed)
	{
		int			start = outbox_frame_begin(&session->link.out,
											   OUTBOX_FRAME_REGISTERED);

		outbox_registered_write(&session->link.out, &answer);
		outbox_frame_end(&session->link.out, start);
	}
	pfree(reg->body);
	pfree(reg);
}

void
outbox_register_request(OutboxSession *session, const char *body, size_t len)
{
	RegisterJob *reg = palloc0(sizeof(RegisterJob));

	reg->body = palloc(len + 1);
	memcpy(reg->body, body, len);
	if (session->registry == NULL ||
		!outbox_register_read(reg->body, len, &reg->what))
		outbox_link_leave();
	reg->job.run = register_run;
	reg->job.done = register_done;
	reg->session = session;
	outbox_worker_submit(&session->registrar, &reg->job);
}
