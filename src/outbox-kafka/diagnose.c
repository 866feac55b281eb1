/*-------------------------------------------------------------------------
 *
 * diagnose.c
 *		The DIAGNOSE request: look at broker, topics and registry.
 *
 * Runs as a job of the registrar's thread, which alone may use the registry;
 * each thing it asks has a time limit, and producers do not wait for it.  Asks
 * only, changes nothing.  What cannot be asked, for want of rights or of a
 * broker, is a finding too; the request never fails.  One at a time: who asks
 * while one is under way gets the answer of that.
 *
 * Nothing is remembered: if this process dies, nobody gets an answer.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-kafka/diagnose.h"

#include "base/cursor.h"
#include "outbox-kafka/instances.h"
#include "outbox-kafka/registry.h"

typedef struct DiagnoseJob
{
	OutboxJob	job;
	OutboxSession *session;
	OutboxDiagnose diagnose;
} DiagnoseJob;

static bool under_way = false;	/* main thread */

void
outbox_diagnose_add(OutboxDiagnose *diagnose, OutboxSeverity severity,
					const char *object, const char *hint,
					const char *problem,...)
{
	char		text[512];
	va_list		args;

	va_start(args, problem);
	vsnprintf(text, sizeof(text), problem, args);
	va_end(args);
	outbox_clean_line(text);
	outbox_findings_add(&diagnose->found, severity, object, text, hint);
}

static void
look_at_registry(OutboxDiagnose *diagnose, OutboxRegistry *registry)
{
	OutboxResult result;

	if (registry == NULL)
		return;
	if (outbox_registry_ping(registry, &result))
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_OK, "schema registry",
							NULL, "it answers");
	else
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_ERROR, "schema registry",
							"Known schemas go on; events of new ones wait. See outbox.schema_registry_url.",
							"%s", result.message);
}

static void
diagnose_run(OutboxJob *job)
{
	DiagnoseJob *self = (DiagnoseJob *) job;
	OutboxDiagnose *diagnose = &self->diagnose;
	OutboxSession *session = self->session;

	outbox_diagnose_libraries(diagnose, session->config);
	if (diagnose->rk == NULL)
		outbox_diagnose_add(diagnose, OUTBOX_SEVERITY_INFO, "kafka",
							"Ask again.",
							"the connection is being made anew");
	else if (outbox_diagnose_brokers(diagnose) &&
			 outbox_diagnose_topics(diagnose))
		outbox_diagnose_clock(diagnose);
	look_at_registry(diagnose, session->registry);
	if (diagnose->brokers > 0)
		outbox_instances_compare(diagnose, session);
	outbox_findings_finish(&diagnose->found);
}

static void
diagnose_done(OutboxJob *job)
{
	DiagnoseJob *self = (DiagnoseJob *) job;
	OutboxDiagnose *diagnose = &self->diagnose;
	OutboxSession *session = self->session;

	under_way = false;
	if (!session->failed)
	{
		StringInfo	out = &session->link.out;
		int			start = outbox_frame_begin(out, OUTBOX_FRAME_DIAGNOSIS);

		appendBinaryStringInfo(out, diagnose->found.body.data,
							   diagnose->found.body.len);
		outbox_frame_end(out, start);
	}
	for (int i = 0; i < diagnose->ntopics; i++)
		pfree(diagnose->topics[i].name);
	pfree(diagnose->topics);
	pfree(diagnose->found.body.data);
	pfree(self);
}

static void
add_topic(OutboxDiagnose *diagnose, char *name, int partitions, bool declared)
{
	OutboxDiagnosedTopic *topic;

	for (int i = 0; i < diagnose->ntopics; i++)
	{
		if (strcmp(diagnose->topics[i].name, name) == 0)
		{
			pfree(name);
			return;
		}
	}
	topic = &diagnose->topics[diagnose->ntopics++];
	topic->name = name;
	topic->partitions = partitions;
	topic->declared = declared;
}

/* What the relay names, and what was used beside that. */
static void
read_topics(OutboxDiagnose *diagnose, OutboxSession *session, OutboxCursor *c)
{
	uint32		n = outbox_get_u32(c);

	if (c->failed || n > outbox_cursor_left(c) / 8)
		outbox_link_leave();
	diagnose->topics = palloc0((n + session->topics_size + 1) *
							   sizeof(OutboxDiagnosedTopic));
	for (uint32 i = 0; i < n; i++)
	{
		int32		len;
		const char *name = outbox_get_bytes(c, &len);
		int32		partitions = (int32) outbox_get_u32(c);

		if (c->failed || len <= 0 || memchr(name, '\0', len) != NULL)
			outbox_link_leave();
		add_topic(diagnose, pnstrdup(name, len), partitions, true);
	}
	if (outbox_cursor_left(c) != 0)
		outbox_link_leave();
	for (uint32 i = 0; i < session->topics_size; i++)
	{
		const char *name = session->topics[i];

		if (name != NULL && strcmp(name, session->position_topic) != 0)
			add_topic(diagnose, pstrdup(name), -1, false);
	}
}

void
outbox_diagnose_request(OutboxSession *session, const char *body, size_t len)
{
	DiagnoseJob *self;
	OutboxDiagnose *diagnose;
	OutboxHandle *client = outbox_session_client(session);
	OutboxCursor c;

	if (!session->initialised)
		outbox_link_leave();
	if (under_way)
		return;
	self = palloc0(sizeof(DiagnoseJob));
	diagnose = &self->diagnose;
	outbox_cursor_init(&c, body, len);
	diagnose->creates = outbox_get_u8(&c) != 0;
	diagnose->max_event = outbox_get_u32(&c);
	read_topics(diagnose, session, &c);
	diagnose->rk = client == NULL ? NULL : client->rk;
	diagnose->position_topic = session->position_topic;
	diagnose->exactly_once = session->delivery == OUTBOX_EXACTLY_ONCE;
	outbox_findings_init(&diagnose->found);
	self->session = session;
	self->job.run = diagnose_run;
	self->job.done = diagnose_done;
	under_way = true;
	outbox_worker_submit(&session->registrar, &self->job);
}
