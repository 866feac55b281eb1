/*-------------------------------------------------------------------------
 *
 * pending_check.c
 *		Checks of pending.c and merge.c that a server cannot be brought to.
 *
 * A random history of messages and ends is held against a plain array, under
 * limits that never, sometimes and always spill; then what recovery leaves
 * behind, xids around the wrap-around, and that memory is given back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "fmgr.h"
#include "utils/memutils.h"

#include "source/merge.h"
#include "source/pending.h"

#define XIDS		50
#define MESSAGES	20000

static int	checks;

#define CHECK(condition) \
	do { \
		if (!(condition)) \
			elog(ERROR, "check failed at line %d: %s", __LINE__, #condition); \
		checks++; \
	} while (0)

typedef struct Written
{
	TransactionId xid;
	XLogRecPtr	start;
	Size		len;
	char		fill;
} Written;

static Written *written;
static int	nwritten;

/* What an entry holds is what was written under its xid, in order. */
static void
check_entry(OutboxPending *pending, TransactionId xid)
{
	OutboxPendingXid *entry = outbox_pending_find(pending, xid);
	OutboxMessageCursor cursor;

	if (entry != NULL)
		outbox_messages_open(&cursor, &entry->messages);
	for (int i = 0; i < nwritten; i++)
	{
		const Written *w = &written[i];

		if (w->xid != xid)
			continue;
		CHECK(entry != NULL);
		CHECK(outbox_messages_next(&cursor));
		CHECK(cursor.message.start == w->start);
		if (entry->messages.spilled)
		{
			CHECK(cursor.message.data == NULL);
			continue;
		}
		CHECK(cursor.message.len == w->len);
		CHECK(cursor.message.end == w->start + w->len + 40);
		for (Size j = 0; j < w->len; j++)
			if (cursor.message.data[j] != w->fill)
				elog(ERROR, "contents differ");
	}
	if (entry != NULL)
		CHECK(!outbox_messages_next(&cursor));
}

static void
drop_written(TransactionId xid)
{
	int			n = 0;

	for (int i = 0; i < nwritten; i++)
		if (written[i].xid != xid)
			written[n++] = written[i];
	nwritten = n;
}

static void
check_random_history(Size limit, TransactionId first_xid)
{
	OutboxPending *pending = outbox_pending_create(limit);
	XLogRecPtr	lsn = 8192;
	pg_prng_state state;
	char	   *data = palloc(100000);

	pg_prng_seed(&state, limit + first_xid);
	written = palloc(MESSAGES * sizeof(Written));
	nwritten = 0;
	for (int i = 0; i < MESSAGES; i++)
	{
		TransactionId xid = first_xid + pg_prng_uint64_range(&state, 0, XIDS - 1);
		Written    *w = &written[nwritten++];
		int			kind = pg_prng_uint64_range(&state, 0, 99);

		w->xid = xid;
		w->start = lsn;
		w->len = pg_prng_uint64_range(&state, 0, kind < 90 ? 300 :
									  kind < 99 ? 5000 : 100000);
		w->fill = 'a' + i % 26;
		memset(data, w->fill, w->len);
		outbox_pending_add(pending, xid, lsn, lsn + w->len + 40, data, w->len);
		lsn += MAXALIGN(w->len + 40);
		if (kind == 1)
			lsn += UINT64CONST(1) << pg_prng_uint64_range(&state, 3, 40);

		CHECK(outbox_pending_first(pending) == written[0].start);
		if (pg_prng_uint64_range(&state, 0, 299) == 0)
		{
			xid = first_xid + pg_prng_uint64_range(&state, 0, XIDS - 1);
			check_entry(pending, xid);
			if (outbox_pending_find(pending, xid) != NULL)
				outbox_pending_forget(pending,
									  outbox_pending_find(pending, xid));
			drop_written(xid);
		}
	}
	for (int i = 0; i < XIDS; i++)
	{
		check_entry(pending, first_xid + i);
		if (outbox_pending_find(pending, first_xid + i) != NULL)
			outbox_pending_forget(pending,
								  outbox_pending_find(pending, first_xid + i));
		drop_written(first_xid + i);
		if (nwritten > 0)
			CHECK(outbox_pending_first(pending) == written[0].start);
	}
	CHECK(outbox_pending_count(pending) == 0);
	CHECK(outbox_pending_memory(pending) == 0);
	CHECK(outbox_pending_first(pending) == InvalidXLogRecPtr);
	CHECK((outbox_pending_spilled(pending) > 0) == (limit < 100000000));
}

/* The limit is kept to, and the biggest go first. */
static void
check_limit(void)
{
	OutboxPending *pending = outbox_pending_create(1024 * 1024);
	XLogRecPtr	lsn = 8192;
	char		data[1000] = {0};

	for (int i = 0; i < 500; i++)	/* 100: half a megabyte */
	{
		outbox_pending_add(pending, 100, lsn, lsn + 1040, data, 1000);
		lsn += 1040;
	}
	for (int i = 0; i < 200; i++)	/* 200 others, small */
	{
		outbox_pending_add(pending, 1000 + i, lsn, lsn + 140, data, 100);
		lsn += 144;
	}
	CHECK(outbox_pending_spilled(pending) == 0);
	for (int i = 0; i < 500; i++)
	{
		outbox_pending_add(pending, 200, lsn, lsn + 1040, data, 1000);
		lsn += 1040;
	}
	CHECK(outbox_pending_spilled(pending) == 1);
	CHECK(outbox_pending_find(pending, 100)->messages.spilled ||
		  outbox_pending_find(pending, 200)->messages.spilled);
	for (int i = 0; i < 100000; i++)
	{
		outbox_pending_add(pending, 300, lsn, lsn + 1040, data, 1000);
		lsn += 1040;
		CHECK(outbox_pending_memory(pending) < 1024 * 1024 + 210000 + 65536);
	}
	CHECK(outbox_pending_find(pending, 300)->messages.spilled);
	CHECK(!outbox_pending_find(pending, 1100)->messages.spilled);
}

/* What a crash leaves behind. */
static void
check_leftovers(void)
{
	OutboxPending *pending = outbox_pending_create(1000000);
	TransactionId base = MaxTransactionId - 5;	/* wraps around */
	XLogRecPtr	lsn = 8192;

	for (int i = 0; i < 20; i++)
	{
		TransactionId xid = base + i;

		if (TransactionIdIsNormal(xid))
			outbox_pending_add(pending, xid, lsn, lsn + 48, "x", 1);
		lsn += 48;
	}
	CHECK(outbox_pending_count(pending) == 17); /* three are no normal xids */
	outbox_pending_forget_older(pending, base + 3);
	CHECK(outbox_pending_count(pending) == 14);
	CHECK(outbox_pending_find(pending, base + 2) == NULL);
	CHECK(outbox_pending_find(pending, base + 3) != NULL);
	CHECK(outbox_pending_first(pending) == 8192 + 3 * 48);
	outbox_pending_forget_older(pending, base + 12);	/* after the wrap */
	CHECK(outbox_pending_find(pending, base + 11) == NULL);
	CHECK(outbox_pending_find(pending, base + 12) != NULL);
	CHECK(outbox_pending_count(pending) == 8);

	outbox_pending_find(pending, base + 14)->prepared = true;
	outbox_pending_forget_unprepared(pending);
	CHECK(outbox_pending_count(pending) == 1);
	CHECK(outbox_pending_first(pending) == 8192 + 14 * 48);
	outbox_pending_forget_unprepared(pending);
	CHECK(outbox_pending_count(pending) == 1);
	outbox_pending_forget_older(pending, base + 15);
	CHECK(outbox_pending_count(pending) == 0);
	outbox_pending_forget_older(pending, base + 15);
	outbox_pending_forget_unprepared(pending);
}

/* Many xids, and all of their memory is returned when they are gone. */
static void
check_many(void)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "many",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	OutboxPending *pending = outbox_pending_create(10000000);
	XLogRecPtr	lsn = 8192;

	for (int i = 0; i < 200000; i++)
	{
		outbox_pending_add(pending, 1000 + i * 3, lsn, lsn + 48, "xyz", 3);
		lsn += 48;
	}
	CHECK(outbox_pending_count(pending) == 200000);
	for (int i = 0; i < 200000; i++)
		CHECK(outbox_pending_find(pending, 1000 + i * 3) != NULL);
	CHECK(outbox_pending_find(pending, 1001) == NULL);
	outbox_pending_forget_older(pending, 2000000);
	CHECK(outbox_pending_count(pending) == 0);
	CHECK(MemoryContextMemAllocated(context, true) < 100000);
	MemoryContextSwitchTo(old);
}

/* Entries whose stretches cross each other, which transactions never do. */
static void
check_merge(void)
{
	OutboxPending *pending = outbox_pending_create(100000000);
	OutboxMerge *merge = outbox_merge_open();
	OutboxMessage message;
	XLogRecPtr	lsn = 8192;
	XLogRecPtr	last = 0;
	pg_prng_state state;
	int			n = 0;

	pg_prng_seed(&state, 1);
	for (int i = 0; i < 3000; i++)
	{
		outbox_pending_add(pending, 100 + pg_prng_uint64_range(&state, 0, 99),
						   lsn, lsn + 48, "x", 1);
		lsn += 48;
	}
	outbox_merge_clear(merge);
	for (int i = 99; i >= 0; i--)
		if (outbox_pending_find(pending, 100 + i) != NULL)
			outbox_merge_add(merge, outbox_pending_find(pending, 100 + i));
	CHECK(outbox_merge_messages(merge) == 3000);
	while (outbox_merge_next(merge, &message))
	{
		CHECK(message.start > last);
		last = message.start;
		n++;
	}
	CHECK(n == 3000);
	CHECK(!outbox_merge_next(merge, &message));
	outbox_merge_close(merge);
}

PG_FUNCTION_INFO_V1(fake_pending_check);
Datum
fake_pending_check(PG_FUNCTION_ARGS)
{
	checks = 0;
	check_random_history(1000000000, 1000);
	check_random_history(1000000, 1000);
	check_random_history(20000, MaxTransactionId - XIDS);
	check_random_history(0, 1000);
	check_limit();
	check_leftovers();
	check_many();
	check_merge();
	PG_RETURN_INT32(checks);
}
