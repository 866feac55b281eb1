/*-------------------------------------------------------------------------
 *
 * fingerprint.c
 *		Fingerprints of a schema's canonical form (spec, "Schema
 *		Fingerprints"): CRC-64-AVRO (Rabin) and SHA-256.
 *
 *-------------------------------------------------------------------------
 */
#include "base/base.h"

#include "avro/model.h"
#include "common/cryptohash.h"
#include "common/sha2.h"

#define EMPTY UINT64CONST(0xc15d213aa4d7a795)

uint64
outbox_avro_crc64(const OutboxAvroSchema *schema)
{
	StringInfoData text;
	uint64		fp = EMPTY;

	initStringInfo(&text);
	outbox_avro_canonical(schema, &text);
	for (int i = 0; i < text.len; i++)
	{
		uint64		t = (fp ^ (uint8) text.data[i]) & 0xFF;

		for (int bit = 0; bit < 8; bit++)
			t = (t >> 1) ^ (EMPTY & (UINT64CONST(0) - (t & 1)));
		fp = (fp >> 8) ^ t;
	}
	pfree(text.data);
	return fp;
}

void
outbox_avro_sha256_of(const void *a, size_t a_len, const void *b, size_t b_len,
					  uint8 out[32])
{
	pg_cryptohash_ctx *ctx = pg_cryptohash_create(PG_SHA256);

	/* Fails only when the library cannot do SHA-256 at all. */
	if (ctx == NULL || pg_cryptohash_init(ctx) < 0 ||
		pg_cryptohash_update(ctx, a, a_len) < 0 ||
		pg_cryptohash_update(ctx, b, b_len) < 0 ||
		pg_cryptohash_final(ctx, out, PG_SHA256_DIGEST_LENGTH) < 0)
	{
#ifdef FRONTEND
		fprintf(stderr, "outbox: could not compute SHA-256\n");
		exit(1);
#else
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute SHA-256")));
#endif
	}
	pg_cryptohash_free(ctx);
}

void
outbox_avro_sha256(const OutboxAvroSchema *schema, uint8 out[32])
{
	StringInfoData text;

	initStringInfo(&text);
	outbox_avro_canonical(schema, &text);
	outbox_avro_sha256_of(text.data, text.len, "", 0, out);
	pfree(text.data);
}
