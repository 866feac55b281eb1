/*-------------------------------------------------------------------------
 *
 * emit.c
 *		Write one event into the caller's transaction.
 *
 * This is where an event begins: the right to emit, the value encoded under
 * its schema, key, headers, topic and size checked, and then one message in WAL
 * (write_message.c).  There is no heap, no index and no network; the relay
 * reads the message once the transaction has committed.
 *
 * Owns nothing: all is palloc'd in the caller's context.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "emit/emit.h"
#include "emit/write_message.h"
#include "miscadmin.h"
#include "utils/acl.h"

void
outbox_event_init(OutboxEvent *event, OutboxEventType *type, Oid role)
{
	memset(event, 0, sizeof(OutboxEvent));
	event->type = type;
	event->role = role;
	event->partition = -1;
}

static void
check_right(const OutboxEvent *event)
{
	if (outbox_event_type_may_emit(event->type, event->role))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for event type \"%s\"",
					event->type->name),
			 errdetail("Role \"%s\" may not emit it.",
					   GetUserNameFromId(event->role, false)),
			 errhint("Its owner or a member of outbox_admin can run outbox.grant_emit().")));
}

/* Explicit key, else the key field of the payload. */
static void
set_key(OutboxWalMessage *msg, const OutboxEvent *event)
{
	const char *key = event->key;
	int			len = event->key_len;

	if (key == NULL)
		key = outbox_key_of_payload(event, &len);
	if (key == NULL)
	{
		msg->key = NULL;
		msg->key_len = -1;
		return;
	}
	msg->key = outbox_to_utf8(key, len, &msg->key_len);
	if (msg->key_len > OUTBOX_MAX_KEY)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("event key is too long: %d bytes", msg->key_len),
				 errdetail("At most %d bytes are allowed.", OUTBOX_MAX_KEY)));
}

static void
set_topic(OutboxWalMessage *msg, const OutboxEvent *event,
		  char buffer[OUTBOX_MAX_TOPIC + 1])
{
	const OutboxEventType *type = event->type;

	msg->topic = NULL;
	msg->topic_len = -1;
	if (!type->topic_is_template)
		return;
	if (event->aggregatetype != NULL)
		msg->topic_len = outbox_topic_expand(type->route.topic,
											 event->aggregatetype,
											 event->aggregatetype_len, buffer);
	else
		msg->topic_len = outbox_topic_expand(type->route.topic, type->name,
											 strlen(type->name), buffer);
	msg->topic = buffer;
}

static void
check_size(const OutboxWalMessage *msg, const OutboxEventType *type)
{
	int64		size = (int64) msg->payload_len +
		Max(msg->key_len, 0) + Max(msg->headers_len, 0);

	if (size > outbox_max_event_size)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("event of type \"%s\" is too large: %lld bytes",
						type->name, (long long) size),
				 errdetail("The limit outbox.max_event_size is %d bytes for key, headers and encoded value.",
						   outbox_max_event_size)));
}

/* Tell the event type in errors of the encoder, which knows only the path. */
static void
describe_event(void *arg)
{
	errcontext("event of type \"%s\"", ((const OutboxEvent *) arg)->type->name);
}

void
outbox_emit(const OutboxEvent *event, pg_uuid_t *id)
{
	OutboxWalMessage msg = {
		.kind = OUTBOX_MESSAGE_EVENT,
		.route_id = event->type->route.id,
		.schema_id = event->type->route.format == OUTBOX_FORMAT_AVRO ?
		event->type->schema_id : 0,
		.partition = event->partition,
		.timestamp_ms = event->timestamp_ms,
		.headers_len = -1
	};
	ErrorContextCallback callback = {
		.previous = error_context_stack,
		.callback = describe_event,
		.arg = unconstify(OutboxEvent *, event)
	};
	StringInfoData value;
	StringInfoData headers;
	char		topic[OUTBOX_MAX_TOPIC + 1];

	outbox_message_check_server("outbox.emit()");
	check_right(event);
	error_context_stack = &callback;

	initStringInfo(&value);
	outbox_payload_encode(event, &value, &msg.payload, &msg.payload_len);
	set_key(&msg, event);
	set_topic(&msg, event, topic);
	initStringInfo(&headers);
	outbox_headers_build(event, &headers);
	if (headers.len > 0)
	{
		msg.headers = headers.data;
		msg.headers_len = headers.len;
	}
	check_size(&msg, event->type);

	if (event->id != NULL)
		*id = *event->id;
	else
		outbox_message_new_id(id->data);
	memcpy(msg.event_id, id->data, OUTBOX_EVENT_ID_SIZE);
	outbox_message_write(&msg);

	error_context_stack = callback.previous;
	pfree(value.data);
	pfree(headers.data);
}
