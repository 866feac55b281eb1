/*-------------------------------------------------------------------------
 *
 * siphash.c
 *		SipHash-2-4, incremental.  See siphash.h.
 *
 * Owns nothing; pure functions over the caller's state.
 *
 *-------------------------------------------------------------------------
 */
#include "base/siphash.h"

static inline uint64
rotate_left(uint64 x, int bits)
{
	return (x << bits) | (x >> (64 - bits));
}

static inline void
sip_round(OutboxSipHash *s)
{
	s->v0 += s->v1;
	s->v1 = rotate_left(s->v1, 13) ^ s->v0;
	s->v0 = rotate_left(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = rotate_left(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = rotate_left(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = rotate_left(s->v1, 17) ^ s->v2;
	s->v2 = rotate_left(s->v2, 32);
}

static inline void
mix_word(OutboxSipHash *s, uint64 word)
{
	s->v3 ^= word;
	sip_round(s);
	sip_round(s);
	s->v0 ^= word;
}

static inline uint64
load_le64(const uint8 *p)
{
	uint64		v;

	memcpy(&v, p, sizeof(v));
#ifdef WORDS_BIGENDIAN
	v = __builtin_bswap64(v);
#endif
	return v;
}

void
outbox_siphash_init(OutboxSipHash *state,
					const uint8 key[OUTBOX_SIPHASH_KEY_SIZE])
{
	uint64		k0 = load_le64(key);
	uint64		k1 = load_le64(key + 8);

	state->v0 = UINT64CONST(0x736f6d6570736575) ^ k0;
	state->v1 = UINT64CONST(0x646f72616e646f6d) ^ k1;
	state->v2 = UINT64CONST(0x6c7967656e657261) ^ k0;
	state->v3 = UINT64CONST(0x7465646279746573) ^ k1;
	state->tail = 0;
	state->length = 0;
}

void
outbox_siphash_update(OutboxSipHash *state, const void *data, size_t len)
{
	const uint8 *p = data;
	const uint8 *end = p + len;

	/* Fill the word that an earlier call left unfinished. */
	while (p < end && (state->length & 7) != 0)
	{
		state->tail |= (uint64) *p++ << (8 * (state->length & 7));
		if ((++state->length & 7) == 0)
		{
			mix_word(state, state->tail);
			state->tail = 0;
		}
	}
	for (; end - p >= 8; p += 8, state->length += 8)
		mix_word(state, load_le64(p));
	for (; p < end; p++, state->length++)
		state->tail |= (uint64) *p << (8 * (state->length & 7));
}

uint64
outbox_siphash_final(OutboxSipHash *state)
{
	mix_word(state, state->tail | (state->length << 56));
	state->v2 ^= 0xff;
	for (int i = 0; i < 4; i++)
		sip_round(state);
	return state->v0 ^ state->v1 ^ state->v2 ^ state->v3;
}
