/*-------------------------------------------------------------------------
 *
 * model.h
 *		The schema model inside avro/: nodes, fields, JSON values, paths.
 *
 * Private to this room; other rooms see avro.h and pg_avro.h.  A schema is a
 * graph of nodes: a named type occurs once and is pointed to by every
 * reference, so recursive records are cycles.  All text is UTF-8.  Nothing is
 * changed after outbox_avro_parse() has returned.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_AVRO_MODEL_H
#define OUTBOX_AVRO_MODEL_H

#include "avro/avro.h"
#include "avro/write.h"

/* ---- JSON values (json.c) ---- */

typedef enum AvroJsonKind
{
	JSON_KIND_NULL,
	JSON_KIND_FALSE,
	JSON_KIND_TRUE,
	JSON_KIND_NUMBER,
	JSON_KIND_STRING,
	JSON_KIND_ARRAY,
	JSON_KIND_OBJECT
} AvroJsonKind;

typedef struct AvroJson AvroJson;
struct AvroJson
{
	AvroJsonKind kind;
	const char *text;			/* string (may hold NUL) or number lexeme */
	size_t		len;
	int			count;			/* elements of an array or object */
	AvroJson  **items;
	const char **keys;			/* object only: sorted, unique */
};

/* ---- places in a schema or value, for messages (path.c) ---- */

typedef struct AvroPath
{
	const struct AvroPath *parent;	/* NULL: this is "$" */
	const char *name;			/* member, or NULL for an element */
	int			name_len;
	int64		index;			/* or one of these two, in schemas: */
} AvroPath;

#define AVRO_PATH_ITEMS (-1)	/* any element of an array, "[]" */
#define AVRO_PATH_VALUES (-2)	/* any value of a map, "{}" */

/* ---- the model ---- */

typedef enum AvroType
{
	AVRO_TYPE_NULL,
	AVRO_TYPE_BOOLEAN,
	AVRO_TYPE_INT,
	AVRO_TYPE_LONG,
	AVRO_TYPE_FLOAT,
	AVRO_TYPE_DOUBLE,
	AVRO_TYPE_BYTES,
	AVRO_TYPE_STRING,
	AVRO_TYPE_RECORD,
	AVRO_TYPE_ENUM,
	AVRO_TYPE_ARRAY,
	AVRO_TYPE_MAP,
	AVRO_TYPE_FIXED,
	AVRO_TYPE_UNION
} AvroType;

#define AVRO_LAST_PRIMITIVE AVRO_TYPE_STRING

typedef enum AvroLogical
{
	AVRO_LOGICAL_NONE,
	AVRO_LOGICAL_DECIMAL,
	AVRO_LOGICAL_UUID,
	AVRO_LOGICAL_DATE,
	AVRO_LOGICAL_TIME_MILLIS,
	AVRO_LOGICAL_TIME_MICROS,
	AVRO_LOGICAL_TIMESTAMP_MILLIS,
	AVRO_LOGICAL_TIMESTAMP_MICROS,
	AVRO_LOGICAL_LOCAL_TIMESTAMP_MILLIS,
	AVRO_LOGICAL_LOCAL_TIMESTAMP_MICROS,
	AVRO_LOGICAL_DURATION
} AvroLogical;

/* Largest decimal precision treated as a decimal; PostgreSQL's own limit. */
#define AVRO_MAX_PRECISION 1000

typedef struct AvroNode AvroNode;

typedef struct AvroAttrs
{
	int			count;
	const char **keys;			/* sorted */
	AvroJson  **values;
} AvroAttrs;

typedef struct AvroField
{
	const char *name;
	int			name_len;
	const char *doc;			/* or NULL */
	int			alias_count;
	const char **aliases;
	const char *order;			/* "descending", "ignore", or NULL */
	AvroNode   *type;
	AvroJson   *default_json;	/* NULL: none */
	bool		has_default;	/* default_data is complete */
	bool		in_default;		/* being worked out: a cycle if met again */
	const char *default_data;	/* the default's Avro encoding */
	int			default_len;
	AvroAttrs	attrs;			/* everything else, kept */
} AvroField;

struct AvroNode
{
	AvroType	type;
	AvroLogical logical;
	int			precision;
	int			scale;
	int			id;				/* dense, for plans */
	bool		zero_size;		/* every value takes no bytes */
	bool		in_progress;	/* while zero_size is worked out */

	/* named types */
	const char *fullname;
	const char *name;			/* last part of fullname */
	const char *name_space;		/* may be "" */
	const char *doc;
	int			alias_count;
	const char **aliases;		/* full names */

	int			field_count;	/* record */
	AvroField  *fields;
	int			symbol_count;	/* enum */
	const char **symbols;
	const char *symbol_default; /* or NULL */
	size_t		size;			/* fixed */
	AvroNode   *items;			/* array, map */
	int			branch_count;	/* union */
	AvroNode  **branches;
	AvroAttrs	attrs;
};

struct OutboxAvroSchema
{
	AvroNode   *root;
	int			node_count;
	int			first_own;		/* ids below are of texts it refers to */
};

/* Longest schema text read */
#define AVRO_MAX_SCHEMA (64 * 1024 * 1024)

/* Largest default value, in encoded bytes. */
#define AVRO_MAX_DEFAULT (1024 * 1024)

/* json.c */
extern AvroJson *avro_json_parse(const char *text, size_t len,
								 OutboxAvroError *error);
extern AvroJson *avro_json_member(const AvroJson *object, const char *key);
extern void avro_json_render(const AvroJson *value, StringInfo out);
extern void avro_json_quote(StringInfo out, const char *s, size_t len);
extern void avro_json_quote_latin1(StringInfo out, const uint8 *s,
								   size_t len);
extern const char *avro_json_kind_name(AvroJsonKind kind);

/* path.c */
extern void avro_path_append(StringInfo out, const AvroPath *path);
extern bool avro_fail(OutboxAvroError *error, OutboxAvroErrorKind kind,
					  const AvroPath *path, const char *hint,
					  const char *fmt,...) pg_attribute_printf(5, 6);

/* names.c */
extern bool avro_name_ok(const char *name, size_t len);
extern bool avro_fullname_ok(const char *name);
extern int	avro_primitive_by_name(const char *name);
extern const char *avro_type_name(AvroType type);
extern const char *avro_branch_name(const AvroNode *node);
extern const char *avro_logical_name(AvroLogical logical);

/* logical.c */
extern void avro_logical_resolve(AvroNode *node);
extern int	avro_decimal_max_precision(size_t size);

/* defaults.c */
extern bool avro_defaults_resolve(AvroNode *record, const AvroPath *path,
								  OutboxAvroError *error);

/* text.c: ISO 8601 text of Avro's numbers, base64, uuid */
extern void avro_text_date(StringInfo out, int32 days);
extern void avro_text_time(StringInfo out, int64 micros);
extern void avro_text_timestamp(StringInfo out, int64 value, bool millis,
								bool zone);
extern void avro_text_base64(StringInfo out, const uint8 *data, size_t len);
extern void avro_text_uuid(StringInfo out, const uint8 *data);
extern int	avro_text_decimal(StringInfo out, const uint8 *data, size_t len,
							  int scale);
extern bool avro_text_is_uuid(const char *s, size_t len, uint8 *out);

/* iso.c: and back */
typedef enum AvroIsoResult
{
	AVRO_ISO_OK,
	AVRO_ISO_SYNTAX,			/* not of this form */
	AVRO_ISO_RANGE,				/* no such day or hour, or does not fit */
	AVRO_ISO_PRECISION,			/* finer than the unit */
	AVRO_ISO_ZONE_MISSING,
	AVRO_ISO_ZONE_GIVEN
} AvroIsoResult;

extern AvroIsoResult avro_iso_date(const char *s, size_t len, int32 *days);
extern AvroIsoResult avro_iso_time(const char *s, size_t len, bool millis,
								   int64 *value);
extern AvroIsoResult avro_iso_timestamp(const char *s, size_t len,
										bool millis, bool zone, int64 *value);

#endif							/* OUTBOX_AVRO_MODEL_H */
