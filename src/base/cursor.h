/*-------------------------------------------------------------------------
 *
 * cursor.h
 *		Bounded little-endian reads and writes for every binary format.
 *
 * A cursor never reads past its end: the first short read sets "failed" and
 * every later read gives zero, so a parser checks once, at the end.  Writers
 * append to a StringInfo.  All integers are little-endian, unaligned.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_CURSOR_H
#define OUTBOX_CURSOR_H

#include "base/base.h"

typedef struct OutboxCursor
{
	const uint8 *p;				/* next byte */
	const uint8 *end;			/* one past the last */
	bool		failed;			/* a read went past the end */
} OutboxCursor;

#define OUTBOX_NULL_LENGTH	0xFFFFFFFFU

static inline void
outbox_cursor_init(OutboxCursor *c, const void *data, size_t len)
{
	c->p = data;
	c->end = c->p + len;
	c->failed = false;
}

static inline size_t
outbox_cursor_left(const OutboxCursor *c)
{
	return c->end - c->p;
}

/* Borrow len bytes of the underlying buffer, or NULL when there are fewer. */
static inline const uint8 *
outbox_get_raw(OutboxCursor *c, size_t len)
{
	const uint8 *p = c->p;

	if (c->failed || (size_t) (c->end - c->p) < len)
	{
		c->failed = true;
		return NULL;
	}
	c->p += len;
	return p;
}

static inline uint64
outbox_get_le(OutboxCursor *c, int width)
{
	const uint8 *p = outbox_get_raw(c, width);
	uint64		v = 0;

	if (p == NULL)
		return 0;
	for (int i = width - 1; i >= 0; i--)
		v = (v << 8) | p[i];
	return v;
}

static inline uint8
outbox_get_u8(OutboxCursor *c)
{
	return (uint8) outbox_get_le(c, 1);
}

static inline uint16
outbox_get_u16(OutboxCursor *c)
{
	return (uint16) outbox_get_le(c, 2);
}

static inline uint32
outbox_get_u32(OutboxCursor *c)
{
	return (uint32) outbox_get_le(c, 4);
}

static inline uint64
outbox_get_u64(OutboxCursor *c)
{
	return outbox_get_le(c, 8);
}

/*
 * Length-prefixed bytes (u32 length; OUTBOX_NULL_LENGTH means null).  Borrowed
 * from the buffer, not terminated.  *len is -1 for null.
 */
static inline const char *
outbox_get_bytes(OutboxCursor *c, int32 *len)
{
	uint32		n = outbox_get_u32(c);
	const uint8 *p;

	*len = -1;
	if (c->failed || n == OUTBOX_NULL_LENGTH)
		return NULL;
	if (n > PG_INT32_MAX || (p = outbox_get_raw(c, n)) == NULL)
	{
		c->failed = true;
		return NULL;
	}
	*len = (int32) n;
	return (const char *) p;
}

static inline void
outbox_store_le(uint8 *to, uint64 v, int width)
{
	for (int i = 0; i < width; i++, v >>= 8)
		to[i] = (uint8) v;
}

static inline void
outbox_put_le(StringInfo buf, uint64 v, int width)
{
	enlargeStringInfo(buf, width);
	outbox_store_le((uint8 *) buf->data + buf->len, v, width);
	buf->len += width;
	buf->data[buf->len] = '\0';
}

static inline void
outbox_put_u8(StringInfo buf, uint8 v)
{
	outbox_put_le(buf, v, 1);
}

static inline void
outbox_put_u16(StringInfo buf, uint16 v)
{
	outbox_put_le(buf, v, 2);
}

static inline void
outbox_put_u32(StringInfo buf, uint32 v)
{
	outbox_put_le(buf, v, 4);
}

static inline void
outbox_put_u64(StringInfo buf, uint64 v)
{
	outbox_put_le(buf, v, 8);
}

/* data == NULL writes null; otherwise len bytes. */
static inline void
outbox_put_bytes(StringInfo buf, const void *data, int32 len)
{
	outbox_put_u32(buf, data == NULL ? OUTBOX_NULL_LENGTH : (uint32) len);
	if (data != NULL)
		appendBinaryStringInfo(buf, data, len);
}

static inline void
outbox_put_cstring(StringInfo buf, const char *s)
{
	outbox_put_bytes(buf, s, s == NULL ? 0 : (int32) strlen(s));
}

#endif							/* OUTBOX_CURSOR_H */
