/*-------------------------------------------------------------------------
 *
 * pg_numeric.c
 *		PostgreSQL's numeric to Avro's int, long, float, double and decimal,
 *		exactly or not at all.
 *
 * The digits are read where they lie instead of through numeric's functions,
 * which round, allocate, and go through text.  The layout read here is the
 * on-disk one (comment "On disk" in numeric.c): unchanged since 9.1 and bound
 * to stay, as pg_upgrade keeps the files.  sql/avro_encode.sql compares the
 * outcome with numeric's own text over the whole range.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <errno.h>
#include <math.h>

#include "avro/pg_model.h"
#include "common/int.h"
#include "fmgr.h"
#include "utils/builtins.h"

#define SIGN_MASK		0xC000
#define SIGN_NEGATIVE	0x4000
#define SIGN_SHORT		0x8000
#define SIGN_SPECIAL	0xC000
#define SHORT_NEGATIVE	0x2000
#define SHORT_WEIGHT_SIGN 0x0040
#define SHORT_WEIGHT_MASK 0x003F

static inline int
digit_at(const AvroDigits *d, int i)
{
	int16		v;

	memcpy(&v, d->digits + i * sizeof(v), sizeof(v));
	return v;
}

void
avro_numeric_open(Numeric number, AvroDigits *d)
{
	const char *data = VARDATA_ANY(number);
	int			size = VARSIZE_ANY_EXHDR(number);
	uint16		header;

	memcpy(&header, data, sizeof(header));
	d->special = false;
	if ((header & SIGN_MASK) == SIGN_SPECIAL)
	{
		d->special = true;
		d->count = 0;
		return;
	}
	if ((header & SIGN_MASK) == SIGN_SHORT)
	{
		d->negative = (header & SHORT_NEGATIVE) != 0;
		d->weight = (header & SHORT_WEIGHT_MASK) |
			((header & SHORT_WEIGHT_SIGN) ? ~SHORT_WEIGHT_MASK : 0);
		d->digits = data + sizeof(uint16);
		d->count = (size - (int) sizeof(uint16)) / 2;
	}
	else
	{
		int16		weight;

		memcpy(&weight, data + sizeof(uint16), sizeof(weight));
		d->negative = (header & SIGN_MASK) == SIGN_NEGATIVE;
		d->weight = weight;
		d->digits = data + 2 * sizeof(uint16);
		d->count = (size - 2 * (int) sizeof(uint16)) / 2;
	}
	/* Normalised already, but nothing here relies on it. */
	while (d->count > 0 && digit_at(d, 0) == 0)
	{
		d->digits += sizeof(int16);
		d->weight--;
		d->count--;
	}
	while (d->count > 0 && digit_at(d, d->count - 1) == 0)
		d->count--;
	if (d->count == 0)
		d->weight = 0;
}

AvroNumericResult
avro_numeric_int64(const AvroDigits *d, int64 *value)
{
	int64		v = 0;

	if (d->special)
		return AVRO_NUMERIC_SPECIAL;
	*value = 0;
	if (d->count == 0)
		return AVRO_NUMERIC_OK;
	if (d->count > d->weight + 1)
		return AVRO_NUMERIC_FRACTION;
	if (d->weight > 4)
		return AVRO_NUMERIC_RANGE;
	/* towards the negative, which reaches one further */
	for (int i = 0; i <= d->weight; i++)
	{
		int			digit = i < d->count ? digit_at(d, i) : 0;

		if (pg_mul_s64_overflow(v, 10000, &v) ||
			pg_sub_s64_overflow(v, digit, &v))
			return AVRO_NUMERIC_RANGE;
	}
	if (!d->negative)
	{
		if (v == PG_INT64_MIN)
			return AVRO_NUMERIC_RANGE;
		v = -v;
	}
	*value = v;
	return AVRO_NUMERIC_OK;
}

static int
digits_of(int v)
{
	return v >= 1000 ? 4 : v >= 100 ? 3 : v >= 10 ? 2 : 1;
}

/* Decimal places after the point that the value needs. */
static int
places_needed(const AvroDigits *d)
{
	int			places = 4 * (d->count - 1 - d->weight);
	int			last;

	if (d->count == 0 || places <= 0)
		return 0;
	for (last = digit_at(d, d->count - 1); last % 10 == 0; last /= 10)
		places--;
	return places;
}

AvroNumericResult
avro_numeric_check_decimal(const AvroDigits *d, const AvroNode *node)
{
	if (d->special)
		return AVRO_NUMERIC_SPECIAL;
	if (d->count == 0)
		return AVRO_NUMERIC_OK;
	if (places_needed(d) > node->scale)
		return AVRO_NUMERIC_FRACTION;
	if (4 * d->weight + digits_of(digit_at(d, 0)) + node->scale >
		node->precision)
		return AVRO_NUMERIC_RANGE;
	return AVRO_NUMERIC_OK;
}

/* Base 2^32, least first; room for AVRO_MAX_PRECISION digits. */
typedef struct Big
{
	int			used;
	uint32		limbs[AVRO_MAX_PRECISION / 9 + 2];
} Big;

static void
big_multiply_add(Big *b, uint32 factor, uint32 add)
{
	uint64		carry = add;

	for (int i = 0; i < b->used; i++)
	{
		carry += (uint64) b->limbs[i] * factor;
		b->limbs[i] = (uint32) carry;
		carry >>= 32;
	}
	if (carry != 0)
		b->limbs[b->used++] = (uint32) carry;
}

/* Magnitude to two's complement, big-endian, minimal; bytes written. */
static int
big_bytes(Big *b, bool negative, uint8 *to)
{
	int			n = b->used * 4 + 1;	/* one for the sign */
	int			carry = negative ? 1 : 0;
	int			skip = 0;

	for (int i = 0; i < n; i++)
	{
		int			v = i < b->used * 4 ?
			(b->limbs[i / 4] >> (8 * (i % 4))) & 0xFF : 0;

		if (negative)
		{
			v = (~v & 0xFF) + carry;
			carry = v >> 8;
		}
		to[n - 1 - i] = (uint8) v;
	}
	while (skip < n - 1 &&
		   ((to[skip] == 0 && to[skip + 1] < 0x80) ||
			(to[skip] == 0xFF && to[skip + 1] >= 0x80)))
		skip++;
	memmove(to, to + skip, n - skip);
	return n - skip;
}

/* The value has passed avro_numeric_check_decimal(). */
void
avro_numeric_put_decimal(const AvroDigits *d, const AvroNode *node,
						 StringInfo out)
{
	static const int power[] = {1, 10, 100, 1000};
	int			groups = node->scale / 4;
	int			part = node->scale % 4;
	uint8		bytes[sizeof(((Big *) 0)->limbs) + 1];
	Big			b;
	int			n;

	b.used = 1;
	b.limbs[0] = 0;
	/* exponents from the first digit down to the last whole group */
	if (d->count > 0)
	{
		for (int e = d->weight; e >= -groups; e--)
		{
			int			i = d->weight - e;

			big_multiply_add(&b, 10000, i < d->count ? digit_at(d, i) : 0);
		}
		if (part > 0)
		{
			int			i = d->weight + groups + 1;
			int			digit = i >= 0 && i < d->count ? digit_at(d, i) : 0;

			big_multiply_add(&b, power[part], digit / power[4 - part]);
		}
	}
	n = big_bytes(&b, d->count > 0 && d->negative, bytes);
	if (node->type == AVRO_TYPE_BYTES)
		avro_put_sized(out, bytes, n);
	else
	{
		/* precision was checked against the size when parsing */
		char	   *p = avro_reserve(out, (int) node->size);
		int			pad = (int) node->size - n;

		Assert(pad >= 0);
		memset(p, (bytes[0] & 0x80) ? 0xFF : 0, pad);
		memcpy(p + pad, bytes, n);
		out->len += (int) node->size;
	}
}

/*
 * Small mantissa and small power of ten are exact in floating point, so one
 * division or multiplication rounds once: the correctly rounded result.
 */
static bool
small_parts(const AvroDigits *d, int64 *mantissa, int *exponent)
{
	int64		m = 0;

	if (d->count > 4)
		return false;
	for (int i = 0; i < d->count; i++)
		m = m * 10000 + digit_at(d, i);
	*exponent = 4 * (d->weight - d->count + 1);
	/* 0.5 is 5000 / 10000: shorten, so that more are small */
	while (m != 0 && *exponent < 0 && m % 10 == 0)
	{
		m /= 10;
		++*exponent;
	}
	*mantissa = d->negative ? -m : m;
	return true;
}

AvroNumericResult
avro_numeric_double(Numeric number, double *value)
{
	static const double power[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7,
		1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
	1e20, 1e21, 1e22};
	AvroDigits	d;
	int64		m;
	int			e;

	avro_numeric_open(number, &d);
	if (!d.special && small_parts(&d, &m, &e) &&
		m < (INT64CONST(1) << 53) && m > -(INT64CONST(1) << 53) &&
		e >= -22 && e <= 22)
	{
		*value = e < 0 ? (double) m / power[-e] : (double) m * power[e];
		return AVRO_NUMERIC_OK;
	}
	*value = strtod(DatumGetCString(DirectFunctionCall1(numeric_out,
														NumericGetDatum(number))),
					NULL);
	if (!d.special && (isinf(*value) || (*value == 0 && d.count > 0)))
		return AVRO_NUMERIC_RANGE;
	return AVRO_NUMERIC_OK;
}

AvroNumericResult
avro_numeric_float(Numeric number, float *value)
{
	static const float power[] = {1e0f, 1e1f, 1e2f, 1e3f, 1e4f, 1e5f, 1e6f,
	1e7f, 1e8f, 1e9f, 1e10f};
	AvroDigits	d;
	int64		m;
	int			e;

	avro_numeric_open(number, &d);
	if (!d.special && small_parts(&d, &m, &e) &&
		m < (1 << 24) && m > -(1 << 24) && e >= -10 && e <= 10)
	{
		*value = e < 0 ? (float) m / power[-e] : (float) m * power[e];
		return AVRO_NUMERIC_OK;
	}
	*value = strtof(DatumGetCString(DirectFunctionCall1(numeric_out,
														NumericGetDatum(number))),
					NULL);
	if (!d.special && (isinf(*value) || (*value == 0 && d.count > 0)))
		return AVRO_NUMERIC_RANGE;
	return AVRO_NUMERIC_OK;
}
