/*-------------------------------------------------------------------------
 *
 * codec.h
 *		Inside rowcodec/: what a codec consists of.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_ROWCODEC_CODEC_H
#define OUTBOX_ROWCODEC_CODEC_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "rowcodec/rowcodec.h"

/* One row, taken apart; columns that are not captured are of no account. */
typedef struct RowImage
{
	bool		known;
	bool		key_only;
	HeapTuple	tuple;
	Datum	   *values;			/* by attnum - 1, masked */
	bool	   *nulls;
} RowImage;

typedef struct RowMask RowMask;
typedef struct RowFilter RowFilter;
typedef struct RowJson RowJson;
typedef struct RowKey RowKey;

struct OutboxRowCodec
{
	const OutboxCapture *capture;
	MemoryContext scratch;		/* of one change */
	TupleDesc	source;			/* of rel's tuples */
	TupleDesc	image;			/* captured columns; others are dropped,
								 * masked ones are text */
	RowMask   **masks;			/* by attnum - 1, NULL = none at all */
	RowFilter  *filter;			/* NULL = none */
	RowKey	   *key;			/* NULL = messages have none */
	OutboxAvroRowPlan *plan;	/* format avro */
	RowJson    *json;			/* format json */
	bool		lists_unchanged;	/* the envelope has that field */
	const char *schema_name;	/* UTF-8, of the captured table */
	const char *table_name;
	StringInfoData source_head; /* debezium: source up to snapshot */
	StringInfoData source_middle;	/* after it, up to txId */
	StringInfoData notes;		/* of special values, see pg_avro.h */

	RowImage	before;
	RowImage	after;
	StringInfoData payload;
	StringInfoData old_key;
	StringInfoData new_key;
	StringInfoData headers;
};

/* ---- image.c: which columns, and their values ---- */

/*
 * The captured columns of a table: a copy of its descriptor with what is left
 * out marked as dropped and masked columns as nullable text.
 */
extern TupleDesc rowcodec_image_desc(const OutboxCapture *capture,
									 Relation rel);
extern void rowcodec_image_init(OutboxRowCodec *codec, RowImage *image);
extern void rowcodec_image_load(OutboxRowCodec *codec, RowImage *image,
								HeapTuple tuple, const Bitmapset *unchanged);

/* Index of a column by name, -1: none that is captured. */
extern int	rowcodec_column(TupleDesc image, const char *name);

/* Record names: namespace of the topic, "." and this. */
extern char *rowcodec_record_name(const OutboxCapture *capture,
								  const char *name);

/* A name as UTF-8, palloc'd. */
extern char *rowcodec_utf8(const char *s);

/* ---- key.c ---- */
extern RowKey *rowcodec_key_make(const OutboxRowCodec *codec, Relation rel);
extern void rowcodec_key_put(RowKey *key, const RowImage *image,
							 StringInfo out);
/* As it stands in a header: text or a JSON object. */
extern void rowcodec_key_put_header(RowKey *key, const RowImage *image,
									StringInfo out);

/* attnums of the key's columns */
extern Bitmapset *rowcodec_key_attnums(const OutboxCapture *capture,
									   Relation rel, TupleDesc image);

/* Descriptor of the key record: the key's columns alone, in key order. */
extern TupleDesc rowcodec_key_desc(List *names, TupleDesc image,
								   AttrNumber **attnums);

/* ---- value.c ---- */
extern void rowcodec_value_init(OutboxRowCodec *codec, Relation root);
extern void rowcodec_value_put(OutboxRowCodec *codec, OutboxChangeOp op,
							   uint64 xid, const RowImage *before,
							   const RowImage *after,
							   const Bitmapset *unchanged, StringInfo out);

/* ---- json.c ---- */
extern RowJson *rowcodec_json_make(TupleDesc image);
extern void rowcodec_json_put(const RowJson *json, const RowImage *image,
							  bool braces, StringInfo out);
/* A string in quotes; text is UTF-8. */
extern void rowcodec_json_quote(StringInfo out, const char *text, int len);

/* ---- mask.c ---- */
extern RowMask *rowcodec_mask_make(const OutboxCapture *capture,
								   const char *column, Oid type);
extern Datum rowcodec_mask_apply(const RowMask *mask, Datum value,
								 bool *isnull);
extern bool rowcodec_masked(const OutboxCapture *capture, const char *column);
extern void rowcodec_masks_check(const OutboxCapture *capture,
								 TupleDesc image);

/* ---- filter.c ---- */
extern RowFilter *rowcodec_filter_make(const OutboxCapture *capture,
									   Relation rel);
extern bool rowcodec_filter_pass(RowFilter *filter, HeapTuple tuple);

#endif							/* OUTBOX_ROWCODEC_CODEC_H */
