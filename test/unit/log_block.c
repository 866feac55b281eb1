/*-------------------------------------------------------------------------
 *
 * log_block.c
 *		Blocks of the event log: frozen bytes, what goes in comes out, damage.
 *
 *-------------------------------------------------------------------------
 */
#include "unit/tap.h"

#include "record/log_block.h"

static const OutboxLogTxn test_txn = {
	.full_xid = UINT64CONST(0x0000000100000007),
	.commit_start = 0x1000,
	.commit_end = 0x1040,
	.commit_crc = 0xCAFEBABE,
	.commit_time = 5,
	.messages = 8,
	.earlier = 3
};

static OutboxWalMessage
make_message(void)
{
	OutboxWalMessage msg = {
		.kind = OUTBOX_MESSAGE_EVENT,
		.ordinal = 4,
		.route_id = 9,
		.schema_id = 17,
		.event_id = {0xE1, 0xE2},
		.partition = -1,
		.topic_len = -1,
		.key = "k",
		.key_len = 1,
		.headers_len = -1,
		.payload = "value",
		.payload_len = 5
	};

	return msg;
}

static void
make_block(StringInfo buf)
{
	static const uint8 key[OUTBOX_SIPHASH_KEY_SIZE] = {1};
	static const OutboxMacContext context = {1, 2, 3};
	OutboxWalMessage msg = make_message();
	StringInfoData record;

	initStringInfo(&record);
	outbox_wal_message_write(&record, &msg, key, &context);
	outbox_log_block_begin(buf);
	outbox_log_block_put_txn(buf, &test_txn);
	outbox_log_block_put_record(buf, 0x900, record.data, record.len);
	outbox_log_block_put_left_out(buf, 2);
	outbox_log_block_put_forged(buf, 1);
	outbox_log_block_put_message(buf, 0x980, &msg);
	outbox_log_block_put_end(buf);
	outbox_log_block_finish(buf);
	pfree(record.data);
}

static bool
is_message(const OutboxLogReader *r, uint64 lsn, uint64 index)
{
	return r->lsn == lsn && r->index == index && r->msg.route_id == 9 &&
		r->msg.ordinal == 4 && r->msg.key_len == 1 && r->msg.topic == NULL &&
		r->msg.payload_len == 5 && memcmp(r->msg.payload, "value", 5) == 0;
}

static void
test_round_trip(const StringInfo buf)
{
	OutboxLogReader r;

	ok(outbox_log_reader_init(&r, buf->data, buf->len), "a block can be read");
	ok(outbox_log_reader_next(&r) == OUTBOX_LOG_TXN &&
	   r.txn.full_xid == test_txn.full_xid && r.txn.commit_start == 0x1000 &&
	   r.txn.commit_end == 0x1040 && r.txn.commit_crc == 0xCAFEBABE &&
	   r.txn.commit_time == 5 && !r.txn.prepared && r.txn.messages == 8 && r.txn.earlier == 3,
	   "its transaction");
	ok(outbox_log_reader_next(&r) == OUTBOX_LOG_MESSAGE &&
	   is_message(&r, 0x900, 3), "a record of WAL, counted from what was earlier");
	ok(outbox_log_reader_next(&r) == OUTBOX_LOG_LEFT_OUT && r.count == 2 &&
	   r.index == 4, "messages that are left out");
	ok(outbox_log_reader_next(&r) == OUTBOX_LOG_FORGED && r.count == 1 &&
	   r.index == 6, "and one that is not ours");
	ok(outbox_log_reader_next(&r) == OUTBOX_LOG_MESSAGE &&
	   is_message(&r, 0x980, 7), "a message made by a source, counted behind them");
	ok(outbox_log_reader_next(&r) == OUTBOX_LOG_END &&
	   outbox_log_reader_next(&r) == OUTBOX_LOG_DONE, "the end");
}

/* Version 1 is frozen: blocks outlive the program that wrote them. */
static void
test_golden(const StringInfo buf)
{
	static const char expected[] =
	"01"
	"54" "0700000001000000" "0010000000000000" "4010000000000000" "bebafeca"
	"0500000000000000" "00" "0800000000000000" "0300000000000000"
	"4d" "0009000000000000" "46000000"
	"01" "01" "0000" "00000000" "04000000" "09000000" "11000000"
	"e1e20000000000000000000000000000" "ffffffff" "0000000000000000"
	"ffffffff" "01000000" "6b" "ffffffff" "05000000" "76616c7565"
	"4c" "02000000"
	"46" "01000000"
	"4d" "8009000000000000" "46000000"
	"01" "01" "0000" "00000000" "04000000" "09000000" "11000000"
	"e1e20000000000000000000000000000" "ffffffff" "0000000000000000"
	"ffffffff" "01000000" "6b" "ffffffff" "05000000" "76616c7565"
	"45";
	StringInfoData got;

	initStringInfo(&got);
	for (int i = 0; i < buf->len - 4; i++)
		appendStringInfo(&got, "%02x", (uint8) buf->data[i]);
	ok(strcmp(got.data, expected) == 0, "the bytes of version 1");
	if (strcmp(got.data, expected) != 0)
		printf("# got      %s\n# expected %s\n", got.data, expected);
	pfree(got.data);
}

/* Every prefix and every flipped byte is refused, in memory of its size. */
static void
test_damage(const StringInfo buf)
{
	bool		refused = true;

	for (int len = 0; len < buf->len; len++)
	{
		char	   *copy = malloc(len > 0 ? len : 1);
		OutboxLogReader r;

		memcpy(copy, buf->data, len);
		refused &= !outbox_log_reader_init(&r, copy, len);
		free(copy);
	}
	for (int at = 0; at < buf->len; at++)
	{
		OutboxLogReader r;

		buf->data[at] ^= 0x20;
		refused &= !outbox_log_reader_init(&r, buf->data, buf->len);
		buf->data[at] ^= 0x20;
	}
	ok(refused, "a prefix or a flipped byte is refused");
}

/* What has the right CRC is not trusted with its lengths for that. */
static void
test_bad_items(void)
{
	static const char *const items[] = {"X", "T123", "M\1\0\0\0\0\0\0\0\377\377", "L12"};
	bool		refused = true;

	for (int i = 0; i < lengthof(items); i++)
	{
		StringInfoData buf;
		OutboxLogReader r;

		initStringInfo(&buf);
		outbox_log_block_begin(&buf);
		appendBinaryStringInfo(&buf, items[i], i == 2 ? 11 : strlen(items[i]));
		outbox_log_block_finish(&buf);
		refused &= outbox_log_reader_init(&r, buf.data, buf.len) &&
			outbox_log_reader_next(&r) == OUTBOX_LOG_DAMAGED;
		pfree(buf.data);
	}
	ok(refused, "an item that is none, or cut short, is damage");
}

int
main(int argc, char **argv)
{
	StringInfoData buf;

	initStringInfo(&buf);
	make_block(&buf);
	test_round_trip(&buf);
	test_golden(&buf);
	test_damage(&buf);
	test_bad_items();
	pfree(buf.data);
	return done();
}
