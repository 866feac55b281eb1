/*-------------------------------------------------------------------------
 *
 * routes.c
 *		What the relay remembers of the catalog: routes and topics.
 *
 * Rows of outbox.route are immutable, so what was read once is right for the
 * life of the process, but for the place where a capture begins, which is read
 * again after something was altered.  A miss opens a short transaction; the event being
 * published is of a committed transaction, and so is every row that it can
 * refer to.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/capture_from.h"
#include "guc.h"
#include "relay/child.h"
#include "relay/relay.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

typedef struct TopicEntry
{
	char		name[OUTBOX_TOPIC_NAME_SIZE];	/* hash key */
	uint32		index;
} TopicEntry;

static OutboxCollection *collections = NULL;
static HTAB *routes = NULL;
static HTAB *topics = NULL;
static const char **topic_names = NULL;
static uint32 ntopics = 0;

static void
create_tables(void)
{
	HASHCTL		ctl;

	memset(&ctl, 0, sizeof(ctl));
	ctl.keysize = sizeof(uint32);
	ctl.entrysize = sizeof(OutboxRouteEntry);
	ctl.hcxt = TopMemoryContext;
	routes = hash_create("outbox routes", 64, &ctl,
						 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	ctl.keysize = OUTBOX_TOPIC_NAME_SIZE;
	ctl.entrysize = sizeof(TopicEntry);
	topics = hash_create("outbox topics", 64, &ctl,
						 HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
}

static void
tell_child(uint32 index, const char *name, int32 partitions, bool compacted)
{
	StringInfo	out = outbox_child_buffer();
	int			start = outbox_frame_begin(out, OUTBOX_FRAME_TOPIC);

	outbox_put_u32(out, index);
	outbox_put_cstring(out, name);
	outbox_put_u32(out, (uint32) partitions);
	outbox_put_u16(out, (uint16) outbox_topic_replication_factor);
	outbox_put_u8(out, outbox_create_topics);
	outbox_put_u8(out, compacted);
	outbox_frame_end(out, start);
}

static uint32
find_topic(const char *name, int len, int32 partitions, bool compacted)
{
	char		key[OUTBOX_TOPIC_NAME_SIZE];
	TopicEntry *entry;
	bool		found;

	if (len <= 0 || len >= OUTBOX_TOPIC_NAME_SIZE)
		return OUTBOX_NO_TOPIC;
	if (topics == NULL)
		create_tables();
	memcpy(key, name, len);
	key[len] = '\0';
	entry = hash_search(topics, key, HASH_ENTER, &found);
	if (!found)
	{
		entry->index = ntopics++;
		topic_names = topic_names == NULL ?
			MemoryContextAlloc(TopMemoryContext, sizeof(char *)) :
			repalloc(topic_names, ntopics * sizeof(char *));
		topic_names[entry->index] = entry->name;
		tell_child(entry->index, key, partitions, compacted);
	}
	return entry->index;
}

uint32
outbox_routes_topic(const char *name, int len, int32 partitions)
{
	return find_topic(name, len,
					  partitions > 0 ? partitions : outbox_topic_partitions,
					  false);
}

uint32
outbox_routes_position_topic(const char *name)
{
	return find_topic(name, strlen(name), 1, true);
}

const char *
outbox_routes_topic_name(uint32 index)
{
	return index < ntopics ? topic_names[index] : "?";
}

/* One for all routes of a table: they count together. */
static OutboxCollection *
find_collection(const char *name)
{
	OutboxCollection *c;

	for (c = collections; c != NULL; c = c->next)
		if (strcmp(c->name, name) == 0)
			return c;
	c = MemoryContextAllocZero(TopMemoryContext, sizeof(OutboxCollection));
	c->name = MemoryContextStrdup(TopMemoryContext, name);
	c->next = collections;
	collections = c;
	return c;
}

OutboxCollection *
outbox_routes_collections(void)
{
	return collections;
}

static const char *
keep(const char *text)
{
	return text == NULL ? NULL : MemoryContextStrdup(TopMemoryContext, text);
}

OutboxRouteEntry *
outbox_routes_known(uint32 route_id)
{
	OutboxRouteEntry *entry = routes == NULL ? NULL :
		hash_search(routes, &route_id, HASH_FIND, NULL);

	return entry != NULL && entry->from_known ? entry : NULL;
}

/* All else of a route never changes. */
void
outbox_routes_reload(void)
{
	HASH_SEQ_STATUS status;
	OutboxRouteEntry *entry;

	if (routes == NULL)
		return;
	hash_seq_init(&status, routes);
	while ((entry = hash_seq_search(&status)) != NULL)
		entry->from_known = false;
}

static void
fill(OutboxRouteEntry *entry, const OutboxRoute *route)
{
	entry->framed = route->format == OUTBOX_FORMAT_AVRO;
	entry->partitions = route->partitions;
	entry->event_type = keep(route->event_type);
	entry->subject = keep(route->subject);
	entry->topic = strstr(route->topic, "${") != NULL ? NULL :
		keep(route->topic);
	entry->topic_index = OUTBOX_NO_TOPIC;
	entry->dead_letter = route->dead_letter;
	entry->envelope = route->envelope;
	entry->collection = route->collection == NULL ? NULL :
		find_collection(route->collection);
	entry->key_subject = keep(route->key_subject);
	entry->transaction_topic = keep(route->transaction_topic);
}

OutboxRouteEntry *
outbox_routes_find(uint32 route_id)
{
	OutboxRouteEntry *entry = outbox_routes_known(route_id);
	MemoryContext old = CurrentMemoryContext;
	OutboxRoute route;
	bool		found = false;

	if (entry != NULL)
		return entry;
	if (routes == NULL)
		create_tables();
	outbox_relay_begin_transaction();
	if (outbox_catalog_route(route_id, &route))
	{
		entry = hash_search(routes, &route_id, HASH_ENTER, &found);
		if (!found)
			fill(entry, &route);
		entry->from = outbox_capture_from(route.event_type);
		entry->from_known = true;
	}
	CommitTransactionCommand();
	MemoryContextSwitchTo(old);
	return entry;
}
