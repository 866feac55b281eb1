/*-------------------------------------------------------------------------
 *
 * guc.c
 *		Settings of relay, launcher and the link to Kafka.  See guc.h.
 *
 * A change of any of them that reaches the child takes effect by a restart of
 * the relay, which the relay does itself at the next configuration reload.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "emit/emit.h"
#include "guc.h"
#include "miscadmin.h"
#include "record/frame.h"
#include "utils/guc.h"

int			outbox_max_databases = 8;
char	   *outbox_bootstrap_servers = NULL;
char	   *outbox_kafka_config_file = NULL;
char	   *outbox_kafka_program = NULL;
char	   *outbox_host_identity = NULL;
int			outbox_delivery = OUTBOX_EXACTLY_ONCE;
int			outbox_ring_size = 2;
int			outbox_batch_events = 100000;
int			outbox_batch_bytes = 32 * 1024;
int			outbox_max_kafka_txn_events = 500000;
int			outbox_scanner_memory = 32 * 1024;
int			outbox_decoder_memory = 64 * 1024;
int			outbox_heartbeat_interval = 5000;
int			outbox_retry_max = 4000;
char	   *outbox_dead_letter_topic = NULL;
char	   *outbox_schema_registry_url = NULL;
char	   *outbox_schema_registry_name = NULL;
char	   *outbox_registry_context = NULL;
bool		outbox_registry_auto_register = true;
bool		outbox_registry_use_latest = false;
bool		outbox_registry_normalize = false;
bool		outbox_registry_keep_ids = false;
bool		outbox_create_topics = true;
int			outbox_topic_partitions = -1;
int			outbox_topic_replication_factor = -1;
bool		outbox_event_log = true;
int			outbox_log_retention = 24 * 60;
int			outbox_max_retained_wal = 10 * 1024;

static const struct config_enum_entry delivery_options[] = {
	{"exactly_once", OUTBOX_EXACTLY_ONCE, false},
	{"at_least_once", OUTBOX_AT_LEAST_ONCE, false},
	{NULL, 0, false}
};

static void
define_string(const char *name, const char *what, const char *more,
			  char **var, const char *boot)
{
	DefineCustomStringVariable(name, what, more, var, boot, PGC_SIGHUP,
							   GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
}

static void
define_int(const char *name, const char *what, const char *more,
		   int *var, int boot, int min, int max, int flags)
{
	DefineCustomIntVariable(name, what, more, var, boot, min, max,
							PGC_SIGHUP, flags, NULL, NULL, NULL);
}

static bool
check_topic(char **newval, void **extra, GucSource source)
{
	const char *problem = **newval == '\0' ? NULL :
		outbox_topic_problem(*newval, strlen(*newval));

	if (problem == NULL)
		return true;
	GUC_check_errdetail("The topic name %s.", problem);
	return false;
}

static void
define_link_settings(void)
{
	define_string("outbox.bootstrap_servers",
				  "Kafka brokers to start from, as host:port, comma-separated.",
				  "Empty: nothing is published and WAL is kept.",
				  &outbox_bootstrap_servers, "");
	define_string("outbox.kafka_config_file",
				  "Properties file with further Kafka client settings and secrets.",
				  "Must have mode 0600; only allow-listed keys are accepted.",
				  &outbox_kafka_config_file, "");
	define_string("outbox.kafka_program",
				  "Path of the program outbox-kafka.",
				  "Empty: beside the server's own binary.",
				  &outbox_kafka_program, "");
	define_string("outbox.host_identity",
				  "Name of this copy of the data, to tell a clone from the original.",
				  "Empty: machine id and data directory.",
				  &outbox_host_identity, "");
	DefineCustomEnumVariable("outbox.delivery",
							 "Delivery guarantee of published events.",
							 NULL, &outbox_delivery, OUTBOX_EXACTLY_ONCE,
							 delivery_options, PGC_SIGHUP, 0,
							 NULL, NULL, NULL);
	define_int("outbox.ring_size",
			   "Number of transactional ids that a relay uses in turn.",
			   NULL, &outbox_ring_size, 2, 1, 8, 0);
	DefineCustomBoolVariable("outbox.create_topics",
							 "Create topics that do not exist.",
							 NULL, &outbox_create_topics, true, PGC_SIGHUP, 0,
							 NULL, NULL, NULL);
	define_int("outbox.topic_partitions",
			   "Partitions of topics that the relay creates.",
			   "-1 means the broker's default.",
			   &outbox_topic_partitions, -1, -1, 100000, 0);
	define_int("outbox.topic_replication_factor",
			   "Replication factor of topics that the relay creates.",
			   "-1 means the broker's default.",
			   &outbox_topic_replication_factor, -1, -1, 100, 0);
	DefineCustomStringVariable("outbox.dead_letter_topic",
							   "Topic that gets a copy of each event that is parked.",
							   "Empty: none does.",
							   &outbox_dead_letter_topic, "", PGC_SIGHUP,
							   GUC_SUPERUSER_ONLY, check_topic, NULL, NULL);
}

/* Letters, digits, and what does not end a context within a subject. */
static bool
check_context(char **value, void **extra, GucSource source)
{
	size_t		len = strlen(*value);

	if (len <= 100 &&
		strspn(*value, "abcdefghijklmnopqrstuvwxyz"
			   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") == len)
		return true;
	GUC_check_errdetail("A context has at most 100 letters, digits, and characters of \"_-.\".");
	return false;
}

static void
define_bool(const char *name, const char *what, const char *more,
			bool *var, bool boot)
{
	DefineCustomBoolVariable(name, what, more, var, boot, PGC_SIGHUP, 0,
							 NULL, NULL, NULL);
}

static void
define_registry_settings(void)
{
	define_string("outbox.schema_registry_url",
				  "External schema registries to use, comma-separated.",
				  "Servers of one registry, tried in turn.  Empty: the built-in one.",
				  &outbox_schema_registry_url, "");
	define_string("outbox.schema_registry_name",
				  "Name under which ids of the external schema registry are kept.",
				  "Empty: its first address.",
				  &outbox_schema_registry_name, "");
	DefineCustomStringVariable("outbox.registry_context",
							   "Context of our subjects in the external schema registry.",
							   "Empty: the default one.",
							   &outbox_registry_context, "", PGC_SIGHUP, 0,
							   check_context, NULL, NULL);
	define_bool("outbox.registry_auto_register",
				"Register schemas that the external schema registry does not have.",
				NULL, &outbox_registry_auto_register, true);
	define_bool("outbox.registry_use_latest",
				"Use the latest version of a subject in the external schema registry.",
				"Only if it describes the same values.",
				&outbox_registry_use_latest, false);
	define_bool("outbox.registry_normalize",
				"Have the external schema registry normalize schemas.",
				NULL, &outbox_registry_normalize, false);
	define_bool("outbox.registry_keep_ids",
				"Register schemas in the external schema registry under their own ids.",
				"The registry must have the mode IMPORT.",
				&outbox_registry_keep_ids, false);
}

static void
define_relay_settings(void)
{
	define_int("outbox.batch_events",
			   "Events after which a Kafka transaction is committed.",
			   "Whole database transactions only.",
			   &outbox_batch_events, 100000, 1, 10000000, 0);
	define_int("outbox.batch_bytes",
			   "Bytes after which a Kafka transaction is committed.",
			   "Whole database transactions only.",
			   &outbox_batch_bytes, 32 * 1024, 1, 1024 * 1024, GUC_UNIT_KB);
	define_int("outbox.max_kafka_txn_events",
			   "Events in one Kafka transaction beyond which a database transaction is split.",
			   NULL, &outbox_max_kafka_txn_events, 500000, 1, 10000000, 0);
	define_int("outbox.scanner_memory",
			   "Memory for messages of transactions that have not committed.",
			   "Beyond it their bytes are read again from WAL.",
			   &outbox_scanner_memory, 32 * 1024, 64, MAX_KILOBYTES,
			   GUC_UNIT_KB);
	define_int("outbox.decoder_memory",
			   "Memory for changes of transactions that have not committed.",
			   "With captures of mode \"log\" only.  Beyond it they are written to files; takes effect when decoding begins.",
			   &outbox_decoder_memory, 64 * 1024, 64, MAX_KILOBYTES,
			   GUC_UNIT_KB);
	define_int("outbox.heartbeat_interval",
			   "Time between position records when there is nothing to publish.",
			   NULL, &outbox_heartbeat_interval, 5000, 100, 3600000,
			   GUC_UNIT_MS);
	define_int("outbox.retry_max",
			   "Longest wait between attempts to reach Kafka.",
			   NULL, &outbox_retry_max, 4000, 100, 3600000, GUC_UNIT_MS);
}

static void
define_log_settings(void)
{
	define_bool("outbox.event_log",
				"Keep events in the event log.",
				"Off: nothing is added to it, and what is in it stays until its time is over.",
				&outbox_event_log, true);
	define_int("outbox.log_retention",
			   "Time that events are kept in the event log.",
			   "For event types that do not say otherwise; never before they are published.",
			   &outbox_log_retention, 24 * 60, 0, 1000 * 365 * 24 * 60,
			   GUC_UNIT_MIN);
	define_int("outbox.max_retained_wal",
			   "WAL that is kept for events before that in the event log is released.",
			   "-1 means no limit.",
			   &outbox_max_retained_wal, 10 * 1024, -1, MAX_KILOBYTES,
			   GUC_UNIT_MB);
}

void
outbox_guc_init(void)
{
	if (process_shared_preload_libraries_in_progress)
		DefineCustomIntVariable("outbox.max_databases",
								"Databases of this cluster that can have the extension.",
								NULL, &outbox_max_databases, 8, 1, 1000,
								PGC_POSTMASTER, 0, NULL, NULL, NULL);
	define_link_settings();
	define_registry_settings();
	define_relay_settings();
	define_log_settings();
}
