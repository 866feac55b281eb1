/*-------------------------------------------------------------------------
 *
 * gone_keys.c
 *		The keys of a topic that have a value and may be gone, a range of
 *		hashes at a time.
 *
 * Owns a hash table (open addressing; entries with one hash are found behind each
 * other: a key may lie in several partitions, or in several forms, see skip) and
 * the keys' bytes.  Of keys as many are
 * kept as memory allows: when it is full, the range of hashes is cut in half and
 * what lies beyond is forgotten, to be looked for in another reading of the
 * topic.  So any topic passes through bounded memory, and one of a usual size is
 * read once.
 *
 * Two keys are about the same row when 128 bits of SipHash are equal, under keys
 * made of the job's token, which nobody outside knows.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-kafka/gone_keys.h"

#include "base/cursor.h"
#include "base/siphash.h"

#define FIRST_SIZE		1024		/* slots; a power of two */
#define KEY_OVERHEAD	24			/* bytes of the allocator's */

struct OutboxGoneKeys
{
	uint8		secrets[2][OUTBOX_SIPHASH_KEY_SIZE];
	uint32		skip;
	size_t		memory;
	size_t		used;
	uint64		first;
	uint64		last;
	OutboxGoneKey *slots;		/* key NULL: free */
	size_t		nslots;
	size_t		nused;			/* slots */
	OutboxGoneKey **sorted;
	int			nsorted;
};

OutboxGoneKeys *
outbox_gone_keys_new(uint64 token, uint32 skip, size_t memory)
{
	OutboxGoneKeys *keys = palloc0(sizeof(OutboxGoneKeys));

	for (int i = 0; i < 2; i++)
	{
		outbox_store_le(keys->secrets[i], token, 8);
		keys->secrets[i][8] = (uint8) i;
	}
	keys->skip = skip;
	keys->memory = memory;
	outbox_gone_keys_begin(keys, 0);
	return keys;
}

uint64
outbox_gone_keys_first(const OutboxGoneKeys *keys)
{
	return keys->first;
}

uint64
outbox_gone_keys_last(const OutboxGoneKeys *keys)
{
	return keys->last;
}

static void
clear(OutboxGoneKeys *keys)
{
	for (size_t i = 0; i < keys->nslots; i++)
	{
		if (keys->slots[i].key != NULL)
			pfree(keys->slots[i].key);
	}
	if (keys->slots != NULL)
		pfree(keys->slots);
	if (keys->sorted != NULL)
		pfree(keys->sorted);
	keys->slots = NULL;
	keys->sorted = NULL;
	keys->nslots = keys->nused = keys->used = 0;
	keys->nsorted = 0;
}

void
outbox_gone_keys_free(OutboxGoneKeys *keys)
{
	clear(keys);
	pfree(keys);
}

void
outbox_gone_keys_begin(OutboxGoneKeys *keys, uint64 from)
{
	clear(keys);
	keys->nslots = FIRST_SIZE;
	keys->slots = palloc0(keys->nslots * sizeof(OutboxGoneKey));
	keys->first = from;
	keys->last = PG_UINT64_MAX;
}

static bool
in_range(const OutboxGoneKeys *keys, uint64 hash)
{
	return hash >= keys->first && hash <= keys->last;
}

/* The entry, or the free slot where it belongs. */
static OutboxGoneKey *
find(const OutboxGoneKeys *keys, const OutboxGoneKey *wanted)
{
	size_t		i = wanted->check & (keys->nslots - 1);

	for (;; i = (i + 1) & (keys->nslots - 1))
	{
		OutboxGoneKey *slot = &keys->slots[i];

		if (slot->key == NULL ||
			(slot->hash == wanted->hash && slot->check == wanted->check &&
			 slot->partition == wanted->partition &&
			 slot->len == wanted->len &&
			 memcmp(slot->key, wanted->key, wanted->len) == 0))
			return slot;
	}
}

static bool
is_wanted(const OutboxGoneKeys *keys, const OutboxGoneKey *entry)
{
	return entry->key != NULL && !entry->dead && in_range(keys, entry->hash);
}

/* Into a table that is half full at most, without what is not wanted. */
static void
rebuild(OutboxGoneKeys *keys)
{
	OutboxGoneKey *old = keys->slots;
	size_t		nold = keys->nslots;

	keys->nused = 0;
	for (size_t i = 0; i < nold; i++)
		keys->nused += is_wanted(keys, &old[i]);
	keys->nslots = FIRST_SIZE;
	while (keys->nslots < keys->nused * 2)
		keys->nslots *= 2;
	keys->slots = palloc0(keys->nslots * sizeof(OutboxGoneKey));
	for (size_t i = 0; i < nold; i++)
	{
		if (is_wanted(keys, &old[i]))
			*find(keys, &old[i]) = old[i];
		else if (old[i].key != NULL)
		{
			keys->used -= old[i].len + KEY_OVERHEAD;
			pfree(old[i].key);
		}
	}
	pfree(old);
}

static size_t
occupied(const OutboxGoneKeys *keys)
{
	return keys->used + keys->nslots * sizeof(OutboxGoneKey);
}

static void
make_room(OutboxGoneKeys *keys)
{
	if (keys->nused * 4 >= keys->nslots * 3)
		rebuild(keys);
	while (occupied(keys) > keys->memory && keys->nused > 1)
	{
		keys->last = keys->first + (keys->last - keys->first) / 2;
		rebuild(keys);
	}
}

static void
hash_key(const OutboxGoneKeys *keys, OutboxGoneKey *entry)
{
	int32		skip = entry->len >= (int32) keys->skip ?
		(int32) keys->skip : 0;
	uint64		halves[2];

	for (int i = 0; i < 2; i++)
	{
		OutboxSipHash state;

		outbox_siphash_init(&state, keys->secrets[i]);
		outbox_siphash_update(&state, entry->key + skip, entry->len - skip);
		halves[i] = outbox_siphash_final(&state);
	}
	entry->hash = halves[0];
	entry->check = halves[1];
}

void
outbox_gone_keys_value(OutboxGoneKeys *keys, int32 partition,
					   const char *key, int32 len)
{
	OutboxGoneKey wanted = {.partition = partition,.len = len,
	.key = unconstify(char *, key)};
	OutboxGoneKey *entry;

	hash_key(keys, &wanted);
	if (!in_range(keys, wanted.hash))
		return;
	entry = find(keys, &wanted);
	if (entry->key != NULL)
	{
		entry->dead = false;
		return;
	}
	*entry = wanted;
	entry->key = palloc(len + 1);
	memcpy(entry->key, key, len);
	keys->nused++;
	keys->used += len + KEY_OVERHEAD;
	make_room(keys);
}

void
outbox_gone_keys_tombstone(OutboxGoneKeys *keys, int32 partition,
						   const char *key, int32 len)
{
	OutboxGoneKey wanted = {.partition = partition,.len = len,
	.key = unconstify(char *, key)};

	hash_key(keys, &wanted);
	find(keys, &wanted)->dead = true;	/* a free slot stays free */
}

/* In whatever partition and form. */
void
outbox_gone_keys_alive(OutboxGoneKeys *keys, const char *key, int32 len)
{
	OutboxGoneKey wanted = {.len = len,.key = unconstify(char *, key)};

	hash_key(keys, &wanted);
	for (size_t i = wanted.check & (keys->nslots - 1);
		 keys->slots[i].key != NULL; i = (i + 1) & (keys->nslots - 1))
	{
		if (keys->slots[i].hash == wanted.hash &&
			keys->slots[i].check == wanted.check)
			keys->slots[i].dead = true;
	}
}

static int
compare(const void *a, const void *b)
{
	const OutboxGoneKey *left = *(OutboxGoneKey *const *) a;
	const OutboxGoneKey *right = *(OutboxGoneKey *const *) b;

	if (left->hash != right->hash)
		return left->hash < right->hash ? -1 : 1;
	return left->partition - right->partition;
}

void
outbox_gone_keys_sort(OutboxGoneKeys *keys)
{
	keys->sorted = palloc((keys->nused + 1) * sizeof(OutboxGoneKey *));
	keys->nsorted = 0;
	for (size_t i = 0; i < keys->nslots; i++)
	{
		if (is_wanted(keys, &keys->slots[i]))
			keys->sorted[keys->nsorted++] = &keys->slots[i];
	}
	qsort(keys->sorted, keys->nsorted, sizeof(OutboxGoneKey *), compare);
}

/* Dead ones included. */
int
outbox_gone_keys_count(const OutboxGoneKeys *keys)
{
	return keys->nsorted;
}

int
outbox_gone_keys_list(const OutboxGoneKeys *keys, uint64 from, int max,
					  const OutboxGoneKey **list, uint64 *next)
{
	int			n = 0;

	*next = keys->last == PG_UINT64_MAX ? 0 : keys->last + 1;
	for (int i = 0; i < keys->nsorted; i++)
	{
		const OutboxGoneKey *entry = keys->sorted[i];

		if (entry->hash < from || entry->dead)
			continue;
		if (n >= max && entry->hash != list[n - 1]->hash)
		{
			*next = entry->hash;
			break;
		}
		list[n++] = entry;
	}
	return n;
}
