/*-------------------------------------------------------------------------
 *
 * emit.c
 *		Write one event into the caller's transaction.
 *
 * This is where an event begins: the right to emit, the value encoded under
 * its schema, key, headers, topic and size checked, and then one transactional
 * logical WAL message with the record of record/wal_message.h.  There is no
 * heap, no index and no network; the relay reads the message from WAL once the
 * transaction has committed.
 *
 * Owned per backend: the ordinal of the last event in the current top-level
 * transaction, the signing key, and one buffer for the record.  The ordinal
 * only rises, also over rolled-back savepoints; a new top-level transaction is
 * told by its full transaction id, so nothing needs resetting at commit, abort
 * or PREPARE.  The buffer is used only between begin and end of write_record(),
 * which runs no code of a user's: nested calls (an output function that emits)
 * cannot meet there.  Everything else is palloc'd in the caller's context.
 *
 * What if the process dies here?  Before the commit record is flushed the
 * transaction, and with it the message, never was.  After it the message is in
 * WAL before it (same stream), and the relay finds it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "compat.h"
#include "emit/emit.h"
#include "miscadmin.h"
#include "record/wal_message.h"
#include "replication/message.h"
#include "state/state.h"
#include "utils/acl.h"
#include "utils/memutils.h"

/* A buffer that one large event has grown beyond this is given back. */
#define KEEP_BUFFER_SIZE (256 * 1024)

/* The current top-level transaction's id and number of events. */
static FullTransactionId current_xid;
static uint32 current_ordinal = 0;

/* What records are signed with; valid for one catalog generation. */
static uint8 secret[OUTBOX_SIPHASH_KEY_SIZE];
static uint32 secret_id = 0;
static uint64 secret_generation = 0;

void
outbox_event_init(OutboxEvent *event, OutboxEventType *type, Oid role)
{
	memset(event, 0, sizeof(OutboxEvent));
	event->type = type;
	event->role = role;
	event->partition = -1;
}

static void
check_server_state(void)
{
	PreventCommandDuringRecovery("outbox.emit()");
	PreventCommandIfReadOnly("outbox.emit()");
	PreventCommandIfParallelMode("outbox.emit()");
	if (!XLogIsNeeded())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("events cannot be written with wal_level \"minimal\""),
				 errhint("Set wal_level to \"replica\" or higher and restart the server.")));
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
			 errhint("Its owner or a superuser can run outbox.grant_emit().")));
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

/* Ordinal and MAC context: the place in the top-level transaction. */
static void
set_place(OutboxWalMessage *msg, OutboxMacContext *context)
{
	FullTransactionId xid = GetTopFullTransactionId();

	if (!FullTransactionIdEquals(xid, current_xid))
	{
		current_xid = xid;
		current_ordinal = 0;
	}
	if (current_ordinal == PG_UINT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many events in one transaction")));
	msg->ordinal = ++current_ordinal;
	context->system_id = GetSystemIdentifier();
	context->database = MyDatabaseId;
	context->full_xid = U64FromFullTransactionId(xid);
}

/* After the event type's lookup, which has accepted invalidations. */
static void
refresh_secret(void)
{
	uint64		generation = outbox_catalog_generation();

	if (secret_generation == generation)
		return;
	secret_generation = 0;
	secret_id = outbox_catalog_current_secret(secret);
	secret_generation = generation;
}

static void
write_record(const OutboxWalMessage *msg, const OutboxMacContext *context)
{
	static StringInfoData buffer;

	if (buffer.data == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		initStringInfo(&buffer);
		MemoryContextSwitchTo(old);
	}
	resetStringInfo(&buffer);
	outbox_wal_message_write(&buffer, msg, secret, context);
	(void) outbox_compat_log_message(OUTBOX_WAL_PREFIX, buffer.data, buffer.len);
	if (buffer.maxlen > KEEP_BUFFER_SIZE)
	{
		pfree(buffer.data);
		buffer.data = NULL;
	}
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
	OutboxMacContext context;
	StringInfoData value;
	StringInfoData headers;
	char		topic[OUTBOX_MAX_TOPIC + 1];

	check_server_state();
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
	else if (!outbox_uuid7(id->data))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random bytes for an event id")));
	memcpy(msg.event_id, id->data, OUTBOX_EVENT_ID_SIZE);
	refresh_secret();
	msg.key_id = secret_id;
	set_place(&msg, &context);
	write_record(&msg, &context);
	outbox_state_note_message();

	error_context_stack = callback.previous;
	pfree(value.data);
	pfree(headers.data);
}
