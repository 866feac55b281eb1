/*-------------------------------------------------------------------------
 *
 * frame.h
 *		What the relay and its child outbox-kafka say to each other,
 *		protocol version 1.
 *
 * A frame is u32 length of what follows, u8 type, body.  Little-endian;
 * "bytes" and "string" are u32 length (OUTBOX_NULL_LENGTH = null) and
 * contents, see base/cursor.h.  Either side closes the socket on anything it
 * cannot parse.  The child acts only on frames and answers each request in
 * order of arrival, except that COMMITTED/FAILED for a batch arrive when its
 * outcome is known.  After any FAILED the child accepts only PING and STOP:
 * the relay ends it and takes over with a new one.
 *
 * relay -> child
 *	HELLO			u16 protocol version, u8 delivery (OutboxDelivery),
 *					u16 ring size, string transactional id prefix,
 *					string position topic, string properties file or null,
 *					u32 n, n x (string property, string value)
 *	READ_POSITION	(empty)
 *	PUT_RECORD		string key, bytes value: to the position topic, outside
 *					any transaction, acknowledged by all in-sync replicas
 *	INIT			u16 count: init_transactions on ids 0..count-1 (fences
 *					whoever had them); the first ring-size ones stay in use
 *	TOPIC			u32 topic index (chosen by the relay, from 0), string
 *					name, i32 partitions (-1 broker default), i16 replication
 *					factor (-1 broker default), u8 create when missing,
 *					u8 compacted
 *	DATA			u32 batch, u32 event count, events (below)
 *	COMMIT			u32 batch, u32 events in the batch, bytes position record
 *	PING			u64 token
 *	STOP			(empty): finish nothing, exit 0
 *	REGISTER		see register.h: have a schema known to the schema
 *					registry; answered by REGISTERED when it is known what
 *					came of it, not in order with other answers
 *
 *	DIAGNOSE		see diagnosis.h: look at broker, topics and registry for
 *					outbox.check(); answered by DIAGNOSIS, not in order with
 *					other answers
 *
 *	ANNOUNCE		string instance, u32 block of schema ids, u8 create the topic
 *					when missing: to outbox.instances; not answered
 *
 * child -> relay
 *	HELLO_OK		u16 protocol version, string librdkafka version
 *	POSITION		bytes position record or null, bytes highest claim or
 *					null (highest timeline, then incarnation), i64 high
 *					watermark
 *	PUT_OK			(empty)
 *	INIT_OK			(empty)
 *	TOPIC_OK		u32 topic index, i32 partitions
 *	COMMITTED		u32 batch, u32 events
 *	FAILED			u8 type of the frame it answers (0 = none, e.g. a fatal
 *					producer error), u8 class (OutboxResultClass), i32
 *					librdkafka code, u32 batch, u32 topic index
 *					(OUTBOX_NO_TOPIC = none), string message, u32 which event
 *					of the batch it is about, from 1, 0 = not known
 *	PONG			u64 token
 *	LOG				u8 level (syslog), string message
 *	RECORDED		bytes position record: at_least_once, where COMMITTED does
 *					not wait for it: it is acknowledged now
 *	STATUS			u8 class, i32 code, string message: the link's present
 *					trouble (OUTBOX_OK = over); no answer to anything
 *	READY			u32 batch: exactly once, all of that batch is acknowledged
 *					and the next can be begun; a hint, no answer to anything
 *	REGISTERED		see register.h: the id, or why there is none.  Never
 *					FAILED: what the registry says is no producer's trouble
 *	DIAGNOSIS		see diagnosis.h: what was found; never FAILED either
 *
 * An event in DATA:
 *	u32 length of what follows, u32 topic index, i32 partition (-1 = by key),
 *	i64 timestamp ms, 16 bytes event id, u32 split part (0 = transaction is
 *	not split; else 1, 2, ...), bytes key, bytes header block
 *	(wal_message.h), bytes value
 * The child adds header "id" (the event id as text) in front of the block's
 * and, for split transactions, "outbox.split" (the part as decimal text).
 *
 * outbox-kafka gone speaks with the snapshot reader of a rebuild_topic(), one
 * question at a time:
 *
 * reader -> outbox-kafka gone
 *	HELLO			u16 protocol version, u32 memory (kB), u64 token, string
 *					topic, string properties file or null, u32 n, n x (string
 *					property, string value); not answered
 *	ENDS			(empty): where the topic's partitions end now
 *	GONE			u32 bytes of a key that do not count (its schema id), u64
 *					first hash, u32 keys at most, u32 n, n x u64 offset: keys
 *					with a value in front of these offsets and nothing behind
 *
 * outbox-kafka gone -> reader
 *	ENDS_OK			u32 n, n x u64 offset
 *	GONE_OK			u64 first hash of the next question, u8 nothing is left,
 *					u32 n, n x (u64 hash, u32 partition, bytes key), by hash
 *	GONE_FAILED		u8 class (OutboxResultClass), string message
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_FRAME_H
#define OUTBOX_FRAME_H

#include "base/base.h"

#define OUTBOX_PROTOCOL_VERSION		1
#define OUTBOX_MAX_FRAME			(64 * 1024 * 1024)	/* bytes, either way */
#define OUTBOX_FRAME_HEADER			5	/* length and type */
#define OUTBOX_NO_TOPIC				0xFFFFFFFFU

typedef enum OutboxFrameType
{
	OUTBOX_FRAME_HELLO = 0x01,
	OUTBOX_FRAME_READ_POSITION = 0x02,
	OUTBOX_FRAME_PUT_RECORD = 0x03,
	OUTBOX_FRAME_INIT = 0x04,
	OUTBOX_FRAME_TOPIC = 0x05,
	OUTBOX_FRAME_DATA = 0x06,
	OUTBOX_FRAME_COMMIT = 0x07,
	OUTBOX_FRAME_PING = 0x08,
	OUTBOX_FRAME_STOP = 0x09,
	OUTBOX_FRAME_REGISTER = 0x0A,
	OUTBOX_FRAME_DIAGNOSE = 0x0B,
	OUTBOX_FRAME_ENDS = 0x0C,
	OUTBOX_FRAME_GONE = 0x0D,
	OUTBOX_FRAME_ANNOUNCE = 0x0E,

	OUTBOX_FRAME_HELLO_OK = 0x81,
	OUTBOX_FRAME_POSITION = 0x82,
	OUTBOX_FRAME_PUT_OK = 0x83,
	OUTBOX_FRAME_INIT_OK = 0x84,
	OUTBOX_FRAME_TOPIC_OK = 0x85,
	OUTBOX_FRAME_COMMITTED = 0x86,
	OUTBOX_FRAME_FAILED = 0x87,
	OUTBOX_FRAME_PONG = 0x88,
	OUTBOX_FRAME_LOG = 0x89,
	OUTBOX_FRAME_STATUS = 0x8A,
	OUTBOX_FRAME_RECORDED = 0x8B,
	OUTBOX_FRAME_READY = 0x8C,
	OUTBOX_FRAME_REGISTERED = 0x8D,
	OUTBOX_FRAME_DIAGNOSIS = 0x8E,
	OUTBOX_FRAME_ENDS_OK = 0x8F,
	OUTBOX_FRAME_GONE_OK = 0x90,
	OUTBOX_FRAME_GONE_FAILED = 0x91
} OutboxFrameType;

typedef enum OutboxDelivery
{
	OUTBOX_EXACTLY_ONCE = 0,
	OUTBOX_AT_LEAST_ONCE = 1
} OutboxDelivery;

/* Begin a frame; returns its offset for outbox_frame_end(). */
extern int	outbox_frame_begin(StringInfo buf, OutboxFrameType type);
extern void outbox_frame_end(StringInfo buf, int start);

/*
 * Look for one whole frame at data.  Returns its total length and sets type,
 * body and body_len; 0 when more bytes are needed; -1 when the stream is
 * damaged (empty or oversized frame).
 */
extern int	outbox_frame_peek(const char *data, size_t len,
							  OutboxFrameType *type,
							  const char **body, size_t *body_len);

#endif							/* OUTBOX_FRAME_H */
