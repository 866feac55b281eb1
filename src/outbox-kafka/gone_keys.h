/*-------------------------------------------------------------------------
 *
 * gone_keys.h
 *		The keys of a topic that have a value and may be gone, a range of
 *		hashes at a time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_KAFKA_GONE_KEYS_H
#define OUTBOX_KAFKA_GONE_KEYS_H

#include "base/base.h"

typedef struct OutboxGoneKey
{
	uint64		hash;			/* order of all keys */
	uint64		check;			/* equal with hash: the same row's */
	int32		partition;
	int32		len;
	char	   *key;
	bool		dead;			/* it has no value, or is not gone */
} OutboxGoneKey;

typedef struct OutboxGoneKeys OutboxGoneKeys;

/*
 * Hashes depend on the token alone, so that another process goes on where this
 * one was.  skip: bytes at the beginning of a key that do not count.  memory:
 * bytes for keys, about.
 */
extern OutboxGoneKeys *outbox_gone_keys_new(uint64 token, uint32 skip,
											size_t memory);

extern void outbox_gone_keys_free(OutboxGoneKeys *keys);

/* Forget all, and begin with the range from this hash on. */
extern void outbox_gone_keys_begin(OutboxGoneKeys *keys, uint64 from);

/* The range, both ends included; the end moves down when memory is short. */
extern uint64 outbox_gone_keys_first(const OutboxGoneKeys *keys);
extern uint64 outbox_gone_keys_last(const OutboxGoneKeys *keys);

/* In the order of a partition: the key has a value there, or none any more. */
extern void outbox_gone_keys_value(OutboxGoneKeys *keys, int32 partition,
								   const char *key, int32 len);
extern void outbox_gone_keys_tombstone(OutboxGoneKeys *keys, int32 partition,
									   const char *key, int32 len);

/* After all of those: no more come.  Then: the key is not gone after all. */
extern void outbox_gone_keys_sort(OutboxGoneKeys *keys);
extern void outbox_gone_keys_alive(OutboxGoneKeys *keys, const char *key,
								   int32 len);

/*
 * Up to max keys that are left, from this hash on; not fewer than all that have
 * one hash.  *next: where to go on, 0 = nowhere.
 */
extern int	outbox_gone_keys_count(const OutboxGoneKeys *keys);
extern int	outbox_gone_keys_list(const OutboxGoneKeys *keys, uint64 from,
								  int max, const OutboxGoneKey **list,
								  uint64 *next);

#endif							/* OUTBOX_KAFKA_GONE_KEYS_H */
