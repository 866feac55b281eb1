/*-------------------------------------------------------------------------
 *
 * write.h
 *		Writing Avro's primitives (spec, "Binary Encoding"), inline.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_AVRO_WRITE_H
#define OUTBOX_AVRO_WRITE_H

#include "base/base.h"

static inline char *
avro_reserve(StringInfo out, int needed)
{
	if (unlikely(out->maxlen - out->len <= needed))
		enlargeStringInfo(out, needed);
	return out->data + out->len;
}

static inline void
avro_put_long(StringInfo out, int64 value)
{
	uint64		n = ((uint64) value << 1) ^ (uint64) (value >> 63);
	char	   *p = avro_reserve(out, 10);
	char	   *start = p;

	while (n >= 0x80)
	{
		*p++ = (char) (n | 0x80);
		n >>= 7;
	}
	*p++ = (char) n;
	out->len += p - start;
}

static inline void
avro_put_raw(StringInfo out, const void *data, int len)
{
	memcpy(avro_reserve(out, len), data, len);
	out->len += len;
}

static inline void
avro_put_sized(StringInfo out, const void *data, int len)
{
	avro_put_long(out, len);
	avro_put_raw(out, data, len);
}

static inline void
avro_put_byte(StringInfo out, uint8 byte)
{
	*avro_reserve(out, 1) = (char) byte;
	out->len++;
}

static inline void
avro_put_le(StringInfo out, uint64 bits, int width)
{
	char	   *p = avro_reserve(out, width);

	for (int i = 0; i < width; i++, bits >>= 8)
		p[i] = (char) bits;
	out->len += width;
}

static inline void
avro_put_float(StringInfo out, float value)
{
	uint32		bits;

	memcpy(&bits, &value, sizeof(bits));
	avro_put_le(out, bits, 4);
}

static inline void
avro_put_double(StringInfo out, double value)
{
	uint64		bits;

	memcpy(&bits, &value, sizeof(bits));
	avro_put_le(out, bits, 8);
}

#endif							/* OUTBOX_AVRO_WRITE_H */
