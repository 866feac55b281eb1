/*-------------------------------------------------------------------------
 *
 * pg_model.h
 *		What the server's files of avro/ share: errors about values, and
 *		writing PostgreSQL's values as Avro's scalars.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_AVRO_PG_MODEL_H
#define OUTBOX_AVRO_PG_MODEL_H

#include "postgres.h"

#include "avro/model.h"
#include "avro/pg_avro.h"
#include "../compat.h"
#include "mb/pg_wchar.h"
#include "utils/numeric.h"

/* pg_error.c */
pg_noreturn extern void avro_value_error(const AvroPath *path, int code,
										 const char *hint, const char *fmt,...)
			pg_attribute_printf(4, 5);

/* "a, b, c" of names, cut after a while; palloc'd */
extern char *avro_list_names(const char *lead, const char *const *names,
							 int count);

/* pg_numeric.c: a numeric's digits, read where they lie */
typedef struct AvroDigits
{
	bool		special;		/* NaN or infinite */
	bool		negative;
	int			weight;			/* of the first digit, base 10000 */
	int			count;
	const char *digits;			/* int16 each, unaligned */
} AvroDigits;

typedef enum AvroNumericResult
{
	AVRO_NUMERIC_OK,
	AVRO_NUMERIC_SPECIAL,
	AVRO_NUMERIC_FRACTION,		/* not integral, or beyond the scale */
	AVRO_NUMERIC_RANGE			/* too large, or too many digits */
} AvroNumericResult;

extern void avro_numeric_open(Numeric number, AvroDigits *d);
extern AvroNumericResult avro_numeric_int64(const AvroDigits *d, int64 *value);
extern AvroNumericResult avro_numeric_check_decimal(const AvroDigits *d,
													const AvroNode *node);
extern void avro_numeric_put_decimal(const AvroDigits *d,
									 const AvroNode *node, StringInfo out);
extern AvroNumericResult avro_numeric_double(Numeric number, double *value);
extern AvroNumericResult avro_numeric_float(Numeric number, float *value);

/* pg_stored.c: definition of a schema id, palloc'd; NULL: unknown */
extern char *avro_stored_schema(uint32 id);

/* pg_jsonb.c */
extern void avro_jsonb_put_at(const OutboxAvroJsonPlan *plan, Jsonb *value,
							  StringInfo out, const AvroPath *path);

/* pg_scalar.c: text and numbers to scalar nodes; throw when they do not fit */
extern bool avro_scalar_takes_text(const AvroNode *node, const char *s,
								   int len);
extern void avro_scalar_put_text(const AvroNode *node, const char *s, int len,
								 StringInfo out, const AvroPath *path);
extern bool avro_scalar_takes_numeric(const AvroNode *node, Numeric number);
extern void avro_scalar_put_numeric(const AvroNode *node, Numeric number,
									StringInfo out, const AvroPath *path);
extern void avro_scalar_put_string(const char *s, int len, StringInfo out);
extern void avro_scalar_put_enum(const AvroNode *node, const char *s, int len,
								 StringInfo out, const AvroPath *path);
extern const char *avro_scalar_wanted(const AvroNode *node);

#endif							/* OUTBOX_AVRO_PG_MODEL_H */
