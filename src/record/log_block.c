/*-------------------------------------------------------------------------
 *
 * log_block.c
 *		Write and read blocks of the event log; see log_block.h.
 *
 * Owns no state and allocates nothing but the writer's buffer.
 *
 *-------------------------------------------------------------------------
 */
#include "record/log_block.h"

#include "port/pg_crc32c.h"

#define CRC_SIZE	4

static uint32
compute_crc(const char *data, size_t len)
{
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, data, len);
	FIN_CRC32C(crc);
	return crc;
}

void
outbox_log_block_begin(StringInfo buf)
{
	resetStringInfo(buf);
	outbox_put_u8(buf, OUTBOX_LOG_BLOCK_VERSION);
}

void
outbox_log_block_put_txn(StringInfo buf, const OutboxLogTxn *txn)
{
	outbox_put_u8(buf, 'T');
	outbox_put_u64(buf, txn->full_xid);
	outbox_put_u64(buf, txn->commit_start);
	outbox_put_u64(buf, txn->commit_end);
	outbox_put_u32(buf, txn->commit_crc);
	outbox_put_u64(buf, (uint64) txn->commit_time);
	outbox_put_u8(buf, txn->prepared);
	outbox_put_u64(buf, txn->messages);
	outbox_put_u64(buf, txn->earlier);
}

void
outbox_log_block_put_record(StringInfo buf, uint64 lsn,
							const char *record, size_t len)
{
	outbox_put_u8(buf, 'M');
	outbox_put_u64(buf, lsn);
	outbox_put_bytes(buf, record, (int32) (len - OUTBOX_MAC_SIZE));
}

void
outbox_log_block_put_message(StringInfo buf, uint64 lsn,
							 const OutboxWalMessage *msg)
{
	int			start;

	outbox_put_u8(buf, 'M');
	outbox_put_u64(buf, lsn);
	start = buf->len;
	outbox_put_u32(buf, 0);
	outbox_wal_message_write_body(buf, msg);
	outbox_store_le((uint8 *) buf->data + start, buf->len - start - 4, 4);
}

void
outbox_log_block_put_left_out(StringInfo buf, uint32 count)
{
	outbox_put_u8(buf, 'L');
	outbox_put_u32(buf, count);
}

void
outbox_log_block_put_forged(StringInfo buf, uint32 count)
{
	outbox_put_u8(buf, 'F');
	outbox_put_u32(buf, count);
}

void
outbox_log_block_put_end(StringInfo buf)
{
	outbox_put_u8(buf, 'E');
}

void
outbox_log_block_finish(StringInfo buf)
{
	outbox_put_u32(buf, compute_crc(buf->data, buf->len));
}

bool
outbox_log_reader_init(OutboxLogReader *reader, const char *data, size_t len)
{
	OutboxCursor crc;

	memset(reader, 0, sizeof(*reader));
	if (len <= CRC_SIZE)
		return false;
	outbox_cursor_init(&crc, data + len - CRC_SIZE, CRC_SIZE);
	outbox_cursor_init(&reader->c, data, len - CRC_SIZE);
	return outbox_get_u32(&crc) == compute_crc(data, len - CRC_SIZE) &&
		outbox_get_u8(&reader->c) == OUTBOX_LOG_BLOCK_VERSION;
}

static void
get_txn(OutboxCursor *c, OutboxLogTxn *txn)
{
	txn->full_xid = outbox_get_u64(c);
	txn->commit_start = outbox_get_u64(c);
	txn->commit_end = outbox_get_u64(c);
	txn->commit_crc = outbox_get_u32(c);
	txn->commit_time = (int64) outbox_get_u64(c);
	txn->prepared = outbox_get_u8(c) != 0;
	txn->messages = outbox_get_u64(c);
	txn->earlier = outbox_get_u64(c);
}

static bool
get_message(OutboxLogReader *reader)
{
	const char *data;
	int32		len;

	reader->lsn = outbox_get_u64(&reader->c);
	data = outbox_get_bytes(&reader->c, &len);
	return data != NULL &&
		outbox_wal_message_read_body(data, len, &reader->msg) == OUTBOX_WAL_OK;
}

OutboxLogItem
outbox_log_reader_next(OutboxLogReader *reader)
{
	OutboxCursor *c = &reader->c;
	OutboxLogItem item = OUTBOX_LOG_DAMAGED;

	if (outbox_cursor_left(c) == 0)
		return c->failed ? OUTBOX_LOG_DAMAGED : OUTBOX_LOG_DONE;
	reader->index = reader->next;
	switch (outbox_get_u8(c))
	{
		case 'T':
			get_txn(c, &reader->txn);
			reader->next = reader->txn.earlier;
			item = OUTBOX_LOG_TXN;
			break;
		case 'M':
			reader->next++;
			if (get_message(reader))
				item = OUTBOX_LOG_MESSAGE;
			break;
		case 'L':
			reader->count = outbox_get_u32(c);
			reader->next += reader->count;
			item = OUTBOX_LOG_LEFT_OUT;
			break;
		case 'F':
			reader->count = outbox_get_u32(c);
			reader->next += reader->count;
			item = OUTBOX_LOG_FORGED;
			break;
		case 'E':
			item = OUTBOX_LOG_END;
			break;
	}
	return c->failed ? OUTBOX_LOG_DAMAGED : item;
}
