/*-------------------------------------------------------------------------
 *
 * schemas.c
 *		Which id goes in front of a value: ours, or an external registry's.
 *
 * Without outbox.schema_registry_url it is the schema's own.  With one, it is
 * the id that the registry gave to this schema under the route's subject:
 *
 *	known to this process		used; nothing else is done
 *	in outbox.registry_id		checked with the registry, once per process: it
 *								must still mean this schema.  If the registry
 *								does not answer, what is stored is believed:
 *								known schemas need no registry
 *	new							the child registers it, the id is stored in a
 *								transaction of its own, then used
 *
 * While the relay waits nothing of the database is open, the child is served,
 * and heartbeats go on.  What was committed earlier is sent first, so it never
 * waits for a schema that comes later.  Events behind a schema without an id
 * wait: order is kept.
 *
 *	registry away				state registry_unavailable, asked again
 *	it wants credentials, ...	state misconfigured, asked again
 *	it refuses the schema		state blocked, asked again: refused()
 *	the same, on_error =
 *	dead_letter					the event is parked (parking.c); the next one
 *								with this schema asks again, but not at once
 *	the id means another schema
 *	than the one stored			state registry_changed, asked again
 *
 * In the middle of a database transaction a Kafka transaction is open, which
 * must not grow old: then the process ends in that state instead of waiting,
 * and the next one begins with this transaction alone (outbox_batch_narrow()).
 *
 * If the process dies
 *	before the registry answers		the next one asks again
 *	before the id is stored			the next one asks again, and is told the
 *									same id
 *	before the events are published	the id is there already
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "access/xact.h"
#include "base/clock.h"
#include "catalog/registry_id.h"
#include "guc.h"
#include "record/register.h"
#include "relay/child.h"
#include "relay/relay.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

#define FIRST_DELAY		100		/* ms between questions, doubling */
#define ASK_AGAIN		5000	/* ms that a refusal is believed */
#define SAY_SO			1000	/* ms without an answer until status() says so */
#define CHECK_TIMEOUT	5000	/* ms that a check of a stored id may take */
#define MAX_AGE			10000	/* ms that an open Kafka transaction may wait */
#define LOCK_TIMEOUT	"1000"	/* ms */

typedef struct WireKey
{
	uint32		route_id;
	uint32		schema_id;
} WireKey;

typedef struct WireEntry
{
	WireKey		key;
	uint32		id;				/* 0: refused */
	int64		ask_again_ms;	/* monotonic, when refused */
	OutboxResult *why;			/* when refused, else NULL */
} WireEntry;

/* A schema on its way to an id. */
typedef struct Wanted
{
	OutboxRelay *relay;
	const OutboxRouteEntry *route;
	const OutboxWalMessage *msg;
	uint32		schema_id;		/* of its value, or of its key */
	char	   *registry;		/* name in outbox.registry_id */
	char	   *subject;		/* with its context */
	OutboxSchemaTexts texts;
	MemoryContext context;		/* of all this */
	uint32		stored;			/* in outbox.registry_id, 0 = none */
	uint32		id;				/* the outcome, 0 = refused for good */
	OutboxResult *refusal;		/* then why */
} Wanted;

static HTAB *wire_ids = NULL;

/* Questions and answers; only the answer to the last question counts. */
static uint32 asked = 0;
static uint32 answered = 0;
static uint32 answer_id;
static OutboxResult answer;

/* The registry did not answer when a stored id was to be checked. */
static bool unchecked = false;

/* ---- names ------------------------------------------------------------ */

/*
 * What rows of outbox.registry_id are found by.  By default the first address:
 * another one is taken for another registry, whose ids are asked for anew; if
 * it is the same one, it gives the same ids again.
 */
static char *
registry_name(void)
{
	char	   *name;
	size_t		len;

	if (outbox_schema_registry_name[0] != '\0')
		return pstrdup(outbox_schema_registry_name);
	name = pstrdup(outbox_schema_registry_url);
	name += strspn(name, " \t");
	len = strcspn(name, ", \t");
	while (len > 0 && name[len - 1] == '/')
		len--;
	name[len] = '\0';
	return name;
}

static char *
subject_name(const char *subject)
{
	return outbox_registry_context[0] == '\0' || subject[0] == ':' ?
		pstrdup(subject) :
		psprintf(":.%s:%s", outbox_registry_context, subject);
}

/* ---- the catalog ------------------------------------------------------ */

/*
 * Do something in a transaction of its own.  Somebody may hold a table of
 * ours: that is no reason to die, nor to wait with the child unserved; the next
 * attempt comes soon.
 */
static bool
in_transaction(Wanted *want, void (*work) (Wanted *), OutboxResult *why)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool done = false;

	PG_TRY();
	{
		outbox_relay_begin_transaction();
		(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_SUSET,
								 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0,
								 false);
		work(want);
		CommitTransactionCommand();
		done = true;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
		why->class = OUTBOX_RETRY;
		why->code = 0;
		snprintf(why->message, sizeof(why->message),
				 "could not read or store the schema registry's ids: %s",
				 error->message);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	return done;
}

static char *
keep_text(const Wanted *want, const char *text)
{
	return text == NULL ? NULL : MemoryContextStrdup(want->context, text);
}

static void
read_catalog(Wanted *want)
{
	OutboxSchemaTexts texts;

	(void) outbox_schema_texts(want->schema_id, &texts);
	want->texts.definition = keep_text(want, texts.definition);
	want->texts.references = keep_text(want, texts.references);
	want->texts.resolved = keep_text(want, texts.resolved);
	want->stored = outbox_registry_id_find(want->registry, want->subject,
										   want->schema_id);
}

static void
store_id(Wanted *want)
{
	want->stored = outbox_registry_id_keep(want->registry, want->subject,
										   want->schema_id, want->id);
}

/* ---- what status() says ----------------------------------------------- */

static bool
is_own_state(OutboxRelayState state)
{
	return state == OUTBOX_STATE_REGISTRY_UNAVAILABLE ||
		state == OUTBOX_STATE_REGISTRY_CHANGED ||
		state == OUTBOX_STATE_MISCONFIGURED || state == OUTBOX_STATE_BLOCKED ||
		state == OUTBOX_STATE_PAUSED;
}

static void
say(OutboxRelay *relay, OutboxRelayState state, const OutboxResult *why)
{
	OutboxRelayEntry *entry = relay->entry;
	bool		news = entry->state != state ||
		strcmp(entry->last_error.message, why->message) != 0;

	outbox_state_set(entry, state, why);
	if (news)
		ereport(LOG,
				(errmsg("outbox relay waits in state \"%s\": %s",
						outbox_state_name(state), why->message)));
}

/* Time passes: serve everybody. */
static void
wait_a_little(OutboxRelay *relay, int timeout_ms)
{
	OutboxSourceProgress progress;

	outbox_relay_wait(relay, Min(timeout_ms, OUTBOX_PING_INTERVAL));
	relay->source->progress(relay->source, &progress);
	outbox_relay_heartbeat(relay, &progress);
}

/* outbox.pause() holds here too, unless a Kafka transaction would grow old. */
static void
obey_pause(OutboxRelay *relay)
{
	while (relay->instance.paused && relay->open->events == 0)
	{
		if (relay->entry->state != OUTBOX_STATE_PAUSED)
			outbox_state_set(relay->entry, OUTBOX_STATE_PAUSED, NULL);
		wait_a_little(relay, OUTBOX_PING_INTERVAL);
	}
}

/*
 * It cannot go on now.  Says so and waits; while events of the same database
 * transaction are in an open Kafka transaction, ends the process before that
 * grows old.
 */
static void
stand(Wanted *want, OutboxRelayState state, const OutboxResult *why,
	  int *delay)
{
	OutboxRelay *relay = want->relay;
	int64		until = outbox_monotonic_ms() + *delay;
	int64		left;

	if (relay->open->events > 0 &&
		(why->class != OUTBOX_RETRY ||
		 until - relay->open->opened_ms > MAX_AGE))
	{
		outbox_batch_narrow(relay);
		outbox_relay_stop(relay, state, why);
	}
	*delay = Min(*delay * 2, Max(outbox_retry_max, FIRST_DELAY));
	say(relay, state, why);
	while ((left = until - outbox_monotonic_ms()) > 0)
		wait_a_little(relay, (int) left);
}

/*
 * Whether a refusal is this schema's fault and the event may be parked for it:
 * status 409 or 422, or the codes of more digits that begin with those.  A
 * schema that somebody else has yet to register is not refused for good.
 */
static bool
may_park(const Wanted *want, const OutboxResult *why)
{
	int			status = why->code >= 10000 ? why->code / 100 : why->code;

	return want->route->dead_letter && why->class == OUTBOX_REFUSED &&
		(status == 409 || status == 422);
}

/*
 * Every other refusal of an event by the registry passes here: an incompatible
 * schema (409), an invalid one (422), one that it does not have while it may
 * not be given any.  Names the event and stands in state "blocked".
 */
static void
refused(Wanted *want, const OutboxResult *why, int *delay)
{
	OutboxResult full = *why;
	pg_uuid_t	id;
	size_t		used = strlen(full.message);

	memcpy(id.data, want->msg->event_id, UUID_LEN);
	snprintf(full.message + used, sizeof(full.message) - used,
			 " (event %s of type \"%s\", subject \"%s\")",
			 DatumGetCString(DirectFunctionCall1(uuid_out,
												 UUIDPGetDatum(&id))),
			 want->route->event_type, want->subject);
	stand(want, OUTBOX_STATE_BLOCKED, &full, delay);
}

/* The registry does not know an id, or means something else by it. */
static void
changed(Wanted *want, const OutboxResult *why, int *delay)
{
	OutboxResult full = {.class = OUTBOX_REFUSED,.code = why->code};

	snprintf(full.message, sizeof(full.message),
			 "schema %u of subject \"%s\" was published with id %u: %s",
			 want->schema_id, want->subject, want->stored, why->message);
	stand(want, OUTBOX_STATE_REGISTRY_CHANGED, &full, delay);
}

/* ---- the child -------------------------------------------------------- */

static uint8
register_flags(void)
{
	return (outbox_registry_auto_register ? OUTBOX_REGISTER_CREATE : 0) |
		(outbox_registry_normalize ? OUTBOX_REGISTER_NORMALIZE : 0) |
		(outbox_registry_use_latest ? OUTBOX_REGISTER_LATEST : 0) |
		(outbox_registry_auto_register && outbox_registry_keep_ids ?
		 OUTBOX_REGISTER_KEEP_ID : 0);
}

static void
send_question(const Wanted *want)
{
	StringInfo	out = outbox_child_buffer();
	const OutboxSchemaTexts *texts = &want->texts;
	OutboxRegister what = {
		.schema_id = want->schema_id,
		.external_id = want->stored,
		.flags = register_flags(),
		.subject = want->subject,
		.subject_len = strlen(want->subject),
		.schema = texts->definition,
		.schema_len = strlen(texts->definition),
		.references = texts->references,
		.references_len = texts->references ? strlen(texts->references) : -1,
		.resolved = texts->resolved,
		.resolved_len = texts->resolved ? strlen(texts->resolved) : -1
	};
	int			start = outbox_frame_begin(out, OUTBOX_FRAME_REGISTER);

	outbox_register_write(out, &what);
	outbox_frame_end(out, start);
	asked++;
}

/* From answers.c. */
void
outbox_schemas_answered(OutboxRelay *relay, OutboxCursor *body)
{
	OutboxRegistered what;
	int32		len;

	if (answered == asked ||
		!outbox_registered_read((const char *) body->p,
								outbox_cursor_left(body), &what))
	{
		body->failed = true;
		return;
	}
	answered++;
	answer_id = what.external_id;
	answer.class = what.class;
	answer.code = what.code;
	len = Min(Max(what.message_len, 0), (int32) sizeof(answer.message) - 1);
	if (len > 0)
		memcpy(answer.message, what.message, len);
	answer.message[len] = '\0';
}

/*
 * Ask, and wait for what comes of it: true with want->id, or false and why.
 * The child gives up on each server after a few seconds.
 */
static bool
ask(Wanted *want, int timeout_ms, OutboxResult *why)
{
	OutboxRelay *relay = want->relay;
	int64		begun = outbox_monotonic_ms();
	OutboxResult silence = {.class = OUTBOX_RETRY};

	snprintf(silence.message, sizeof(silence.message),
			 "no answer yet from the schema registry about subject \"%s\"",
			 want->subject);
	send_question(want);
	while (answered != asked)
	{
		int64		now = outbox_monotonic_ms();

		if (now - begun > timeout_ms)
		{
			*why = silence;
			return false;
		}
		if (relay->open->events > 0 &&
			now - relay->open->opened_ms > MAX_AGE)
		{
			outbox_batch_narrow(relay);
			outbox_relay_stop(relay, OUTBOX_STATE_REGISTRY_UNAVAILABLE,
							  &silence);
		}
		if (now - begun > SAY_SO && !is_own_state(relay->entry->state))
			outbox_state_set(relay->entry, OUTBOX_STATE_REGISTRY_UNAVAILABLE,
							 &silence);
		wait_a_little(relay, SAY_SO);
	}
	*why = answer;
	want->id = answer_id;
	return answer.class == OUTBOX_OK;
}

/*
 * Whether a stored id still means this schema; stands while it does not.  In
 * doubt it does.
 */
static void
check_stored(Wanted *want)
{
	OutboxResult why;
	int			delay = FIRST_DELAY;

	want->id = want->stored;
	while (!unchecked && !ask(want, CHECK_TIMEOUT, &why))
	{
		want->id = want->stored;
		if (why.class == OUTBOX_REFUSED)
		{
			changed(want, &why, &delay);
			obey_pause(want->relay);
			continue;
		}
		unchecked = true;
		ereport(LOG,
				(errmsg("stored ids of the schema registry are used without a check: %s",
						why.message)));
	}
}

static OutboxRelayState
state_of_answer(OutboxResultClass class)
{
	return class == OUTBOX_CONFIG ? OUTBOX_STATE_MISCONFIGURED :
		OUTBOX_STATE_REGISTRY_UNAVAILABLE;
}

static void
register_new(Wanted *want)
{
	int			delay = FIRST_DELAY;

	for (;;)
	{
		OutboxResult why;

		obey_pause(want->relay);
		if (ask(want, INT_MAX, &why) && in_transaction(want, store_id, &why))
		{
			if (want->stored == want->id)
				break;
			snprintf(why.message, sizeof(why.message),
					 "the schema registry now says %u", want->id);
			changed(want, &why, &delay);
			check_stored(want);
			break;
		}
		want->id = 0;
		if (may_park(want, &why))
		{
			*want->refusal = why;
			break;
		}
		if (why.class == OUTBOX_REFUSED)
			refused(want, &why, &delay);
		else
			stand(want, state_of_answer(why.class), &why, &delay);
	}
}

/*
 * What was committed before this transaction does not wait with it.
 */
static void
send_earlier(OutboxRelay *relay)
{
	OutboxSourceProgress progress;

	if (relay->open->events == 0 || relay->accepted > 0)
		return;
	while (!outbox_batch_can_close(relay))
		outbox_relay_wait(relay, OUTBOX_PING_INTERVAL);
	relay->source->progress(relay->source, &progress);
	outbox_batch_close(relay, &progress);
}

static void
look_up(Wanted *want)
{
	OutboxResult why;
	int			delay = FIRST_DELAY;

	while (!in_transaction(want, read_catalog, &why))
	{
		send_earlier(want->relay);
		stand(want, OUTBOX_STATE_REGISTRY_UNAVAILABLE, &why, &delay);
	}
	if (want->texts.definition == NULL)
		outbox_relay_refuse(want->relay, OUTBOX_STATE_BLOCKED,
							"an event of type \"%s\" names schema %u, which is not in outbox.schema",
							want->route->event_type, want->schema_id);
}

/* ---- the one question ------------------------------------------------- */

static uint32
find_out(OutboxRelay *relay, const OutboxRouteEntry *route,
		 const OutboxWalMessage *msg, uint32 schema_id, const char *subject,
		 OutboxResult *refusal)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext,
												  "outbox schema registration",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Wanted		want = {.relay = relay,.route = route,.msg = msg,
	.schema_id = schema_id,.refusal = refusal};
	uint32		id;

	want.registry = registry_name();
	want.subject = subject_name(subject);
	want.context = context;
	look_up(&want);
	if (want.stored == 0 || !unchecked)
		send_earlier(relay);
	if (want.stored != 0)
		check_stored(&want);
	else
		register_new(&want);
	obey_pause(relay);
	if (is_own_state(relay->entry->state) &&
		relay->trouble.class == OUTBOX_OK)
		outbox_state_set(relay->entry, OUTBOX_STATE_STREAMING, NULL);
	id = want.id;
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return id;
}

static void
remember(const WireKey *key, uint32 id, const OutboxResult *why)
{
	bool		found;
	WireEntry  *entry = hash_search(wire_ids, key, HASH_ENTER, &found);

	if (!found)
		entry->why = NULL;
	entry->id = id;
	entry->ask_again_ms = outbox_monotonic_ms() + ASK_AGAIN;
	if (id == 0 && entry->why == NULL)
		entry->why = MemoryContextAlloc(TopMemoryContext, sizeof(*why));
	if (id == 0)
		*entry->why = *why;
}

/* The key begins with it, see OUTBOX_MSG_KEY_SCHEMA. */
static uint32
key_schema_id(const OutboxWalMessage *msg)
{
	OutboxCursor c;

	outbox_cursor_init(&c, msg->key, msg->key_len);
	return outbox_get_u32(&c);
}

/* What has been found out already, in this process. */
static bool
is_known(const OutboxRouteEntry *route, uint32 schema_id, const char *subject)
{
	WireKey		key = {route->id, schema_id};
	WireEntry  *entry;

	if (outbox_schema_registry_url[0] == '\0' || subject == NULL)
		return true;
	if (wire_ids == NULL)
		return false;
	entry = hash_search(wire_ids, &key, HASH_FIND, NULL);
	return entry != NULL && entry->id != 0;
}

bool
outbox_schemas_known(const OutboxRouteEntry *route,
					 const OutboxWalMessage *msg)
{
	return (!route->framed || msg->payload == NULL ||
			is_known(route, msg->schema_id, route->subject)) &&
		((msg->flags & OUTBOX_MSG_KEY_SCHEMA) == 0 || msg->key == NULL ||
		 is_known(route, key_schema_id(msg),
				  route->key_subject));
}

/* Schemas of keys and values are different ones: the id says which it is. */
static bool
wire_id(OutboxRelay *relay, const OutboxRouteEntry *route,
		const OutboxWalMessage *msg, uint32 schema_id, const char *subject,
		uint32 *id, OutboxResult *why)
{
	WireKey		key = {route->id, schema_id};
	WireEntry  *entry;

	*id = schema_id;
	if (outbox_schema_registry_url[0] == '\0' || subject == NULL)
		return true;
	if (wire_ids == NULL)
	{
		HASHCTL		ctl = {.keysize = sizeof(WireKey),
			.entrysize = sizeof(WireEntry),.hcxt = TopMemoryContext};

		wire_ids = hash_create("outbox wire ids", 64, &ctl,
							   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	entry = hash_search(wire_ids, &key, HASH_FIND, NULL);
	if (entry != NULL && entry->id != 0)
	{
		*id = entry->id;
		return true;
	}
	if (entry != NULL && outbox_monotonic_ms() < entry->ask_again_ms)
	{
		*why = *entry->why;
		return false;
	}
	*id = find_out(relay, route, msg, schema_id, subject, why);
	remember(&key, *id, why);
	return *id != 0;
}

bool
outbox_schemas_wire_id(OutboxRelay *relay, const OutboxRouteEntry *route,
					   const OutboxWalMessage *msg, uint32 *id,
					   OutboxResult *why)
{
	return wire_id(relay, route, msg, msg->schema_id, route->subject, id, why);
}

bool
outbox_schemas_key_wire_id(OutboxRelay *relay, const OutboxRouteEntry *route,
						   const OutboxWalMessage *msg, uint32 *id,
						   OutboxResult *why)
{
	return wire_id(relay, route, msg, key_schema_id(msg), route->key_subject,
				   id, why);
}
