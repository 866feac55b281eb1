/*-------------------------------------------------------------------------
 *
 * path.c
 *		Where in a schema or value an error lies, and filling in an
 *		OutboxAvroError.
 *
 * A path is a chain of frames on the C stack, one per level, so that walking
 * costs nothing until something is wrong.
 *
 *-------------------------------------------------------------------------
 */
#include "base/base.h"

#include "avro/model.h"

static bool
plain_member(const char *s, int len)
{
	if (len == 0 || (s[0] >= '0' && s[0] <= '9'))
		return false;
	for (int i = 0; i < len; i++)
	{
		char		c = s[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			  (c >= '0' && c <= '9') || c == '_'))
			return false;
	}
	return true;
}

/* "$", ".name", "[\"odd name\"]", "[3]", "[]" and "{}", root first. */
void
avro_path_append(StringInfo out, const AvroPath *path)
{
	const AvroPath *chain[64];
	int			n = 0;

	/* The innermost 64 levels say enough: "$..name" as in JSONPath. */
	for (; path != NULL && path->parent != NULL && n < lengthof(chain);
		 path = path->parent)
		chain[n++] = path;
	appendStringInfoString(out, path != NULL && path->parent != NULL ?
						   "$." : "$");
	while (n-- > 0)
	{
		const AvroPath *p = chain[n];

		if (p->name == NULL && p->index < 0)
			appendStringInfoString(out, p->index == AVRO_PATH_ITEMS ?
								   "[]" : "{}");
		else if (p->name == NULL)
			appendStringInfo(out, "[" INT64_FORMAT "]", p->index);
		else if (plain_member(p->name, p->name_len))
		{
			appendStringInfoChar(out, '.');
			appendBinaryStringInfo(out, p->name, p->name_len);
		}
		else
		{
			appendStringInfoChar(out, '[');
			avro_json_quote(out, p->name, p->name_len);
			appendStringInfoChar(out, ']');
		}
	}
}

/* Copy into a fixed buffer: whole characters, one line, "..." when cut. */
static void
put_text(char *to, size_t size, const char *from, int len)
{
	if ((size_t) len >= size)
	{
		int			keep = (int) size - 4;

		while (keep > 0 && ((unsigned char) from[keep] & 0xC0) == 0x80)
			keep--;
		memcpy(to, from, keep);
		strcpy(to + keep, "...");
	}
	else
	{
		memcpy(to, from, len);
		to[len] = '\0';
	}
	for (; *to; to++)
		if ((unsigned char) *to < ' ')
			*to = ' ';
}

/* Always false, so that callers can "return avro_fail(...)". */
bool
avro_fail(OutboxAvroError *error, OutboxAvroErrorKind kind,
		  const AvroPath *path, const char *hint, const char *fmt,...)
{
	StringInfoData buf;

	memset(error, 0, sizeof(*error));
	error->kind = kind;

	initStringInfo(&buf);
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, fmt);
		needed = appendStringInfoVA(&buf, fmt, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&buf, needed);
	}
	put_text(error->message, sizeof(error->message), buf.data, buf.len);

	resetStringInfo(&buf);
	avro_path_append(&buf, path);
	put_text(error->path, sizeof(error->path), buf.data, buf.len);
	pfree(buf.data);

	if (hint != NULL)
		put_text(error->hint, sizeof(error->hint), hint, (int) strlen(hint));
	return false;
}
