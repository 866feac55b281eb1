/*-------------------------------------------------------------------------
 *
 * pg_row.h
 *		Shared by pg_row.c (plans) and pg_row_put.c (values).
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_AVRO_PG_ROW_H
#define OUTBOX_AVRO_PG_ROW_H

#include "postgres.h"

#include "avro/pg_model.h"
#include "datatype/timestamp.h"
#include "fmgr.h"

typedef struct RowOp RowOp;

/* Writes one datum that is not null; union branch already written. */
typedef void (*RowPut) (RowOp *op, Datum value, StringInfo out,
						const AvroPath *path);

/* What the text of a type depends on besides the value. */
typedef enum AvroOutputKind
{
	AVRO_OUTPUT_SETTINGS,		/* DateStyle and the like, for all we know */
	AVRO_OUTPUT_PLAIN,			/* nothing */
	AVRO_OUTPUT_NAMES			/* search_path */
} AvroOutputKind;

/* How values of one PostgreSQL type become values of one Avro node. */
struct RowOp
{
	RowPut		put;
	const AvroNode *node;		/* the branch's when in a union */
	const OutboxAvroSchema *schema;
	int			branch;			/* written before a value; -1: no union */
	int			null_branch;	/* -1: null is an error */
	MemoryContext context;		/* the plan's: for what is found later */
	Oid			type;			/* base type */

	OutboxAvroRowPlan *sub;		/* composite */
	uint64		sub_desc_id;	/* row type it was made for */

	RowOp	   *element;		/* array */
	Oid			element_type;
	int			depth;			/* arrays within each other */
	int16		typlen;
	bool		typbyval;
	char		typalign;

	/* images of table rows: values that the node cannot hold */
	bool		image;			/* special is to be looked for */
	bool		(*special) (RowOp *op, Datum value);	/* NULL: there is none */
	int			text_branch;	/* where their text goes, -1: nowhere */
	RowOp	   *text;			/* and how */
	StringInfo	notes;			/* of what became null */

	OutboxAvroJsonPlan *json;	/* json, jsonb */
	FmgrInfo	output;			/* any other type, as a string */
	AvroOutputKind output_kind;

	int			label_count;	/* enum: labels met so far */
	int			label_space;
	Oid		   *label_oids;
	int		   *label_symbols;
};

struct OutboxAvroRowPlan
{
	const AvroNode *record;
	TupleDesc	desc;			/* own copy */
	int		   *column;			/* by field: index in desc, -1: default */
	RowOp	   *ops;			/* by field */
	int			trailing;		/* last fields that are others' */
};

extern OutboxAvroRowPlan *avro_row_plan(const RowOp *parent,
										const AvroNode *record, int trailing,
										TupleDesc desc, const AvroPath *path);
extern void avro_row_put_values(const OutboxAvroRowPlan *plan,
								const Datum *values, const bool *nulls,
								StringInfo out, const AvroPath *path);
extern void avro_row_put(const OutboxAvroRowPlan *plan, Datum composite,
						 StringInfo out, const AvroPath *path);

/* pg_row_special.c */
extern AvroOutputKind avro_row_output_kind(Oid type);
extern char *avro_row_output(RowOp *op, Datum value);
extern void avro_row_put_special(RowOp *op, Datum value, StringInfo out,
								 const AvroPath *path);
extern void avro_row_find_special(RowOp *op, const AvroNode *whole);
extern bool avro_row_is_special(RowOp *op, Datum value);

/*
 * pg_row.c: one value of a type under a schema of its own.  False when it has
 * no way there, or is one that the node cannot hold.
 */
extern bool avro_row_put_alone(const OutboxAvroSchema *schema, Oid type,
							   int32 typmod, Datum value, StringInfo out);

static inline void
avro_row_put_value(RowOp *op, Datum value, bool isnull, StringInfo out,
				   const AvroPath *path)
{
	if (isnull)
	{
		if (op->null_branch < 0)
			avro_value_error(path, ERRCODE_NULL_VALUE_NOT_ALLOWED, NULL,
							 "expected %s, got null",
							 avro_scalar_wanted(op->node));
		avro_put_long(out, op->null_branch);
		return;
	}
	if (unlikely(op->special != NULL && op->special(op, value)))
	{
		avro_row_put_special(op, value, out, path);
		return;
	}
	if (op->branch >= 0)
		avro_put_long(out, op->branch);
	op->put(op, value, out, path);
}

/* pg_row_put.c: the way of a base type into a node, and its rank; 0 is best */
#define AVRO_ROW_NO_WAY (-1)
extern int	avro_row_find_put(RowOp *op, const AvroNode *node, Oid type);
extern bool avro_row_timestamp_fits(Timestamp t);

/* A PostgreSQL name as an Avro name: odd characters become "_"; palloc'd. */
extern char *avro_map_name(const char *name);

#endif							/* OUTBOX_AVRO_PG_ROW_H */
