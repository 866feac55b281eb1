/* Which keys of a topic are gone: partitions, forms of a key, short memory. */
#include "outbox-kafka/gone_keys.h"

#include "unit/tap.h"

static const char *
name(int i)
{
	static char text[32];

	snprintf(text, sizeof(text), "key-%d", i);
	return text;
}

static void
value(OutboxGoneKeys *keys, int partition, const char *key)
{
	outbox_gone_keys_value(keys, partition, key, strlen(key));
}

static void
alive(OutboxGoneKeys *keys, const char *key)
{
	outbox_gone_keys_alive(keys, key, strlen(key));
}

/* All that are left, whatever the size of a list. */
static int
collect(const OutboxGoneKeys *keys, int max, int *lists)
{
	const OutboxGoneKey **list = palloc((outbox_gone_keys_count(keys) + 1) *
										sizeof(*list));
	uint64		from = outbox_gone_keys_first(keys);
	uint64		before = 0;
	int			sum = 0;
	bool		rising = true;

	*lists = 0;
	for (;;)
	{
		uint64		next;
		int			n = outbox_gone_keys_list(keys, from, max, list, &next);

		for (int i = 0; i < n; i++)
		{
			rising &= list[i]->hash >= before && list[i]->hash >= from;
			before = list[i]->hash;
		}
		sum += n;
		(*lists)++;
		if (next == 0 || next > outbox_gone_keys_last(keys))
			break;
		from = next;
	}
	ok(rising, "lists are in order");
	pfree(list);
	return sum;
}

static void
test_partitions(void)
{
	OutboxGoneKeys *keys = outbox_gone_keys_new(7, 0, 1024 * 1024);
	int			lists;

	for (int i = 0; i < 100; i++)
		value(keys, i % 3, name(i));
	for (int i = 0; i < 10; i++)
		value(keys, 2, name(i));	/* as before a partition was added */
	for (int i = 50; i < 60; i++)
		outbox_gone_keys_tombstone(keys, i % 3, name(i), strlen(name(i)));
	value(keys, 55 % 3, name(55));	/* and back again */
	outbox_gone_keys_tombstone(keys, 0, "never seen", 10);
	outbox_gone_keys_sort(keys);
	ok(collect(keys, 1000, &lists) == 98, "copies count, tombstones do not");
	ok(lists == 1, "in one list");
	for (int i = 0; i < 5; i++)
		alive(keys, name(i));
	alive(keys, name(52));
	alive(keys, "never seen");
	ok(collect(keys, 7, &lists) == 89, "a living key lives in all partitions");
	ok(lists > 10, "small lists");
	outbox_gone_keys_free(keys);
}

/* The same row's key under another schema id. */
static void
test_forms(void)
{
	OutboxGoneKeys *keys = outbox_gone_keys_new(7, 5, 1024 * 1024);
	int			lists;

	value(keys, 0, "\x01""0001a");
	value(keys, 0, "\x01""0002a");
	value(keys, 0, "\x01""0001b");
	value(keys, 0, "\x01""0002b");
	value(keys, 1, "x");
	outbox_gone_keys_sort(keys);
	ok(collect(keys, 1, &lists) == 5, "every form is a key of its own");
	alive(keys, "\x01""0003a");
	ok(collect(keys, 1, &lists) == 3, "a row lives in every form of its key");
	outbox_gone_keys_free(keys);
}

/* Ranges one after the other cover everything, each key once. */
static void
test_memory(void)
{
	OutboxGoneKeys *keys = outbox_gone_keys_new(99, 0, 64 * 1024);
	uint64		from = 0;
	int			found = 0;
	int			ranges = 0;

	for (;;)
	{
		int			lists;
		uint64		last;

		outbox_gone_keys_begin(keys, from);
		for (int i = 0; i < 5000; i++)
			value(keys, 0, name(i));
		for (int i = 0; i < 5000; i += 5)
			outbox_gone_keys_tombstone(keys, 0, name(i), strlen(name(i)));
		outbox_gone_keys_sort(keys);
		for (int i = 1; i < 5000; i += 5)
			alive(keys, name(i));
		found += collect(keys, 50, &lists);
		ranges++;
		last = outbox_gone_keys_last(keys);
		if (last == PG_UINT64_MAX || ranges > 1000)
			break;
		from = last + 1;
	}
	ok(found == 3000, "no key is lost or found twice");
	ok(ranges > 5 && ranges < 200, "in several ranges");
	outbox_gone_keys_free(keys);
}

int
main(void)
{
	test_partitions();
	test_forms();
	test_memory();
	return done();
}
