/*-------------------------------------------------------------------------
 *
 * avro.h
 *		What other rooms use of avro/, in both worlds.
 *
 * The core (schema model, canonical form, fingerprints, binary decoding) is
 * built for the server and for the programs; the encoders from jsonb and from
 * tuples are the server's alone (pg_avro.h).  Source: Apache Avro
 * specification 1.11/1.12.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_AVRO_H
#define OUTBOX_AVRO_H

#include "base/base.h"

typedef struct OutboxAvroSchema OutboxAvroSchema;

typedef enum OutboxAvroErrorKind
{
	OUTBOX_AVRO_BAD_JSON,		/* not JSON */
	OUTBOX_AVRO_BAD_SCHEMA,		/* JSON, but no Avro schema */
	OUTBOX_AVRO_BAD_BYTES,		/* bytes do not decode under the schema */
	OUTBOX_AVRO_TOO_DEEP		/* nesting beyond OUTBOX_AVRO_MAX_DEPTH */
} OutboxAvroErrorKind;

#define OUTBOX_AVRO_MAX_DEPTH 512

typedef struct OutboxAvroError
{
	OutboxAvroErrorKind kind;
	char		path[256];		/* "$.items[3].price", "$" for the whole */
	char		message[256];	/* one line, lower case, no period */
	char		hint[256];		/* a sentence, or empty */
} OutboxAvroError;

/*
 * Parse and resolve a schema.  Everything is palloc'd; in the server the whole
 * lives in CurrentMemoryContext and is freed with it.  NULL and *error set on
 * failure.  The result is immutable.
 */
extern OutboxAvroSchema *outbox_avro_parse(const char *json, size_t len,
										   OutboxAvroError *error);

/*
 * The last of these texts, which may refer to named types of those before it,
 * as may each of them (schema references).  At least one.
 */
extern OutboxAvroSchema *outbox_avro_parse_referring(const char *const *texts,
													 int n,
													 OutboxAvroError *error);

/* True when the top level is a record (events must be). */
extern bool outbox_avro_is_record(const OutboxAvroSchema *schema);

/* Full name of a named top-level schema, else NULL.  Borrowed. */
extern const char *outbox_avro_fullname(const OutboxAvroSchema *schema);

/*
 * The one rendering that is stored and registered: names, docs, aliases,
 * defaults, logical types and unknown attributes kept, whitespace and key
 * order normalised, so that equal schemas are equal text.
 */
extern void outbox_avro_render(const OutboxAvroSchema *schema, StringInfo out);

/* The same with types of the other texts left as references. */
extern void outbox_avro_render_referring(const OutboxAvroSchema *schema,
										 StringInfo out);

/* Parsing Canonical Form (spec, "Transforming into Parsing Canonical Form"). */
extern void outbox_avro_canonical(const OutboxAvroSchema *schema,
								  StringInfo out);

/* Fingerprints of the canonical form. */
extern uint64 outbox_avro_crc64(const OutboxAvroSchema *schema);
extern void outbox_avro_sha256(const OutboxAvroSchema *schema, uint8 out[32]);

/*
 * Decode one datum, appending JSON text.  Natural JSON (a union is its bare
 * value, decimals are numbers, dates ISO 8601, bytes base64); with avro_json
 * the specification's JSON encoding.  The bytes are untrusted.  All of them must be used up.
 */
extern bool outbox_avro_decode(const OutboxAvroSchema *schema,
							   const void *data, size_t len, bool avro_json,
							   StringInfo out, OutboxAvroError *error);

/* Walk one datum without output: whether the bytes fit the schema exactly. */
extern bool outbox_avro_validate(const OutboxAvroSchema *schema,
								 const void *data, size_t len,
								 OutboxAvroError *error);

/* A JSON string in quotes; text is UTF-8. */
extern void outbox_avro_json_quote(StringInfo out, const char *text,
								   size_t len);

/* SHA-256 of two pieces, one after the other. */
extern void outbox_avro_sha256_of(const void *a, size_t a_len,
								  const void *b, size_t b_len, uint8 out[32]);

#endif							/* OUTBOX_AVRO_H */
