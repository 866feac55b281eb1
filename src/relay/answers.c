/*-------------------------------------------------------------------------
 *
 * answers.c
 *		What the child says, taken into the relay's state.
 *
 * Runs inside outbox_child_wait().  Outcomes are judged here and nowhere else:
 * COMMITTED is the only success of a batch, FAILED of anything ends this
 * process, and the state it leaves behind says what a person can do.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "relay/parking.h"
#include "utils/fmgrprotos.h"
#include "utils/uuid.h"

#define UNKNOWN_TOPIC	3		/* Kafka's code UNKNOWN_TOPIC_OR_PARTITION */

static void
copy_text(char *to, size_t size, OutboxCursor *body)
{
	int32		len;
	const char *text = outbox_get_bytes(body, &len);

	len = Min(Max(len, 0), (int32) size - 1);
	if (len > 0)
		memcpy(to, text, len);
	to[len] = '\0';
}

static void
take_position(OutboxRelay *relay, OutboxCursor *body)
{
	int32		len;
	const char *data = outbox_get_bytes(body, &len);

	relay->has_position = data != NULL;
	relay->kafka_parse = OUTBOX_POSITION_OK;
	if (data != NULL)
		relay->kafka_parse = outbox_position_read(data, len,
												  &relay->kafka_position);
	data = outbox_get_bytes(body, &len);
	relay->has_claim = data != NULL &&
		outbox_position_read(data, len, &relay->claim) == OUTBOX_POSITION_OK;
	(void) outbox_get_u64(body);	/* high watermark */
}

static void
take_recorded(OutboxRelay *relay, OutboxCursor *body)
{
	OutboxPosition pos;
	int32		len;
	const char *data = outbox_get_bytes(body, &len);

	if (data != NULL &&
		outbox_position_read(data, len, &pos) == OUTBOX_POSITION_OK)
		outbox_batch_recorded(relay, &pos);
	else
		body->failed = true;
}

static OutboxRelayState
state_of_failure(OutboxResultClass class)
{
	switch (class)
	{
		case OUTBOX_CONFIG:
			return OUTBOX_STATE_MISCONFIGURED;
		case OUTBOX_REFUSED:
			return OUTBOX_STATE_BLOCKED;
		case OUTBOX_FENCED:
			return OUTBOX_STATE_TAKING_OVER;
		case OUTBOX_RETRY:
			return OUTBOX_STATE_KAFKA_UNAVAILABLE;
		default:
			return OUTBOX_STATE_STOPPED;
	}
}

/* The batch of that number, NULL when it is not under way. */
static OutboxBatch *
find_batch(OutboxRelay *relay, uint32 number)
{
	for (int i = 0; i < relay->nflying; i++)
	{
		if (relay->flying[i]->number == number)
			return relay->flying[i];
	}
	return relay->open != NULL && relay->open->number == number ?
		relay->open : NULL;
}

/*
 * Which event type it is that cannot go, and which event: known once the
 * batches have been narrowed to it.
 */
static void
name_culprit(OutboxRelay *relay, uint32 number, OutboxResult *result)
{
	OutboxBatch *batch = find_batch(relay, number);
	OutboxRouteEntry *route;
	pg_uuid_t	id;
	size_t		used = strlen(result->message);

	if (batch == NULL || batch->events == 0 || batch->mixed ||
		(route = outbox_routes_find(batch->route_id)) == NULL)
		return;
	memcpy(id.data, batch->event_id, UUID_LEN);
	if (batch->events == 1)
		snprintf(result->message + used, sizeof(result->message) - used,
				 " (event %s of type \"%s\")",
				 DatumGetCString(DirectFunctionCall1(uuid_out,
													 UUIDPGetDatum(&id))),
				 route->event_type);
	else
		snprintf(result->message + used, sizeof(result->message) - used,
				 " (one of %u events of type \"%s\")", batch->events,
				 route->event_type);
}

/*
 * Rows of a snapshot are in the refused batch, and may be the reason: without
 * them the events of others go on.
 */
static void
note_refused_job(OutboxRelay *relay, OutboxBatch *batch,
				 const OutboxResult *why)
{
	OutboxRelayEntry *entry = relay->entry;

	if (batch == NULL || batch->job == 0)
		return;
	SpinLockAcquire(&entry->mutex);
	entry->refused_job = batch->job;
	entry->refused_job_why = *why;
	SpinLockRelease(&entry->mutex);
}

static void
take_failure(OutboxRelay *relay, OutboxCursor *body)
{
	OutboxResult result;
	char		text[OUTBOX_RESULT_MESSAGE_SIZE];
	uint32		number,
				topic,
				event;

	(void) outbox_get_u8(body);
	result.class = outbox_get_u8(body);
	result.code = (int32) outbox_get_u32(body);
	number = outbox_get_u32(body);
	topic = outbox_get_u32(body);
	copy_text(text, sizeof(text), body);
	event = outbox_get_u32(body);
	if (topic != OUTBOX_NO_TOPIC &&
		strstr(text, outbox_routes_topic_name(topic)) == NULL)
		snprintf(result.message, sizeof(result.message), "topic \"%s\": %s",
				 outbox_routes_topic_name(topic), text);
	else
		strlcpy(result.message, text, sizeof(result.message));

	if (result.class == OUTBOX_REFUSED)
		note_refused_job(relay, find_batch(relay, number), &result);
	if (outbox_parking_concerns(&result, topic))
		outbox_parking_condemn(relay, find_batch(relay, number), event, topic,
							   &result);
	if (result.class == OUTBOX_REFUSED)
		name_culprit(relay, number, &result);

	/* A topic that is missing or forbidden: what comes before it may go. */
	if (topic != OUTBOX_NO_TOPIC &&
		(result.code == UNKNOWN_TOPIC || result.class == OUTBOX_CONFIG))
		outbox_batch_narrow(relay);

	/* While the link is down, its trouble is the better explanation. */
	if (relay->trouble.class != OUTBOX_OK && result.class != OUTBOX_REFUSED &&
		result.class != OUTBOX_FENCED)
		result = relay->trouble;
	outbox_relay_stop(relay, state_of_failure(result.class), &result);
}

static void
take_status(OutboxRelay *relay, OutboxCursor *body)
{
	OutboxRelayState state;

	relay->trouble.class = outbox_get_u8(body);
	relay->trouble.code = (int32) outbox_get_u32(body);
	copy_text(relay->trouble.message, sizeof(relay->trouble.message), body);

	/* Only a relay at work changes its state; a starting one goes on. */
	SpinLockAcquire(&relay->entry->mutex);
	state = relay->entry->state;
	SpinLockRelease(&relay->entry->mutex);
	if (relay->trouble.class != OUTBOX_OK)
	{
		ereport(LOG, (errmsg("outbox-kafka: %s", relay->trouble.message)));
		outbox_state_set(relay->entry, state_of_failure(relay->trouble.class),
						 &relay->trouble);
	}
	else if (state == OUTBOX_STATE_KAFKA_UNAVAILABLE ||
			 state == OUTBOX_STATE_MISCONFIGURED)
		outbox_state_set(relay->entry, relay->source != NULL ?
						 OUTBOX_STATE_STREAMING : OUTBOX_STATE_CONNECTING, NULL);
}

void
outbox_relay_frame(void *arg, OutboxFrameType type, OutboxCursor *body)
{
	OutboxRelay *relay = arg;
	uint32		number;

	switch (type)
	{
		case OUTBOX_FRAME_COMMITTED:
			number = outbox_get_u32(body);
			outbox_batch_committed(relay, number, outbox_get_u32(body));
			break;
		case OUTBOX_FRAME_RECORDED:
			take_recorded(relay, body);
			break;
		case OUTBOX_FRAME_READY:
			relay->ready_after = outbox_get_u32(body);
			break;
		case OUTBOX_FRAME_FAILED:
			take_failure(relay, body);
			break;
		case OUTBOX_FRAME_STATUS:
			take_status(relay, body);
			break;
		case OUTBOX_FRAME_REGISTERED:
			outbox_schemas_answered(relay, body);
			break;
		case OUTBOX_FRAME_DIAGNOSIS:
			outbox_diagnosis_answered(relay, body);
			break;
		case OUTBOX_FRAME_POSITION:
			take_position(relay, body);
			relay->answer = type;
			break;
		case OUTBOX_FRAME_HELLO_OK:
			if (outbox_get_u16(body) != OUTBOX_PROTOCOL_VERSION)
				ereport(ERROR,
						(errcode(ERRCODE_PROTOCOL_VIOLATION),
						 errmsg("outbox-kafka is of another version than outbox"),
						 errhint("Install the program that belongs to this extension.")));
			relay->answer = type;
			break;
		case OUTBOX_FRAME_PUT_OK:
		case OUTBOX_FRAME_INIT_OK:
		case OUTBOX_FRAME_TOPIC_OK:
			relay->answer = type;
			break;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_PROTOCOL_VIOLATION),
					 errmsg("outbox-kafka sent an unknown frame (type %u)",
							(unsigned int) type)));
	}
}
