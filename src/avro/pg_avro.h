/*-------------------------------------------------------------------------
 *
 * pg_avro.h
 *		The server's side of avro/: encoding from jsonb and from tuples, and
 *		schemas of PostgreSQL types.  Files named pg_*.c are server only.
 *
 * Failures are thrown: errcode ERRCODE_INVALID_PARAMETER_VALUE (bad schema),
 * ERRCODE_INVALID_TEXT_REPRESENTATION / ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE /
 * ERRCODE_DATATYPE_MISMATCH / ... (value does not fit), primary message with
 * the path ("$.items[3].price"), hint what would fit.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_PG_AVRO_H
#define OUTBOX_PG_AVRO_H

#include "postgres.h"

#include "access/tupdesc.h"
#include "avro/avro.h"
#include "../compat.h"
#include "nodes/bitmapset.h"
#include "utils/jsonb.h"

/* Parse; an error is raised with errcode, path and hint. */
extern OutboxAvroSchema *outbox_avro_parse_or_error(const char *json,
													size_t len);

/* Throw an OutboxAvroError. */
pg_noreturn extern void outbox_avro_throw(const OutboxAvroError *error);

/*
 * A compiled plan for jsonb values.  Lives in the context it was made in and
 * refers to the schema, which must live as long.
 */
typedef struct OutboxAvroJsonPlan OutboxAvroJsonPlan;
extern OutboxAvroJsonPlan *outbox_avro_plan_jsonb(const OutboxAvroSchema *schema);
extern void outbox_avro_encode_jsonb(const OutboxAvroJsonPlan *plan,
									 Jsonb *value, StringInfo out);

/*
 * JSON text to jsonb, by the fast way where the text is plain, else by
 * jsonb_in(); errors are jsonb_in()'s.  The first is the fast way alone: NULL
 * where the text is not plain.
 */
extern Jsonb *outbox_avro_plain_json(const char *text, int len);
extern Jsonb *outbox_avro_json_text(const text *json);

/*
 * A compiled plan for tuples of one row type under one schema: fields by name
 * (after mapping to Avro names), missing columns by default, column without a
 * field = error at plan time.  Rebuild when the row type changes.
 */
typedef struct OutboxAvroRowPlan OutboxAvroRowPlan;
extern OutboxAvroRowPlan *outbox_avro_plan_row(const OutboxAvroSchema *schema,
											   TupleDesc desc);
extern void outbox_avro_encode_row(const OutboxAvroRowPlan *plan,
								   Datum composite, StringInfo out);

/*
 * Schema (rendered JSON, palloc'd) of a type: record for composite types and
 * tables, with column comments as doc; the mapped Avro type otherwise.
 */
extern char *outbox_avro_schema_of_type(Oid type, int32 typmod,
										const char *name,
										const char *name_space);

/* What has just been given another name; the rest NULL or invalid. */
typedef struct OutboxAvroRename
{
	List	   *types;			/* of Oid: the types it happened to */
	const char *old_column;		/* a column of those row types ... */
	const char *new_column;
	const char *old_name;		/* ... or the types themselves */
	const char *old_schema;		/* ... or the schema they are in */
} OutboxAvroRename;

/*
 * Schema of a type whose schema was "before" until now: aliases found there
 * are kept, and a rename (NULL: none) adds one.
 */
extern char *outbox_avro_schema_of_changed_type(Oid type,
												const OutboxAvroSchema *before,
												const OutboxAvroRename *rename);

/* ---- images of table rows, for captures ---- */

/*
 * What becomes of a value that its Avro type cannot hold: infinite dates and
 * timestamps, 24:00:00, NaN in a decimal, an array of other dimensions than its
 * column was declared with.
 */
typedef enum OutboxAvroSpecial
{
	OUTBOX_AVRO_SPECIAL_ERROR,
	OUTBOX_AVRO_SPECIAL_NULL,	/* null, and a note of its text */
	OUTBOX_AVRO_SPECIAL_TEXT	/* its text: the field is a union with string */
} OutboxAvroSpecial;

/* The record of a table's columns. */
typedef struct OutboxAvroImage
{
	const char *fullname;		/* of the record */
	Oid			relation;		/* comments and defaults come from here */
	TupleDesc	desc;			/* its columns; left-out ones are dropped */
	OutboxAvroSpecial special;
	const Bitmapset *required;	/* attnums never null; NULL: as desc says */
	bool		all_nullable;	/* but for those */
	bool		key;			/* part of a key: no doc, no default */
	const OutboxAvroSchema *before; /* whose aliases are kept; NULL = none */
	const OutboxAvroRename *rename; /* NULL = none */
} OutboxAvroImage;

/* Append {"type":"record",...,"fields":[...  without the closing "]}". */
extern void outbox_avro_put_image_schema(StringInfo out,
										 const OutboxAvroImage *image);

/*
 * A plan for values of such columns under the record of this full name; its
 * last fields, "trailing" many, are somebody else's to write.  Values that
 * become null for want of an Avro value are noted in notes (may be NULL) as
 * members of a JSON object: "path":"text", after a comma each.
 */
extern OutboxAvroRowPlan *outbox_avro_plan_image(const OutboxAvroSchema *schema,
												 const char *record,
												 int trailing, TupleDesc desc,
												 OutboxAvroSpecial special,
												 StringInfo notes);
extern void outbox_avro_put_image(const OutboxAvroRowPlan *plan,
								  const Datum *values, const bool *nulls,
								  StringInfo out);

/* Whether the record's field for this column (index) may be null. */
extern bool outbox_avro_image_nullable(const OutboxAvroRowPlan *plan,
									   int column);

/*
 * Text of values of one type, the same whatever the session's settings are, in
 * UTF-8; dates and times in ISO 8601.  A plan lives in the context it was made
 * in.
 */
typedef struct OutboxAvroTextPlan OutboxAvroTextPlan;
extern OutboxAvroTextPlan *outbox_avro_plan_text(Oid type);
extern void outbox_avro_put_text(OutboxAvroTextPlan *plan, Datum value,
								 StringInfo out);

/* Set what output functions look at, until AtEOXact_GUC(true, level). */
extern int	outbox_avro_pin_settings(void);
extern bool outbox_avro_settings_pinned(void);

/* A PostgreSQL name as an Avro name: odd characters become "_"; palloc'd. */
extern char *outbox_avro_map_name(const char *name);

#endif							/* OUTBOX_PG_AVRO_H */
