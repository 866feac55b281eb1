/*-------------------------------------------------------------------------
 *
 * iso.c
 *		ISO 8601 text to Avro's dates, times and timestamps.
 *
 * Accepts what text.c writes and what PostgreSQL puts into JSON, in any
 * DateStyle: date and time parted by "T" or a space, years of four to nine
 * digits with an optional sign, offsets Z, +HH, +HH:MM, +HHMM, +HH:MM:SS.
 * Nothing is guessed or rounded: an instant needs its offset, a local time
 * must have none, and digits finer than the unit must be zero.
 *
 *-------------------------------------------------------------------------
 */
#include "base/base.h"

#include "avro/model.h"
#include "common/int.h"

#define SECONDS_PER_DAY INT64CONST(86400)

typedef struct Reader
{
	const char *p;
	const char *end;
} Reader;

static bool
eat(Reader *r, char c)
{
	if (r->p >= r->end || *r->p != c)
		return false;
	r->p++;
	return true;
}

/* Between min and max digits; -1 when there are fewer. */
static int64
number(Reader *r, int min, int max)
{
	int64		v = 0;
	int			n = 0;

	while (n < max && r->p < r->end && *r->p >= '0' && *r->p <= '9')
	{
		v = v * 10 + (*r->p++ - '0');
		n++;
	}
	return n < min ? -1 : v;
}

static int
days_in_month(int64 year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool		leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return days[month - 1] + (month == 2 && leap ? 1 : 0);
}

static AvroIsoResult
read_day(Reader *r, int64 *days)
{
	bool		minus = eat(r, '-');
	int64		year,
				month,
				day,
				y,
				era;
	int			doy,
				yoe;

	if (!minus)
		(void) eat(r, '+');
	year = number(r, 4, 9);
	if (year < 0 || !eat(r, '-'))
		return AVRO_ISO_SYNTAX;
	month = number(r, 2, 2);
	if (month < 0 || !eat(r, '-'))
		return AVRO_ISO_SYNTAX;
	day = number(r, 2, 2);
	if (day < 0)
		return AVRO_ISO_SYNTAX;
	if (minus)
		year = -year;
	if (month < 1 || month > 12 || day < 1 ||
		day > days_in_month(year, (int) month))
		return AVRO_ISO_RANGE;

	/* the same 400-year eras from March as in text.c */
	y = month <= 2 ? year - 1 : year;
	era = (y >= 0 ? y : y - 399) / 400;
	yoe = (int) (y - era * 400);
	doy = (int) ((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1);
	*days = era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
	return AVRO_ISO_OK;
}

/* HH:MM[:SS[.fraction]] in the unit. */
static AvroIsoResult
read_clock(Reader *r, bool millis, int64 *value)
{
	int			digits = millis ? 3 : 6;
	int64		hour = number(r, 2, 2);
	int64		minute,
				second = 0,
				fraction = 0;

	if (hour < 0 || !eat(r, ':') || (minute = number(r, 2, 2)) < 0)
		return AVRO_ISO_SYNTAX;
	if (eat(r, ':'))
	{
		if ((second = number(r, 2, 2)) < 0)
			return AVRO_ISO_SYNTAX;
		if (eat(r, '.') || eat(r, ','))
		{
			int			n = 0;

			for (; r->p < r->end && *r->p >= '0' && *r->p <= '9'; r->p++, n++)
			{
				if (n < digits)
					fraction = fraction * 10 + (*r->p - '0');
				else if (*r->p != '0')
					return AVRO_ISO_PRECISION;
			}
			if (n == 0)
				return AVRO_ISO_SYNTAX;
			for (; n < digits; n++)
				fraction *= 10;
		}
	}
	if (hour > 23 || minute > 59 || second > 59)
		return AVRO_ISO_RANGE;
	*value = (hour * 3600 + minute * 60 + second) * (millis ? 1000 : 1000000) +
		fraction;
	return AVRO_ISO_OK;
}

/* An offset in seconds east of UTC. */
static AvroIsoResult
read_offset(Reader *r, int64 *seconds)
{
	int64		hour,
				minute = 0,
				second = 0;
	bool		minus;

	*seconds = 0;
	if (eat(r, 'Z') || eat(r, 'z'))
		return AVRO_ISO_OK;
	minus = eat(r, '-');
	if (!minus && !eat(r, '+'))
		return r->p == r->end ? AVRO_ISO_ZONE_MISSING : AVRO_ISO_SYNTAX;
	if ((hour = number(r, 2, 2)) < 0)
		return AVRO_ISO_SYNTAX;
	if (eat(r, ':'))
	{
		if ((minute = number(r, 2, 2)) < 0)
			return AVRO_ISO_SYNTAX;
		if (eat(r, ':') && (second = number(r, 2, 2)) < 0)
			return AVRO_ISO_SYNTAX;
	}
	else if (r->p < r->end && (minute = number(r, 2, 2)) < 0)
		return AVRO_ISO_SYNTAX;
	if (hour > 23 || minute > 59 || second > 59)
		return AVRO_ISO_RANGE;
	*seconds = hour * 3600 + minute * 60 + second;
	if (minus)
		*seconds = -*seconds;
	return AVRO_ISO_OK;
}

AvroIsoResult
avro_iso_date(const char *s, size_t len, int32 *days)
{
	Reader		r = {s, s + len};
	int64		d;
	AvroIsoResult result = read_day(&r, &d);

	if (result != AVRO_ISO_OK)
		return result;
	if (r.p != r.end)
		return AVRO_ISO_SYNTAX;
	if (d < PG_INT32_MIN || d > PG_INT32_MAX)
		return AVRO_ISO_RANGE;
	*days = (int32) d;
	return AVRO_ISO_OK;
}

AvroIsoResult
avro_iso_time(const char *s, size_t len, bool millis, int64 *value)
{
	Reader		r = {s, s + len};
	AvroIsoResult result = read_clock(&r, millis, value);

	if (result == AVRO_ISO_OK && r.p != r.end)
		return AVRO_ISO_SYNTAX;
	return result;
}

AvroIsoResult
avro_iso_timestamp(const char *s, size_t len, bool millis, bool zone,
				   int64 *value)
{
	Reader		r = {s, s + len};
	int64		unit = millis ? 1000 : 1000000;
	int64		days,
				clock,
				offset = 0;
	AvroIsoResult result = read_day(&r, &days);

	if (result != AVRO_ISO_OK)
		return result;
	if (!eat(&r, 'T') && !eat(&r, 't') && !eat(&r, ' '))
		return AVRO_ISO_SYNTAX;
	if ((result = read_clock(&r, millis, &clock)) != AVRO_ISO_OK)
		return result;
	result = read_offset(&r, &offset);
	if (zone && result != AVRO_ISO_OK)
		return result;
	if (!zone && result != AVRO_ISO_ZONE_MISSING)
		return result == AVRO_ISO_OK ? AVRO_ISO_ZONE_GIVEN : result;
	if (r.p != r.end)
		return AVRO_ISO_SYNTAX;

	/*
	 * Years of nine digits overflow; the sum may as well.  Before 1970 count
	 * from the day's end, or the first moment of all would overflow too.
	 */
	clock -= offset * unit;
	if (days < 0)
	{
		days++;
		clock -= SECONDS_PER_DAY * unit;
	}
	if (pg_mul_s64_overflow(days, SECONDS_PER_DAY * unit, value) ||
		pg_add_s64_overflow(*value, clock, value))
		return AVRO_ISO_RANGE;
	return AVRO_ISO_OK;
}
