/*-------------------------------------------------------------------------
 *
 * utf8.c
 *		UTF-8 as PostgreSQL and JSON want it (RFC 3629).
 *
 * No overlong forms, no surrogates, nothing above U+10FFFF, no zero byte.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-http/utf8.h"

/* Length of the character at text, 0 when it is none. */
static size_t
character(const uint8 *text, size_t left)
{
	uint8		c = text[0];
	size_t		len;

	if (c == 0)
		return 0;
	if (c < 0x80)
		return 1;
	len = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : 2;
	if (c < 0xC2 || c > 0xF4 || left < len)
		return 0;
	for (size_t i = 1; i < len; i++)
	{
		if ((text[i] & 0xC0) != 0x80)
			return 0;
	}
	if ((c == 0xE0 && text[1] < 0xA0) || (c == 0xED && text[1] > 0x9F) ||
		(c == 0xF0 && text[1] < 0x90) || (c == 0xF4 && text[1] > 0x8F))
		return 0;
	return len;
}

/* Length of the part that is valid. */
static size_t
valid_part(const char *text, size_t len)
{
	size_t		at = 0,
				n;

	while (at < len &&
		   (n = character((const uint8 *) text + at, len - at)) > 0)
		at += n;
	return at;
}

bool
outbox_utf8_valid(const char *text, size_t len)
{
	return valid_part(text, len) == len;
}

void
outbox_utf8_cut(char *text)
{
	text[valid_part(text, strlen(text))] = '\0';
}
