/*-------------------------------------------------------------------------
 *
 * relay.h
 *		What the files of the relay share: one relay per process.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_H
#define OUTBOX_RELAY_H

#include "postgres.h"

#include "base/commit_times.h"
#include "base/cursor.h"
#include "catalog/catalog.h"
#include "catalog/server.h"
#include "compat.h"
#include "eventlog/log_source.h"
#include "record/frame.h"
#include "record/position.h"
#include "record/wal_message.h"
#include "source/source.h"
#include "state/state.h"

#define OUTBOX_MAX_RING 8

/* An event under way; see parking.c. */
typedef struct OutboxPlace
{
	XLogRecPtr	commit_end;
	uint32		ordinal;
	uint32		topic;			/* index */
	bool		dead_letter;	/* of its route */
} OutboxPlace;

/* One Kafka transaction, being filled or waiting for its outcome. */
typedef struct OutboxBatch
{
	uint32		number;
	uint32		events;
	uint64		bytes;
	uint32		transactions;
	uint32		splits;
	int64		opened_ms;		/* monotonic: its first event */
	TimestampTz oldest_commit;	/* of its first transaction, 0 = no events */
	TimestampTz newest_commit;
	OutboxCommitTimes commit_times;
	OutboxPosition position;	/* set when closed */
	bool		whole;			/* ends at a transaction's end */
	uint32		route_id;		/* of its first event */
	bool		mixed;			/* others have another route */
	uint8		event_id[OUTBOX_EVENT_ID_SIZE]; /* of its first event */
	OutboxPlace *places;		/* of its first event; of all, when they go
								 * one by one */
	uint32		nplaces;
	uint32		places_size;
	bool		parkable;		/* one of its routes has dead letters */
	uint64		job;			/* some rows are this job's (token), 0 = none */
	int			ntopics;		/* lengths of the next two */
	uint32	   *topic_events;	/* by topic index */
	uint64	   *topic_bytes;
} OutboxBatch;

typedef struct OutboxRelay
{
	OutboxSink	sink;			/* must be first */
	OutboxRelayEntry *entry;
	OutboxInstance instance;
	OutboxServer server;		/* as of our start */
	OutboxSource *source;
	uint8		host[OUTBOX_IDENTITY_SIZE];
	TimeLineID	timeline;

	OutboxPosition position;	/* last one that was sent or taken over; the
								 * parts that change are kept up to date */
	OutboxBatch *open;			/* being filled */
	OutboxBatch *flying[OUTBOX_MAX_RING];	/* committed to the child, oldest
											 * first */
	int			nflying;
	uint32		ready_after;	/* READY: the child can begin what follows
								 * this batch */
	uint32		next_batch;
	StringInfoData data;		/* the DATA frame being filled */
	int			data_start;		/* its frame's offset in data */
	int			data_count_at;	/* offset of its event count */
	uint32		data_events;	/* in it, 0 = no frame begun */

	/* the transaction being pushed */
	FullTransactionId full_xid;
	uint32		last_ordinal;	/* ordinals must increase */
	uint64		pushed;			/* messages of it seen */
	uint64		skip;			/* messages published before a split */
	uint32		accepted;		/* events of it sent */
	uint32		part;			/* of a split transaction, 0 = whole */
	uint32		in_part;		/* events since the last split */
	XLogRecPtr	pushing;		/* end of its commit record */
	uint64		serial;			/* number of it in this process, from 1 */
	uint64		total_order;	/* of its rows with transaction metadata */
	uint64		begun;			/* serial of the last one told to a
								 * transaction topic */
	uint32		told_topic;		/* index of that */
	StringInfoData change;		/* a captured row's payload, with its tail */

	/* after a refusal, see outbox_batch_narrow() */
	uint32		batch_limit;	/* 0 = none */
	XLogRecPtr	limit_until;
	bool		single;			/* one message a request, until then */
	XLogRecPtr	condemned_end;	/* to be parked when it comes, 0 = none */
	uint32		condemned_ordinal;

	/* answers of the child, set by the frame handler */
	uint8		answer;			/* last answer's frame type, 0 = none */
	OutboxPosition kafka_position;
	OutboxPositionParse kafka_parse;
	bool		has_position;
	OutboxPosition claim;
	bool		has_claim;
	OutboxResult trouble;		/* STATUS of the link */

	/* while events are published from the event log, see switch.c */
	bool		from_log;
	XLogRecPtr	log_limit;		/* commits up to here */
	XLogRecPtr	wal_restart;	/* then from WAL: R and P */
	XLogRecPtr	wal_position;
	int			ngaps;			/* given up by this adoption, to be noted */
	OutboxLogGap gaps[OUTBOX_LOG_MAX_GAPS + 1];

	/* log captures, see switch.c */
	bool		log_captures;	/* there are some */
	bool		log_pending;	/* some are not active yet */
	XLogRecPtr	captures_as_of; /* end of WAL when that was read */
	bool		decoding;		/* source is the decoder */

	uint64		foreign;		/* of the source's, those counted as forged */

	int64		last_record_ms; /* monotonic: last position record sent */
	int64		last_floor_ms;	/* monotonic: floor last written */
	XLogRecPtr	floor;
	XLogRecPtr	recorded;		/* P of the newest position record that is
								 * known to be in Kafka */
	bool		stop_pending;
	bool		adopted;		/* the takeover accepted a refusal */
} OutboxRelay;

/* relay.c */
extern PGDLLEXPORT void outbox_relay_main(Datum arg);

/*
 * Sleep in outbox_child_wait(), then act on interrupts, configuration and what
 * was asked of us.  The only place where a streaming relay waits.
 */
extern void outbox_relay_wait(OutboxRelay *relay, int timeout_ms);

/*
 * StartTransactionCommand(), with caches as of now: a decoder may have left
 * others.  Never while it replays.
 */
extern void outbox_relay_begin_transaction(void);

/* Record why, set the state, leave the process.  See relay.c for back-off. */
pg_noreturn extern void outbox_relay_stop(OutboxRelay *relay,
										  OutboxRelayState state,
										  const OutboxResult *why);
pg_noreturn extern void outbox_relay_refuse(OutboxRelay *relay,
											OutboxRelayState state,
											const char *fmt,...)
			pg_attribute_printf(3, 4);

/*
 * A position record, if none was sent for outbox.heartbeat_interval and nothing
 * is on its way.
 */
extern void outbox_relay_heartbeat(OutboxRelay *relay,
								   const OutboxSourceProgress *progress);

/* life.c also has: */

/* Take the database's entry; does not return when somebody else has it. */
extern void outbox_life_begin(OutboxRelay *relay, Oid database);
extern void outbox_life_check_instance(OutboxRelay *relay);
extern void outbox_life_wait_for_settings(OutboxRelay *relay);

/* Note the error being handled for status(); whether it is worth the log. */
extern bool outbox_life_record_error(OutboxRelay *relay,
									 MemoryContext context);

/* answers.c: frames that the child sends */
extern void outbox_relay_frame(void *arg, OutboxFrameType type,
							   OutboxCursor *body);

/* gate.c */
extern void outbox_gate_pass(OutboxRelay *relay, const OutboxTxn *txn);
extern XLogRecPtr outbox_gate_replicated(XLogRecPtr lsn);
extern void outbox_gate_wait(OutboxRelay *relay, XLogRecPtr lsn);

/* batch.c */
extern int64 outbox_relay_now_ms(void);
extern void outbox_batch_init(OutboxRelay *relay);
extern bool outbox_batch_can_close(OutboxRelay *relay);
extern bool outbox_batch_can_begin(OutboxRelay *relay);
extern void outbox_batch_close(OutboxRelay *relay,
							   const OutboxSourceProgress *progress);
extern void outbox_batch_recorded(OutboxRelay *relay,
								  const OutboxPosition *pos);
extern void outbox_batch_narrow(OutboxRelay *relay);
extern void outbox_batch_note(OutboxBatch *batch, const OutboxPlace *place,
							  bool all);
extern void outbox_batch_committed(OutboxRelay *relay, uint32 number,
								   uint32 events);

typedef struct OutboxRouteEntry OutboxRouteEntry;

/* publish.c: the sink that the source pushes into */
extern void outbox_publish_init(OutboxRelay *relay);
extern void outbox_publish_flush(OutboxRelay *relay);
extern void outbox_publish_end_limit(OutboxRelay *relay);
extern void outbox_publish_note_forged(OutboxRelay *relay, uint64 n,
									   XLogRecPtr before);

/*
 * Rows of a job, between two transactions.  First find their schema ids, which
 * may wait, send what is in the open batch, and return false as
 * outbox_schemas_wire_id() does; then append each of them to the open batch,
 * which stays open.
 */
extern bool outbox_publish_prepare(OutboxRelay *relay, OutboxRouteEntry *route,
								   const OutboxWalMessage *msg,
								   OutboxResult *why);
extern void outbox_publish_row(OutboxRelay *relay, OutboxRouteEntry *route,
							   OutboxWalMessage *msg, TimestampTz at,
							   XLogRecPtr lsn);

/*
 * A dead letter, sent again in the place of its marker; parked is where it came
 * from.  Room for so many must have been made.
 */
extern void outbox_publish_make_room(OutboxRelay *relay, uint32 events);
extern void outbox_publish_again(OutboxRelay *relay, OutboxRouteEntry *route,
								 const OutboxWalMessage *msg,
								 XLogRecPtr commit_end, uint32 ordinal,
								 TimestampTz at);

/*
 * The copy of a parked event.  framed: its schema ids were found before;
 * refusable: the broker may refuse it, and the copy of its place is condemned.
 */
extern void outbox_publish_copy(OutboxRelay *relay, const OutboxTxn *txn,
								const OutboxRouteEntry *route,
								const OutboxWalMessage *copy, bool framed,
								bool refusable);

/* routes.c */
/* A captured table, as transaction metadata names it. */
typedef struct OutboxCollection
{
	const char *name;			/* schema.table */
	uint64		serial;			/* transaction that count is of */
	uint64		count;			/* rows of it */
	struct OutboxCollection *next;
} OutboxCollection;

struct OutboxRouteEntry
{
	uint32		id;				/* hash key */
	bool		framed;			/* Confluent wire format around the payload */
	int32		partitions;
	const char *topic;			/* NULL when every message names its own */
	uint32		topic_index;	/* of that; OUTBOX_NO_TOPIC until it is used */
	bool		dead_letter;	/* what is refused is parked */
	const char *event_type;		/* name, for messages */
	const char *subject;		/* of its schemas, NULL = none */
	OutboxEnvelope envelope;	/* of captured rows */
	OutboxCollection *collection;	/* NULL = no transaction metadata */
	const char *key_subject;	/* NULL = keys are no Avro records */
	const char *transaction_topic;	/* NULL = none */
	XLogRecPtr	from;			/* changes of commits up to here are left out */
	bool		from_known;		/* that is as of now */
};

/* The same as far as it has been read, NULL when it has not. */
extern OutboxRouteEntry *outbox_routes_known(uint32 route_id);

/* Read the places of captures again. */
extern void outbox_routes_reload(void);

/* NULL when there is no such route. */
extern OutboxRouteEntry *outbox_routes_find(uint32 route_id);

/* All that any route names, linked. */
extern OutboxCollection *outbox_routes_collections(void);

/* Index of a topic by name, told to the child when new. */
extern uint32 outbox_routes_topic(const char *name, int len, int32 partitions);
extern uint32 outbox_routes_position_topic(const char *name);
extern const char *outbox_routes_topic_name(uint32 index);

/* identity.c */
extern void outbox_identity(uint8 host[OUTBOX_IDENTITY_SIZE]);

/* change.c: captured rows */
extern void outbox_change_init(OutboxRelay *relay);

/*
 * Complete a message that has flag OUTBOX_MSG_TAIL, whose payload then lies in
 * relay->change.  To be called for each in the order of the transaction, also
 * for those that were published before a split.
 */
extern void outbox_change_complete(OutboxRelay *relay, const OutboxTxn *txn,
								   const OutboxRouteEntry *route,
								   XLogRecPtr lsn, OutboxWalMessage *msg);

/*
 * A record about the transaction for the transaction topic: its end, or else its
 * beginning.  Valid until the next call.
 */
extern void outbox_change_describe(OutboxRelay *relay, const OutboxTxn *txn,
								   bool end, OutboxWalMessage *msg);

/* takeover.c: everything between HELLO and the first position record */
extern void outbox_takeover(OutboxRelay *relay);

/* launcher.c */
extern PGDLLEXPORT void outbox_launcher_main(Datum arg);
extern void outbox_launcher_register(void);

/* schemas.c */

/*
 * The id that goes in front of a framed value.  With an external schema
 * registry it may wait for that, for as long as it takes.  False when that
 * refuses the schema for good, and the event may be parked for it.
 */
extern bool outbox_schemas_wire_id(OutboxRelay *relay,
								   const OutboxRouteEntry *route,
								   const OutboxWalMessage *msg, uint32 *id,
								   OutboxResult *why);

/* The same for a key that is an Avro record. */
extern bool outbox_schemas_key_wire_id(OutboxRelay *relay,
									   const OutboxRouteEntry *route,
									   const OutboxWalMessage *msg,
									   uint32 *id, OutboxResult *why);

/* Whether both answers need no transaction and no question. */
extern bool outbox_schemas_known(const OutboxRouteEntry *route,
								 const OutboxWalMessage *msg);
extern void outbox_schemas_answered(OutboxRelay *relay, OutboxCursor *body);

/* diagnosis.c: look at Kafka for outbox.check(), and what was found */
extern void outbox_diagnosis_ask(OutboxRelay *relay);
extern void outbox_diagnosis_announce(OutboxRelay *relay);
extern void outbox_diagnosis_answered(OutboxRelay *relay, OutboxCursor *body);

#endif							/* OUTBOX_RELAY_H */
