/*-------------------------------------------------------------------------
 *
 * emit.h
 *		The caller's transaction: event types, and writing one event.
 *
 * Entrances (SQL functions, the view outbox.event, triggers on outbox tables)
 * fill an OutboxEvent and call outbox_emit().
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_EMIT_H
#define OUTBOX_EMIT_H

#include "postgres.h"

#include "avro/pg_avro.h"
#include "base/uuid7.h"
#include "catalog/catalog.h"
#include "fmgr.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

/* Settings (guc_emit.c). */
extern int	outbox_max_event_size;	/* bytes: key, headers and value */
extern char *outbox_traceparent;	/* "" = none */
extern char *outbox_topic_prefix;	/* of default topics, "" = none */

/* Check hook of settings that a topic's name begins with. */
extern bool outbox_check_topic_prefix(char **newval, void **extra,
									  GucSource source);

/* Called from _PG_init(). */
extern void outbox_emit_init(void);

#define OUTBOX_MAX_TYPE_NAME	200 /* bytes, as are the limits below */
#define OUTBOX_MAX_KEY			32768
#define OUTBOX_MAX_HEADERS		100 /* count */
#define OUTBOX_MAX_HEADER_NAME	255
#define OUTBOX_MAX_JSON_DEPTH	OUTBOX_AVRO_MAX_DEPTH
#define OUTBOX_MAX_TOPIC		249 /* Kafka's own limit */
#define OUTBOX_TOPIC_PLACEHOLDER "${aggregatetype}"

/* ---- event types (event_type_cache.c) ---- */

/* What is known of the row type that came last; see event_row.c. */
typedef struct OutboxRowShape OutboxRowShape;

/*
 * One event type, as a backend keeps it.  Valid until the end of the
 * transaction in which it was found; immutable but for the lazily built plans.
 */
typedef struct OutboxEventType
{
	int32		id;
	char	   *name;			/* server encoding */
	Oid			owner;
	int			ngrantees;
	Oid		   *grantees;		/* InvalidOid = everybody */
	OutboxRoute route;
	bool		topic_is_template;
	uint32		schema_id;		/* 0 = none */
	OutboxAvroSchema *schema;	/* NULL = none (format json) */
	char	   *definition;		/* its text */
	Oid			row_type;		/* that it comes from, InvalidOid = none */
	OutboxAvroJsonPlan *json_plan;	/* NULL until needed */
	OutboxRowShape *row_shape;	/* NULL until needed */
	char	   *key_field;		/* NULL = none */
	MemoryContext context;		/* all of it lives here */
} OutboxEventType;

/* Find by name (server encoding); error when there is none. */
extern OutboxEventType *outbox_event_type_find(const char *name, int len);

/* Whether role may emit it: a superuser, the owner, a grantee. */
extern bool outbox_event_type_may_emit(const OutboxEventType *type, Oid role);

/* ---- one event ---- */

typedef enum OutboxPayloadKind
{
	OUTBOX_PAYLOAD_JSONB,		/* Jsonb */
	OUTBOX_PAYLOAD_ROW,			/* composite */
	OUTBOX_PAYLOAD_AVRO			/* bytea, one Avro datum */
} OutboxPayloadKind;

/* A header from elsewhere than the headers object. */
typedef struct OutboxExtraHeader
{
	const char *name;
	const char *value;			/* NULL = null */
} OutboxExtraHeader;

typedef struct OutboxEvent
{
	OutboxEventType *type;
	Oid			role;			/* whose right to emit counts */
	OutboxPayloadKind kind;
	Datum		payload;
	const char *aggregatetype;	/* NULL = the event type's name */
	int			aggregatetype_len;
	const char *key;			/* NULL = the type's key field */
	int			key_len;
	Jsonb	   *headers;		/* NULL = none */
	const OutboxExtraHeader *extra_headers;
	int			nextra_headers;
	const pg_uuid_t *id;		/* NULL = a new UUIDv7 */
	int32		partition;		/* -1 = by key */
	int64		timestamp_ms;	/* 0 = commit time */
} OutboxEvent;

/* An event with everything left to its default. */
extern void outbox_event_init(OutboxEvent *event, OutboxEventType *type,
							  Oid role);

/* Write it into the current transaction; *id receives its id. */
extern void outbox_emit(const OutboxEvent *event, pg_uuid_t *id);

/* ---- parts of it ---- */

/* text in the server encoding as UTF-8; the same pointer where it is that. */
extern const char *outbox_to_utf8(const char *s, int len, int *utf8_len);

/*
 * A column's value as the text of a key or header: dates and times in ISO 8601
 * (UTC), whatever the session's DateStyle, all else by its output function.
 */
extern char *outbox_value_text(FmgrInfo *output, Oid base_type, Datum value);

/* payload.c: encode the value; *data borrows from event or scratch. */
extern void outbox_payload_encode(const OutboxEvent *event, StringInfo scratch,
								  const char **data, int32 *len);

/* event_key.c: the key from the payload's key field, palloc'd. */
extern char *outbox_key_of_payload(const OutboxEvent *event, int *len);

/* event_row.c */
extern void outbox_row_encode(OutboxEventType *type, Datum row,
							  StringInfo out);
extern char *outbox_row_key(OutboxEventType *type, Datum row);

/* headers.c: append the header block; leaves out empty when there is none. */
extern void outbox_headers_build(const OutboxEvent *event, StringInfo out);

/*
 * topic.c.  Why a topic name is refused (a message part), or NULL.  A template
 * is a name that may hold one ${aggregatetype}.
 */
extern const char *outbox_topic_problem(const char *topic, int len);
extern const char *outbox_topic_template_problem(const char *topic);
extern bool outbox_topic_is_template(const char *topic);

/* The topic of a template; error when it is no legal name. Returns length. */
extern int	outbox_topic_expand(const char *template,
								const char *aggregatetype, int len,
								char out[OUTBOX_MAX_TOPIC + 1]);

#endif							/* OUTBOX_EMIT_H */
