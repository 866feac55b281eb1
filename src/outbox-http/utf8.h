/*-------------------------------------------------------------------------
 *
 * utf8.h
 *		UTF-8 as PostgreSQL and JSON want it (RFC 3629).
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_HTTP_UTF8_H
#define OUTBOX_HTTP_UTF8_H

#include "base/base.h"

extern bool outbox_utf8_valid(const char *text, size_t len);

/* Cut an incomplete character, or what follows an invalid one, off. */
extern void outbox_utf8_cut(char *text);

#endif							/* OUTBOX_HTTP_UTF8_H */
