/*-------------------------------------------------------------------------
 *
 * diagnosis.c
 *		What Kafka looks like, for outbox.check().
 *
 * A session that runs outbox.check() never speaks to the network itself: it
 * asks the relay, the relay asks outbox-kafka with the topics that the catalog
 * knows, and what comes back is kept in shared memory with its time.  Nobody
 * waits for it here, and publishing goes on meanwhile.
 *
 * When a relay begins, and then, it also says which block its schema ids are of:
 * see outbox-kafka/instances.c.
 *
 *	relay or child dies in between	nothing is kept; the session's wait runs
 *									out, and it shows what was known before
 *	server restarts					nothing is known until somebody asks
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/instance.h"
#include "emit/emit.h"
#include "guc.h"
#include "record/diagnosis.h"
#include "relay/child.h"
#include "relay/relay.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#define LOCK_TIMEOUT	"100"	/* ms */
#define MAX_TOPICS		1000
#define NO_BLOCK		PG_UINT32_MAX
#define Anum_event_type_def_route_id 3

/* Topics of event types, each once per route; those with a pattern are left. */
static uint32
put_topics(StringInfo out)
{
	OutboxCatalogScan scan;
	HeapTuple	tuple;
	uint32		n = 0;

	outbox_catalog_scan_begin(&scan, "event_type_def", NULL, 0, NULL);
	while (n < MAX_TOPICS &&
		   HeapTupleIsValid(tuple = outbox_catalog_scan_next(&scan)))
	{
		bool		isnull;
		OutboxRoute route;
		Datum		id = outbox_catalog_attr(&scan, tuple,
											 Anum_event_type_def_route_id,
											 &isnull);

		if (isnull || !outbox_catalog_route(DatumGetInt32(id), &route) ||
			strstr(route.topic, "${") != NULL)
			continue;
		outbox_put_cstring(out, route.topic);
		outbox_put_u32(out, (uint32) route.partitions);
		n++;
	}
	outbox_catalog_scan_end(&scan);
	return n;
}

/*
 * Whoever holds a table of ours must not hold us: the topics that were used are
 * known to outbox-kafka anyway.  topics NULL: the block only.
 */
static uint32
read_catalog(StringInfo topics, uint32 *block)
{
	MemoryContext old = CurrentMemoryContext;
	volatile uint32 n = 0;

	*block = NO_BLOCK;

	PG_TRY();
	{
		outbox_relay_begin_transaction();
		(void) set_config_option("lock_timeout", LOCK_TIMEOUT,
								 PGC_SUSET, PGC_S_SESSION, GUC_ACTION_LOCAL,
								 true, 0, false);
		*block = outbox_instance_id_block();
		if (topics != NULL)
			n = put_topics(topics);
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(old);
		FlushErrorState();
		AbortCurrentTransaction();
		n = 0;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	return n;
}

/* A schema registry would give the ids. */
static void
announce(OutboxRelay *relay, uint32 block)
{
	StringInfo	out = outbox_child_buffer();
	Datum		instance = UUIDPGetDatum(&relay->instance.id);
	int			start;

	if (block == NO_BLOCK || outbox_schema_registry_url[0] != '\0')
		return;
	start = outbox_frame_begin(out, OUTBOX_FRAME_ANNOUNCE);
	outbox_put_cstring(out, DatumGetCString(DirectFunctionCall1(uuid_out,
																instance)));
	outbox_put_u32(out, block);
	outbox_put_u8(out, outbox_create_topics);
	outbox_frame_end(out, start);
}

void
outbox_diagnosis_announce(OutboxRelay *relay)
{
	uint32		block;

	(void) read_catalog(NULL, &block);
	announce(relay, block);
}

void
outbox_diagnosis_ask(OutboxRelay *relay)
{
	StringInfo	out = outbox_child_buffer();
	StringInfoData topics;
	uint32		n,
				block;
	int			start;

	/* Before the takeover is over there is nothing to look at Kafka with. */
	if (relay->source == NULL)
		return;
	initStringInfo(&topics);
	n = read_catalog(&topics, &block);
	announce(relay, block);
	start = outbox_frame_begin(out, OUTBOX_FRAME_DIAGNOSE);
	outbox_put_u8(out, outbox_create_topics);
	outbox_put_u32(out, (uint32) outbox_max_event_size);
	outbox_put_u32(out, n);
	if (n > 0)
		appendBinaryStringInfo(out, topics.data, topics.len);
	outbox_frame_end(out, start);
	outbox_child_flush();
	pfree(topics.data);
}

void
outbox_diagnosis_answered(OutboxRelay *relay, OutboxCursor *body)
{
	OutboxDiagnosis *diagnosis = &relay->entry->diagnosis;
	size_t		len = outbox_cursor_left(body);
	const char *data = (const char *) outbox_get_raw(body, len);

	if (outbox_diagnosis_read(data, len, NULL) < 0)
	{
		body->failed = true;
		return;
	}
	LWLockAcquire(OutboxState->lock, LW_EXCLUSIVE);
	memcpy(diagnosis->body, data, len);
	diagnosis->len = len;
	diagnosis->at = GetCurrentTimestamp();
	LWLockRelease(OutboxState->lock);
	ConditionVariableBroadcast(&relay->entry->progress);
}
