/*-------------------------------------------------------------------------
 *
 * guc.h
 *		Settings of relay, launcher and the link to Kafka.
 *
 * Those of emit/ are declared in emit/emit.h.  Everything that reaches the
 * network is superuser-only and set in the server's configuration, never in a
 * table (FAULTS: a database owner must not be able to point us elsewhere).
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_GUC_H
#define OUTBOX_GUC_H

#include "postgres.h"

extern int	outbox_max_databases;
extern char *outbox_bootstrap_servers;
extern char *outbox_kafka_config_file;
extern char *outbox_kafka_program;
extern char *outbox_host_identity;
extern int	outbox_delivery;		/* OutboxDelivery */
extern int	outbox_ring_size;		/* transactional ids used in turn */
extern int	outbox_batch_events;	/* soft limit of a Kafka transaction */
extern int	outbox_batch_bytes;		/* the same, kB */
extern int	outbox_max_kafka_txn_events;	/* hard limit: larger is split */
extern int	outbox_scanner_memory;	/* kB */
extern int	outbox_decoder_memory;	/* kB */
extern int	outbox_heartbeat_interval;	/* ms */
extern int	outbox_retry_max;		/* ms, ceiling of the back-off */
extern char *outbox_schema_registry_url;	/* empty = built-in */
extern char *outbox_schema_registry_name;	/* empty = the first address */
extern char *outbox_registry_context;	/* empty = none */
extern bool outbox_registry_auto_register;
extern bool outbox_registry_use_latest;
extern bool outbox_registry_normalize;
extern bool outbox_registry_keep_ids;
extern bool outbox_create_topics;
extern int	outbox_topic_partitions;	/* -1 = the broker's default */
extern int	outbox_topic_replication_factor;	/* the same */
extern bool outbox_event_log;
extern int	outbox_log_retention;	/* minutes; 0 = not logged */
extern int	outbox_max_retained_wal;	/* MB, -1 = no limit */
extern char *outbox_dead_letter_topic;	/* copies of what is parked, empty = none */

extern void outbox_guc_init(void);

#endif							/* OUTBOX_GUC_H */
