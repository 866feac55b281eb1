/*-------------------------------------------------------------------------
 *
 * copy.c
 *		The dead-letter topic: a copy of each event that is parked.
 *
 * With outbox.dead_letter_topic set, the Kafka transaction that passes a parked
 * event carries a copy of it to that topic, so there is one, whatever dies in
 * between: as long as the position is in front of the event it is met again,
 * found in the table, and copied again; afterwards never more.
 *
 * The copy has event id, key and headers of the event, and headers
 * "outbox.dead_letter.*" that say what became of it.  Its value is what would
 * have been published, unless the schema registry has refused that.
 *
 * What the broker refused it may refuse here, too.  Then the child names the
 * copy, this process ends, and the next one finds the event both parked and
 * condemned: it notes on the row that the copy is to be reduced, without value
 * and the event's own headers.  If not even that can go, the relay stands
 * blocked, and the reason names the topic.
 *
 * Owns, for the process, a memory context for one copy.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "guc.h"
#include "relay/copy.h"
#include "relay/parking.h"
#include "utils/memutils.h"

#define PREFIX "outbox.dead_letter."

static MemoryContext context = NULL;

bool
outbox_copy_wanted(void)
{
	return outbox_dead_letter_topic[0] != '\0';
}

static void
add(StringInfo headers, const char *name, const char *value)
{
	(void) outbox_headers_add(headers, name, strlen(name), value,
							  strlen(value));
}

static void
add_story(StringInfo headers, const OutboxTxn *txn,
		  const OutboxRouteEntry *route, const OutboxWalMessage *msg,
		  const OutboxParkedStory *story)
{
	const char *topic = msg->topic != NULL ?
		pnstrdup(msg->topic, msg->topic_len) : route->topic;

	add(headers, PREFIX "id", psprintf(INT64_FORMAT, story->id));
	add(headers, PREFIX "event_type", route->event_type);
	add(headers, PREFIX "topic", topic);
	if (msg->partition >= 0)
		add(headers, PREFIX "partition", psprintf("%d", msg->partition));
	add(headers, PREFIX "place",
		psprintf("%X/%X %u", LSN_FORMAT_ARGS(txn->commit_end), msg->ordinal));
	if (story->reason != NULL)
		add(headers, PREFIX "reason", story->reason);
	if (story->code != 0)
		add(headers, PREFIX "code", psprintf("%d", story->code));
	if (story->blocked_by != 0)
		add(headers, PREFIX "behind",
			psprintf(INT64_FORMAT, story->blocked_by));
}

/* The event's own headers come first. */
static void
begin_headers(StringInfo headers, const OutboxWalMessage *msg, bool reduced)
{
	initStringInfo(headers);
	if (msg->headers != NULL && !reduced)
		appendBinaryStringInfo(headers, msg->headers, msg->headers_len);
	else
		outbox_headers_begin(headers);
}

/* Whether the copy of that place was what the broker refused. */
static bool
must_reduce(OutboxRelay *relay, const OutboxParkedPlace *place,
			const OutboxParkedStory *story)
{
	MemoryContext old;
	OutboxResult why;

	if (story->reduced)
		return true;
	if (!outbox_parking_condemned(relay, place, &why))
		return false;
	old = outbox_parking_begin();
	outbox_parked_reduce_copy(place);
	outbox_parking_end(old);
	outbox_parking_passes(NULL);
	outbox_parking_pardon(relay, place);
	ereport(LOG,
			(errmsg("outbox copies an event to topic \"%s\" without its value: %s",
					outbox_dead_letter_topic, why.message)));
	return true;
}

/*
 * Whether it can be framed as it would have been.  The registry may be waited
 * for, as with any event, but not for an answer that it gives for good.
 */
static bool
can_frame(OutboxRelay *relay, const OutboxRouteEntry *route,
		  const OutboxWalMessage *msg)
{
	OutboxRouteEntry parkable = *route;
	OutboxResult why;

	parkable.dead_letter = true;
	return outbox_publish_prepare(relay, &parkable, msg, &why);
}

static void
send_copy(OutboxRelay *relay, const OutboxTxn *txn, OutboxRouteEntry *route,
		  const OutboxWalMessage *msg)
{
	OutboxParkedPlace place = {txn->commit_end, msg->ordinal};
	OutboxWalMessage copy = *msg;
	OutboxParkedStory story;
	StringInfoData headers;
	MemoryContext old = outbox_parking_begin();
	bool		found,
				reduced,
				framed;

	MemoryContextSwitchTo(context);
	found = outbox_parked_story(&place, &story);
	outbox_parking_end(old);
	if (!found)
		return;
	MemoryContextSwitchTo(context);
	reduced = must_reduce(relay, &place, &story);
	framed = can_frame(relay, route, msg);
	begin_headers(&headers, msg, reduced);
	add_story(&headers, txn, route, msg, &story);
	if (reduced)
	{
		copy.payload = NULL;
		copy.payload_len = -1;
		add(&headers, PREFIX "value", "left out");
	}
	else if (!framed && msg->schema_id != 0)
		add(&headers, PREFIX "schema_id", psprintf("%u", msg->schema_id));
	if (!framed && (msg->flags & OUTBOX_MSG_KEY_SCHEMA) && msg->key != NULL)
	{
		copy.flags &= ~OUTBOX_MSG_KEY_SCHEMA;
		copy.key += sizeof(uint32);
		copy.key_len -= sizeof(uint32);
	}
	copy.headers = headers.data;
	copy.headers_len = headers.len;
	copy.topic = pstrdup(outbox_dead_letter_topic);
	copy.topic_len = strlen(copy.topic);
	copy.partition = -1;
	MemoryContextSwitchTo(old);
	outbox_publish_copy(relay, txn, route, &copy, framed, !reduced);
}

void
outbox_copy_send(OutboxRelay *relay, const OutboxTxn *txn,
				 OutboxRouteEntry *route, const OutboxWalMessage *msg)
{
	if (context == NULL)
		context = AllocSetContextCreate(TopMemoryContext, "outbox copy",
										ALLOCSET_DEFAULT_SIZES);
	send_copy(relay, txn, route, msg);
	MemoryContextReset(context);
}
