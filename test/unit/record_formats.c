/*-------------------------------------------------------------------------
 *
 * record_formats.c
 *		The formats that outlive a call: WAL message, position, frames.
 *
 * Two kinds of checks.  Golden bytes: version 1 of each format is frozen, so
 * a change of a single byte must fail here.  Hostile bytes: anybody can write
 * a WAL message, and any prefix or flipped byte of one must be refused without
 * reading outside it (run with the address sanitizer).
 *
 *-------------------------------------------------------------------------
 */
#include "unit/tap.h"

#include "base/cursor.h"
#include "base/siphash.h"
#include "record/frame.h"
#include "record/job_mark.h"
#include "record/position.h"
#include "record/retry.h"
#include "record/wal_message.h"

static const uint8 test_key[OUTBOX_SIPHASH_KEY_SIZE] = {
	0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
};
static const OutboxMacContext test_context = {
	.system_id = UINT64CONST(0x1122334455667788),
	.database = 5,
	.full_xid = UINT64CONST(0x0000000100000007)
};

/* Bytes of buf as hexadecimal digits, palloc'd. */
static char *
hex(const StringInfo buf)
{
	StringInfoData out;

	initStringInfo(&out);
	for (int i = 0; i < buf->len; i++)
		appendStringInfo(&out, "%02x", (uint8) buf->data[i]);
	return out.data;
}

static bool
same_hex(const StringInfo buf, const char *expected)
{
	char	   *got = hex(buf);
	bool		same = strcmp(got, expected) == 0;

	if (!same)
		printf("# got      %s\n# expected %s\n", got, expected);
	pfree(got);
	return same;
}

/* First and last of the 64 vectors published with the SipHash paper. */
static void
test_siphash(void)
{
	OutboxSipHash state;
	uint8		data[64];
	uint64		whole,
				pieces;

	for (int i = 0; i < 64; i++)
		data[i] = i;
	outbox_siphash_init(&state, test_key);
	ok(outbox_siphash_final(&state) == UINT64CONST(0x726fdb47dd0e0e31),
	   "SipHash-2-4 of nothing");
	outbox_siphash_init(&state, test_key);
	outbox_siphash_update(&state, data, 15);
	ok(outbox_siphash_final(&state) == UINT64CONST(0xa129ca6149be45e5),
	   "SipHash-2-4 of 15 bytes, the paper's example");
	outbox_siphash_init(&state, test_key);
	outbox_siphash_update(&state, data, 63);
	whole = outbox_siphash_final(&state);
	ok(whole == UINT64CONST(0x958a324ceb064572), "SipHash-2-4 of 63 bytes");

	for (int cut = 0; cut <= 63; cut++)
	{
		outbox_siphash_init(&state, test_key);
		outbox_siphash_update(&state, data, cut);
		outbox_siphash_update(&state, data + cut, 63 - cut);
		pieces = outbox_siphash_final(&state);
		if (pieces != whole)
			break;
	}
	ok(pieces == whole, "SipHash of pieces is that of the whole");
}

static void
make_message(StringInfo buf)
{
	OutboxWalMessage msg = {
		.kind = OUTBOX_MESSAGE_EVENT,
		.key_id = 1,
		.ordinal = 2,
		.route_id = 3,
		.schema_id = 4,
		.partition = -1,
		.timestamp_ms = 5,
		.topic_len = -1,
		.key = "key",
		.key_len = 3,
		.payload = "payload",
		.payload_len = 7
	};
	StringInfoData headers;

	for (int i = 0; i < OUTBOX_EVENT_ID_SIZE; i++)
		msg.event_id[i] = 0xa0 + i;
	initStringInfo(&headers);
	outbox_headers_begin(&headers);
	outbox_headers_add(&headers, "h", 1, "v", 1);
	outbox_headers_add(&headers, "null", 4, NULL, 0);
	msg.headers = headers.data;
	msg.headers_len = headers.len;
	outbox_wal_message_write(buf, &msg, test_key, &test_context);
	pfree(headers.data);
}

static void
test_message(void)
{
	StringInfoData buf;
	OutboxWalMessage msg;
	OutboxHeader header;
	int32		offset = 0;

	initStringInfo(&buf);
	make_message(&buf);
	ok(same_hex(&buf,
				"01010000010000000200000003000000040000"
				"00a0a1a2a3a4a5a6a7a8a9aaabacadaeafffffffff0500000000000000"
				"ffffffff" "030000006b6579"
				"140000000200" "010068" "0100000076"
				"04006e756c6c" "ffffffff"
				"070000007061796c6f6164"
				"bff964a117ec05af"),
	   "WAL message version 1, byte for byte");

	ok(outbox_wal_message_read(buf.data, buf.len, &msg) == OUTBOX_WAL_OK,
	   "it parses");
	ok(msg.kind == OUTBOX_MESSAGE_EVENT && msg.key_id == 1 &&
	   msg.ordinal == 2 && msg.route_id == 3 && msg.schema_id == 4 &&
	   msg.partition == -1 && msg.timestamp_ms == 5 &&
	   msg.event_id[15] == 0xaf, "fixed fields");
	ok(msg.topic == NULL && msg.topic_len == -1 && msg.key_len == 3 &&
	   memcmp(msg.key, "key", 3) == 0 && msg.payload_len == 7 &&
	   memcmp(msg.payload, "payload", 7) == 0, "variable fields");
	ok(outbox_headers_count(msg.headers, msg.headers_len) == 2,
	   "two headers");
	ok(outbox_headers_next(msg.headers, msg.headers_len, &offset, &header) &&
	   header.name_len == 1 && header.value_len == 1 &&
	   outbox_headers_next(msg.headers, msg.headers_len, &offset, &header) &&
	   header.value == NULL && header.value_len == -1 &&
	   !outbox_headers_next(msg.headers, msg.headers_len, &offset, &header),
	   "header by header");
	pfree(buf.data);
}

/* Nothing but the very record, in the very transaction, is believed. */
static void
test_mac(void)
{
	StringInfoData buf;
	OutboxMacContext other;
	uint8		key[OUTBOX_SIPHASH_KEY_SIZE];
	int			believed = 0;

	initStringInfo(&buf);
	make_message(&buf);
	ok(outbox_wal_message_verify(buf.data, buf.len, test_key, &test_context),
	   "the MAC fits");
	for (int i = 0; i < buf.len; i++)
	{
		buf.data[i] ^= 0x10;
		believed += outbox_wal_message_verify(buf.data, buf.len, test_key,
											  &test_context);
		buf.data[i] ^= 0x10;
	}
	ok(believed == 0, "no flipped byte is believed");

	other = test_context;
	other.full_xid++;
	ok(!outbox_wal_message_verify(buf.data, buf.len, test_key, &other),
	   "not in another transaction");
	other = test_context;
	other.database++;
	ok(!outbox_wal_message_verify(buf.data, buf.len, test_key, &other),
	   "not in another database");
	other = test_context;
	other.system_id++;
	ok(!outbox_wal_message_verify(buf.data, buf.len, test_key, &other),
	   "not in another system");
	memcpy(key, test_key, sizeof(key));
	key[0] ^= 1;
	ok(!outbox_wal_message_verify(buf.data, buf.len, key, &test_context),
	   "not under another key");
	pfree(buf.data);
}

/* Each prefix in memory of exactly its size, so that a read beyond is seen. */
static void
test_hostile_messages(void)
{
	StringInfoData buf;
	OutboxWalMessage msg;
	int			parsed = 0;

	initStringInfo(&buf);
	make_message(&buf);
	for (int len = 0; len < buf.len; len++)
	{
		char	   *copy = palloc(len + 1) + 1;

		memcpy(copy, buf.data, len);
		parsed += outbox_wal_message_read(copy, len, &msg) == OUTBOX_WAL_OK;
		(void) outbox_wal_message_verify(copy, len, test_key, &test_context);
		pfree(copy - 1);
	}
	ok(parsed == 0, "no prefix of a message parses");

	for (int i = 0; i < buf.len - OUTBOX_MAC_SIZE; i++)
	{
		for (int bit = 0; bit < 8; bit++)
		{
			buf.data[i] ^= 1 << bit;
			if (outbox_wal_message_read(buf.data, buf.len, &msg) ==
				OUTBOX_WAL_OK && msg.headers != NULL)
			{
				OutboxHeader header;
				int32		offset = 0;

				while (outbox_headers_next(msg.headers, msg.headers_len,
										   &offset, &header))
					 /* only reads */ ;
			}
			buf.data[i] ^= 1 << bit;
		}
	}
	ok(true, "no flipped bit makes the parser read outside");

	/* flags, at offset 2 */
	buf.data[2] = OUTBOX_MSG_TAIL | OUTBOX_MSG_KEY_SCHEMA;
	ok(outbox_wal_message_read(buf.data, buf.len, &msg) == OUTBOX_WAL_OK &&
	   msg.flags == 3, "known flags are read");
	buf.data[2] = 0x04;
	ok(outbox_wal_message_read(buf.data, buf.len, &msg) == OUTBOX_WAL_TOO_NEW,
	   "a flag that is not known is of a later version");
	buf.data[2] = 0;

	buf.data[0] = 2;
	ok(outbox_wal_message_read(buf.data, buf.len, &msg) == OUTBOX_WAL_TOO_NEW,
	   "a later version is told from garbage");
	pfree(buf.data);
}

static void
test_position(void)
{
	OutboxPosition pos = {
		.system_id = 1, .timeline = 2, .incarnation = 3, .ring = 2,
		.written_ms = 4, .scanned = 5, .split_ordinal = 6, .event_end = 7,
		.event_crc = 8, .commit_start = 9, .commit_crc = 10, .restart = 11,
		.parked_lsn = 12, .parked_ordinal = 13
	};
	OutboxPosition back;
	StringInfoData buf;
	int			parsed = 0;

	initStringInfo(&buf);
	outbox_position_write(&buf, &pos);
	ok(same_hex(&buf,
				"4f4258500100" "00000000000000000000000000000000"
				"0100000000000000" "00000000000000000000000000000000"
				"02000000" "0300000000000000" "0200" "0400000000000000"
				"0500000000000000" "06000000" "0700000000000000" "08000000"
				"0900000000000000" "0a000000" "0b00000000000000"
				"0c00000000000000" "0d000000" "1054200c"),
	   "position record version 1, byte for byte");
	ok(outbox_position_read(buf.data, buf.len, &back) == OUTBOX_POSITION_OK &&
	   memcmp(&back.system_id, &pos.system_id, sizeof(uint64)) == 0 &&
	   back.timeline == 2 && back.incarnation == 3 && back.ring == 2 &&
	   back.written_ms == 4 && back.scanned == 5 && back.split_ordinal == 6 &&
	   back.event_end == 7 && back.event_crc == 8 && back.commit_start == 9 &&
	   back.commit_crc == 10 && back.restart == 11 && back.parked_lsn == 12 &&
	   back.parked_ordinal == 13, "it reads back");
	for (int i = 6; i < buf.len; i++)
	{
		buf.data[i] ^= 1;
		parsed += outbox_position_read(buf.data, buf.len, &back) ==
			OUTBOX_POSITION_OK;
		buf.data[i] ^= 1;
	}
	for (int len = 0; len < buf.len; len++)
		parsed += outbox_position_read(buf.data, len, &back) ==
			OUTBOX_POSITION_OK;
	ok(parsed == 0, "a damaged or short record is refused");
	buf.data[4] = OUTBOX_POSITION_VERSION + 1;
	ok(outbox_position_read(buf.data, buf.len, &back) ==
	   OUTBOX_POSITION_TOO_NEW, "a later version is told from damage");
	pfree(buf.data);
}

static void
test_marks(void)
{
	static OutboxPosition pos,
				back;
	OutboxJobMark one = {.token = 1,.rows = 2,.cursor = "here",.cursor_len = 4};
	OutboxJobMark two = {.token = 3,.done = true,.rows = 4};
	OutboxJobMark mark;
	StringInfoData buf;
	OutboxCursor c;
	int			parsed = 0;

	initStringInfo(&buf);
	outbox_job_mark_put(&buf, &one);
	outbox_job_mark_put(&buf, &two);
	ok(same_hex(&buf,
				"0100000000000000" "00" "0200000000000000" "0400000068657265"
				"0300000000000000" "01" "0400000000000000" "ffffffff"),
	   "marks of jobs, byte for byte");
	memcpy(pos.marks, buf.data, buf.len);
	pos.marks_len = buf.len;

	resetStringInfo(&buf);
	outbox_position_write(&buf, &pos);
	ok(buf.data[4] == 2 && buf.data[5] == 0,
	   "a position record with marks has version 2");
	ok(outbox_position_read(buf.data, buf.len, &back) == OUTBOX_POSITION_OK &&
	   back.marks_len == pos.marks_len, "it reads back");
	outbox_cursor_init(&c, back.marks, back.marks_len);
	ok(outbox_job_mark_next(&c, &mark) && mark.token == 1 && !mark.done &&
	   mark.rows == 2 && mark.cursor_len == 4 &&
	   memcmp(mark.cursor, "here", 4) == 0, "the first mark");
	ok(outbox_job_mark_next(&c, &mark) && mark.token == 3 && mark.done &&
	   mark.rows == 4 && mark.cursor == NULL &&
	   !outbox_job_mark_next(&c, &mark), "the second one, and the end");
	for (int len = 0; len < buf.len; len++)
		parsed += outbox_position_read(buf.data, len, &back) ==
			OUTBOX_POSITION_OK;
	ok(parsed == 0, "a short record is refused");
	outbox_cursor_init(&c, pos.marks, pos.marks_len - 1);
	ok(outbox_job_mark_next(&c, &mark) && !outbox_job_mark_next(&c, &mark),
	   "a short mark is none");
	pfree(buf.data);
}

static void
test_retry(void)
{
	OutboxRetry retry;
	StringInfoData buf;
	int			parsed = 0;

	initStringInfo(&buf);
	outbox_retry_write_lane(&buf, UINT64CONST(0x0102), 3);
	ok(same_hex(&buf, "01" "0201000000000000" "03000000"),
	   "a retry of a lane, byte for byte");
	ok(outbox_retry_read(buf.data, buf.len, &retry) &&
	   retry.kind == OUTBOX_RETRY_LANE && retry.last_lsn == 0x0102 &&
	   retry.last_ordinal == 3, "it reads back");
	for (int len = 0; len < buf.len; len++)
		parsed += outbox_retry_read(buf.data, len, &retry);

	resetStringInfo(&buf);
	outbox_retry_begin_ids(&buf, 2);
	outbox_put_u64(&buf, 5);
	outbox_put_u64(&buf, 7);
	ok(same_hex(&buf, "02" "02000000" "0500000000000000" "0700000000000000"),
	   "a retry of ids, byte for byte");
	ok(outbox_retry_read(buf.data, buf.len, &retry) &&
	   retry.kind == OUTBOX_RETRY_IDS && retry.nids == 2 &&
	   outbox_get_u64(&retry.ids) == 5 && outbox_get_u64(&retry.ids) == 7 &&
	   outbox_cursor_left(&retry.ids) == 0, "it reads back");
	for (int len = 0; len < buf.len; len++)
		parsed += outbox_retry_read(buf.data, len, &retry);
	outbox_put_u8(&buf, 0);
	parsed += outbox_retry_read(buf.data, buf.len, &retry);
	buf.data[0] = 3;
	parsed += outbox_retry_read(buf.data, buf.len, &retry) +
		outbox_retry_read(NULL, -1, &retry);
	ok(parsed == 0, "a short or long one, or another kind, is refused");
	pfree(buf.data);
}

static void
test_frames(void)
{
	StringInfoData buf;
	OutboxFrameType type;
	const char *body;
	size_t		len;
	int			start,
				early = 0;

	initStringInfo(&buf);
	start = outbox_frame_begin(&buf, OUTBOX_FRAME_PING);
	outbox_put_u64(&buf, 7);
	outbox_frame_end(&buf, start);
	ok(same_hex(&buf, "09000000" "08" "0700000000000000"),
	   "a frame, byte for byte");
	for (int i = 0; i < buf.len; i++)
		early += outbox_frame_peek(buf.data, i, &type, &body, &len) != 0;
	ok(early == 0, "part of a frame is no frame yet");
	ok(outbox_frame_peek(buf.data, buf.len, &type, &body, &len) == buf.len &&
	   type == OUTBOX_FRAME_PING && len == 8, "the whole is");
	ok(outbox_frame_peek("\0\0\0\0\0", 5, &type, &body, &len) == -1,
	   "an empty frame is damage");
	ok(outbox_frame_peek("\xff\xff\xff\xff\1", 5, &type, &body, &len) == -1,
	   "so is one beyond the limit");
	pfree(buf.data);
}

int
main(int argc, char **argv)
{
	test_siphash();
	test_message();
	test_mac();
	test_hostile_messages();
	test_position();
	test_marks();
	test_retry();
	test_frames();
	return done();
}
