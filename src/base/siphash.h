/*-------------------------------------------------------------------------
 *
 * siphash.h
 *		SipHash-2-4 with a 128-bit key and a 64-bit tag.
 *
 * Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012.
 * Incremental, so that a MAC can cover a context block and a record that do
 * not lie together in memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_SIPHASH_H
#define OUTBOX_SIPHASH_H

#include "base/base.h"

#define OUTBOX_SIPHASH_KEY_SIZE 16

typedef struct OutboxSipHash
{
	uint64		v0,
				v1,
				v2,
				v3;
	uint64		tail;			/* bytes not yet mixed in, little-endian */
	uint64		length;			/* bytes given so far */
} OutboxSipHash;

extern void outbox_siphash_init(OutboxSipHash *state,
								const uint8 key[OUTBOX_SIPHASH_KEY_SIZE]);
extern void outbox_siphash_update(OutboxSipHash *state,
								  const void *data, size_t len);
extern uint64 outbox_siphash_final(OutboxSipHash *state);

#endif							/* OUTBOX_SIPHASH_H */
