/*-------------------------------------------------------------------------
 *
 * cache.c
 *		Schemas by id, in memory.
 *
 * An id means one schema for ever, so an entry is right as long as the process
 * lives, also when the database is away; a server that is restored or restarted
 * restarts this program, too.  Bounded by entries and bytes: the one that was
 * not asked for the longest goes first.  One lock, held for the copy of an
 * answer.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-http/cache.h"

#include <pthread.h>

#define NBUCKETS	8192
#define MAX_ENTRIES	32768
#define MAX_BYTES	(64 * 1024 * 1024)

typedef struct Entry
{
	struct Entry *next;			/* in the bucket */
	struct Entry *newer,		/* in the order of use */
			   *older;
	int			database;
	uint32		id;
	char	   *parts[OUTBOX_CACHE_PARTS];
	size_t		lens[OUTBOX_CACHE_PARTS];
} Entry;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Entry *buckets[NBUCKETS];
static Entry *newest,
		   *oldest;
static uint64 nhits,
			nmisses,
			nentries,
			nbytes;

void
outbox_cache_init(void)
{
	memset(buckets, 0, sizeof(buckets));
	newest = oldest = NULL;
	nhits = nmisses = nentries = nbytes = 0;
}

static Entry **
find(int database, uint32 id)
{
	/* multiplication spreads what counts up */
	uint32		hash = (id ^ (uint32) database << 27) * 2654435761U;
	Entry	  **at = &buckets[hash >> 19];

	while (*at != NULL && ((*at)->id != id || (*at)->database != database))
		at = &(*at)->next;
	return at;
}

static void
unlink_use(Entry *entry)
{
	*(entry->newer != NULL ? &entry->newer->older : &newest) = entry->older;
	*(entry->older != NULL ? &entry->older->newer : &oldest) = entry->newer;
}

static void
link_newest(Entry *entry)
{
	entry->newer = NULL;
	entry->older = newest;
	if (newest != NULL)
		newest->newer = entry;
	else
		oldest = entry;
	newest = entry;
}

static size_t
size_of(const Entry *entry)
{
	size_t		size = sizeof(Entry);

	for (int i = 0; i < OUTBOX_CACHE_PARTS; i++)
		size += entry->lens[i];
	return size;
}

static void
drop_oldest(void)
{
	Entry	   *entry = oldest;
	Entry	  **at = find(entry->database, entry->id);

	*at = entry->next;
	unlink_use(entry);
	nbytes -= size_of(entry);
	nentries--;
	for (int i = 0; i < OUTBOX_CACHE_PARTS; i++)
		pfree(entry->parts[i]);
	pfree(entry);
}

bool
outbox_cache_answer(OutboxRequest *request, uint32 id, OutboxCachePart part)
{
	Entry	   *entry;

	pthread_mutex_lock(&lock);
	entry = *find(request->database, id);
	if (entry != NULL)
	{
		outbox_answer_text(request, 200, entry->parts[part],
						   entry->lens[part]);
		unlink_use(entry);
		link_newest(entry);
		nhits++;
	}
	else
		nmisses++;
	pthread_mutex_unlock(&lock);
	return entry != NULL;
}

void
outbox_cache_put(int database, uint32 id,
				 const char *const parts[OUTBOX_CACHE_PARTS])
{
	Entry	   *entry = palloc0(sizeof(Entry));
	Entry	  **at;

	entry->database = database;
	entry->id = id;
	for (int i = 0; i < OUTBOX_CACHE_PARTS; i++)
	{
		entry->parts[i] = pstrdup(parts[i]);
		entry->lens[i] = strlen(parts[i]);
	}
	pthread_mutex_lock(&lock);
	at = find(database, id);
	if (*at == NULL)
	{
		*at = entry;
		link_newest(entry);
		nentries++;
		nbytes += size_of(entry);
		while (nentries > MAX_ENTRIES || (nbytes > MAX_BYTES && nentries > 1))
			drop_oldest();
		entry = NULL;
	}
	pthread_mutex_unlock(&lock);
	if (entry != NULL)			/* another worker was first */
	{
		for (int i = 0; i < OUTBOX_CACHE_PARTS; i++)
			pfree(entry->parts[i]);
		pfree(entry);
	}
}

void
outbox_cache_counts(uint64 *hits, uint64 *misses, uint64 *entries,
					uint64 *bytes)
{
	pthread_mutex_lock(&lock);
	*hits = nhits;
	*misses = nmisses;
	*entries = nentries;
	*bytes = nbytes;
	pthread_mutex_unlock(&lock);
}
