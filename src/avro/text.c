/*-------------------------------------------------------------------------
 *
 * text.c
 *		Text of Avro's logical values: ISO 8601 dates and times, decimals,
 *		UUIDs, base64.  iso.c is the way back for dates and times.
 *
 * Years 0 to 9999 have four digits; others carry a sign ("-0044-03-15",
 * "+12345-01-01"), as ISO 8601's expanded form has it.  Year 0 is 1 BC.
 *
 *-------------------------------------------------------------------------
 */
#include "base/base.h"

#include "avro/model.h"

#define SECONDS_PER_DAY INT64CONST(86400)

/* Proleptic Gregorian calendar, counted in 400-year eras from March. */
static void
put_day(StringInfo out, int64 days)
{
	int64		z = days + 719468;	/* from 0000-03-01 */
	int64		era = (z >= 0 ? z : z - 146096) / 146097;
	int			doe = (int) (z - era * 146097);
	int			yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int			doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int			mp = (5 * doy + 2) / 153;
	int			day = doy - (153 * mp + 2) / 5 + 1;
	int			month = mp < 10 ? mp + 3 : mp - 9;
	int64		year = yoe + era * 400 + (month <= 2 ? 1 : 0);

	if (year >= 0 && year <= 9999)
		appendStringInfo(out, "%04d", (int) year);
	else
		appendStringInfo(out, "%c%04lld", year < 0 ? '-' : '+',
						 (long long) (year < 0 ? -year : year));
	appendStringInfo(out, "-%02d-%02d", month, day);
}

static void
put_clock(StringInfo out, int64 micros)
{
	int			seconds = (int) (micros / 1000000);
	int			fraction = (int) (micros % 1000000);

	appendStringInfo(out, "%02d:%02d:%02d", seconds / 3600,
					 seconds / 60 % 60, seconds % 60);
	if (fraction != 0)
	{
		appendStringInfo(out, ".%06d", fraction);
		while (out->data[out->len - 1] == '0')
			out->data[--out->len] = '\0';
	}
}

void
avro_text_date(StringInfo out, int32 days)
{
	put_day(out, days);
}

/* micros is within a day. */
void
avro_text_time(StringInfo out, int64 micros)
{
	put_clock(out, micros);
}

void
avro_text_timestamp(StringInfo out, int64 value, bool millis, bool zone)
{
	int64		per_day = SECONDS_PER_DAY * (millis ? 1000 : 1000000);
	int64		days = value / per_day;
	int64		rest = value % per_day;

	if (rest < 0)
	{
		rest += per_day;
		days--;
	}
	put_day(out, days);
	appendStringInfoChar(out, 'T');
	put_clock(out, millis ? rest * 1000 : rest);
	if (zone)
		appendStringInfoChar(out, 'Z');
}

void
avro_text_base64(StringInfo out, const uint8 *data, size_t len)
{
	static const char digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	enlargeStringInfo(out, (int) ((len + 2) / 3 * 4));
	for (size_t i = 0; i < len; i += 3)
	{
		uint32		v = (uint32) data[i] << 16;
		char		four[4];

		if (i + 1 < len)
			v |= (uint32) data[i + 1] << 8;
		if (i + 2 < len)
			v |= data[i + 2];
		four[0] = digits[v >> 18];
		four[1] = digits[(v >> 12) & 63];
		four[2] = i + 1 < len ? digits[(v >> 6) & 63] : '=';
		four[3] = i + 2 < len ? digits[v & 63] : '=';
		appendBinaryStringInfo(out, four, 4);
	}
}

void
avro_text_uuid(StringInfo out, const uint8 *data)
{
	static const char hex[] = "0123456789abcdef";

	for (int i = 0; i < 16; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			appendStringInfoCharMacro(out, '-');
		appendStringInfoCharMacro(out, hex[data[i] >> 4]);
		appendStringInfoCharMacro(out, hex[data[i] & 15]);
	}
}

/* RFC 4122 text: 36 characters, hyphens in their places. */
bool
avro_text_is_uuid(const char *s, size_t len, uint8 *out)
{
	int			n = 0;

	if (len != 36)
		return false;
	for (int i = 0; i < 36; i++)
	{
		char		c = s[i];
		int			v;

		if (i == 8 || i == 13 || i == 18 || i == 23)
		{
			if (c != '-')
				return false;
			continue;
		}
		if (c >= '0' && c <= '9')
			v = c - '0';
		else if (c >= 'a' && c <= 'f')
			v = c - 'a' + 10;
		else if (c >= 'A' && c <= 'F')
			v = c - 'A' + 10;
		else
			return false;
		if (n % 2 == 0)
			out[n / 2] = (uint8) (v << 4);
		else
			out[n / 2] |= (uint8) v;
		n++;
	}
	return true;
}

/* Magnitude of a big-endian two's complement number, decimal digits. */
static void
big_digits(StringInfo digits, const uint8 *data, size_t len, bool negative)
{
	uint32	   *limbs = palloc0((len / 3 + 2) * sizeof(uint32));
	int			used = 1;
	int			carry = negative ? 1 : 0;
	uint8	   *copy = palloc(len);

	for (size_t i = len; i-- > 0;)
	{
		int			v = (negative ? (uint8) ~data[i] : data[i]) + carry;

		copy[i] = (uint8) v;
		carry = v >> 8;
	}
	for (size_t i = 0; i < len; i++)
	{
		uint64		c = copy[i];

		for (int j = 0; j < used; j++)
		{
			c += (uint64) limbs[j] * 256;
			limbs[j] = (uint32) (c % 1000000000);
			c /= 1000000000;
		}
		if (c > 0)
			limbs[used++] = (uint32) c;
	}
	/* -2^(8n-1): negating it carries out of the top */
	if (carry != 0)
		Assert(used == 1 && limbs[0] == 0);
	appendStringInfo(digits, "%u", limbs[used - 1]);
	for (int j = used - 2; j >= 0; j--)
		appendStringInfo(digits, "%09u", limbs[j]);
	pfree(copy);
	pfree(limbs);
}

/*
 * A decimal as a JSON number; len > 0 and bounded by the caller.  Returns the
 * digits of the unscaled value.
 */
int
avro_text_decimal(StringInfo out, const uint8 *data, size_t len, int scale)
{
	StringInfoData digits;
	bool		negative = (data[0] & 0x80) != 0;
	int			count;

	initStringInfo(&digits);
	if (len <= 8)
	{
		int64		v = negative ? -1 : 0;

		for (size_t i = 0; i < len; i++)
			v = (int64) (((uint64) v << 8) | data[i]);
		appendStringInfo(&digits, UINT64_FORMAT,
						 negative ? 0 - (uint64) v : (uint64) v);
	}
	else
		big_digits(&digits, data, len, negative);

	if (negative)
		appendStringInfoChar(out, '-');
	if (digits.len <= scale)
	{
		appendStringInfoString(out, "0.");
		for (int i = digits.len; i < scale; i++)
			appendStringInfoChar(out, '0');
		appendBinaryStringInfo(out, digits.data, digits.len);
	}
	else
	{
		appendBinaryStringInfo(out, digits.data, digits.len - scale);
		if (scale > 0)
		{
			appendStringInfoChar(out, '.');
			appendBinaryStringInfo(out, digits.data + digits.len - scale,
								   scale);
		}
	}
	count = digits.len;
	pfree(digits.data);
	return count;
}
