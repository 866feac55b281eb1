/*-------------------------------------------------------------------------
 *
 * cache.h
 *		Schemas by id, in memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_HTTP_CACHE_H
#define OUTBOX_HTTP_CACHE_H

#include "outbox-http/request.h"

typedef enum OutboxCachePart
{
	OUTBOX_CACHE_ANSWER,		/* what /schemas/ids/{id} says */
	OUTBOX_CACHE_SCHEMA,		/* what /schemas/ids/{id}/schema says */
	OUTBOX_CACHE_PARTS
} OutboxCachePart;

/* Begin with nothing; what was there is forgotten, not freed. */
extern void outbox_cache_init(void);

/* Answer the request from memory; false when the id is not there. */
extern bool outbox_cache_answer(OutboxRequest *request, uint32 id,
								OutboxCachePart part);

/* Remember both texts of an id, which are copied. */
extern void outbox_cache_put(int database, uint32 id,
							 const char *const parts[OUTBOX_CACHE_PARTS]);

/* For metrics. */
extern void outbox_cache_counts(uint64 *hits, uint64 *misses,
								uint64 *entries, uint64 *bytes);

#endif							/* OUTBOX_HTTP_CACHE_H */
