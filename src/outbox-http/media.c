/*-------------------------------------------------------------------------
 *
 * media.c
 *		Content negotiation: Accept and Content-Type (RFC 9110, 12.5.1).
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-http/request.h"

static const char *const names[] = {
	[OUTBOX_MEDIA_V1_JSON] = "application/vnd.schemaregistry.v1+json",
	[OUTBOX_MEDIA_ANY_JSON] = "application/vnd.schemaregistry+json",
	[OUTBOX_MEDIA_JSON] = "application/json",
	[OUTBOX_MEDIA_NONE] = "application/json",
	[OUTBOX_MEDIA_METRICS] = "text/plain; version=0.0.4; charset=utf-8"
};

/* The server's own preference among types that a client likes alike. */
static const int preference[] = {100, 90, 50};

const char *
outbox_media_name(OutboxMedia media)
{
	return names[media];
}

/* Thousandths; a bad one counts as 1. */
static int
parse_quality(const char *p)
{
	int			value = 0,
				scale = 1000;

	if (*p == '1' || (*p != '0' && *p != '.'))
		return 1000;
	if (*p == '0')
		p++;
	if (*p == '.')
		p++;
	for (; *p >= '0' && *p <= '9' && scale > 1; p++)
	{
		scale /= 10;
		value += (*p - '0') * scale;
	}
	return value;
}

/* One element: how well it fits a type (0 = not, 1 = wildcard, ..., 3). */
static int
fits(const char *range, size_t len, const char *type)
{
	if (len == 3 && memcmp(range, "*/*", 3) == 0)
		return 1;
	if (len == 13 && strncasecmp(range, "application/*", 13) == 0)
		return 2;
	if (len == strlen(type) && strncasecmp(range, type, len) == 0)
		return 3;
	return 0;
}

/* Quality of a type: that of the most specific element that fits it. */
static int
quality_of(const char *accept, const char *type)
{
	int			best_fit = 0,
				quality = 0;

	while (*accept != '\0')
	{
		size_t		element = strcspn(accept, ",");
		const char *end = accept + element;
		const char *range = accept + strspn(accept, " \t");
		size_t		len = strcspn(range, "; \t,");
		const char *q = range + len;
		int			fit = fits(range, len, type);

		if (fit > best_fit)
		{
			best_fit = fit;
			quality = 1000;
			while ((q = memchr(q, ';', end - q)) != NULL)
			{
				q++;
				q += strspn(q, " \t");
				if ((*q == 'q' || *q == 'Q') && q[1] == '=')
					quality = parse_quality(q + 2);
			}
		}
		accept = *end == ',' ? end + 1 : end;
	}
	return quality;
}

OutboxMedia
outbox_media_accepted(const char *accept)
{
	OutboxMedia best = OUTBOX_MEDIA_NONE;
	int			best_score = 0;

	if (accept == NULL || accept[strspn(accept, " \t")] == '\0')
		return OUTBOX_MEDIA_V1_JSON;
	for (OutboxMedia m = OUTBOX_MEDIA_V1_JSON; m <= OUTBOX_MEDIA_JSON; m++)
	{
		int			score = quality_of(accept, names[m]) * preference[m];

		if (score > best_score)
		{
			best_score = score;
			best = m;
		}
	}
	return best;
}

bool
outbox_media_readable(const char *content_type)
{
	size_t		len;

	if (content_type == NULL)
		return true;
	content_type += strspn(content_type, " \t");
	len = strcspn(content_type, "; \t");
	if (len == 0)
		return true;
	if (len == 24 && strncasecmp(content_type, "application/octet-stream", 24) == 0)
		return true;
	for (OutboxMedia m = OUTBOX_MEDIA_V1_JSON; m <= OUTBOX_MEDIA_JSON; m++)
	{
		if (len == strlen(names[m]) &&
			strncasecmp(content_type, names[m], len) == 0)
			return true;
	}
	return false;
}
