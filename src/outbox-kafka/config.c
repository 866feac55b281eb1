/*-------------------------------------------------------------------------
 *
 * config.c
 *		librdkafka properties that people may set.
 *
 * An allow-list: several of librdkafka's properties load code, run programs,
 * read files or print secrets (plugin.library.paths, ssl.engine.location,
 * ssl.providers, sasl.kerberos.kinit.cmd, sasl.oauthbearer.token.endpoint.url,
 * debug), and others would break what this program promises
 * (enable.idempotence, acks, isolation.level).  What is not listed cannot be
 * set, and what is forced afterwards (handle.c) cannot be changed.
 *
 * Lives as long as the process; written before the first handle, read only
 * afterwards.  Values may be secrets: no message repeats one.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-kafka/config.h"

typedef struct Property
{
	char	   *name;
	char	   *value;
	struct Property *next;
} Property;

struct OutboxKafkaConfig
{
	Property   *first;
};

#define ALLOW_PLAINTEXT_SASL	"outbox.allow.sasl.plaintext"

/* What file and caller may both set. */
static const char *const allowed[] = {
	/* the connection */
	"bootstrap.servers", "client.id", "client.rack", "broker.address.family",
	"security.protocol",
	"sasl.mechanism", "sasl.mechanisms", "sasl.username", "sasl.password",
	"ssl.ca.location", "ssl.ca.pem",
	"ssl.certificate.location", "ssl.certificate.pem",
	"ssl.key.location", "ssl.key.pem", "ssl.key.password",
	"ssl.crl.location", "ssl.cipher.suites",
	"ssl.endpoint.identification.algorithm",
	"socket.timeout.ms", "socket.connection.setup.timeout.ms",
	"socket.keepalive.enable", "socket.send.buffer.bytes",
	"socket.receive.buffer.bytes", "socket.max.fails",
	"connections.max.idle.ms", "broker.address.ttl",
	"reconnect.backoff.ms", "reconnect.backoff.max.ms",
	"metadata.max.age.ms", "topic.metadata.refresh.interval.ms",
	/* batches */
	"compression.type", "compression.codec", "compression.level",
	"message.max.bytes", "batch.size", "batch.num.messages", "linger.ms",
	"queue.buffering.max.ms", "request.timeout.ms", "retry.backoff.ms",
	ALLOW_PLAINTEXT_SASL,
	/* the schema registry, see registry_http.c */
	"schema.registry.basic.auth.user.info",
	"schema.registry.bearer.auth.token",
	"schema.registry.ssl.ca.location",
	"schema.registry.ssl.certificate.location",
	"schema.registry.ssl.key.location",
	"schema.registry.ssl.key.password",
	"outbox.allow.registry.plaintext",
	NULL
};

/* What only the relay may set besides. */
static const char *const caller_allowed[] = {
	"transaction.timeout.ms", "delivery.timeout.ms",
	"schema.registry.url", OUTBOX_SINGLE_MESSAGES,
	NULL
};

/* Ours, not librdkafka's. */
static bool
is_own(const char *name)
{
	return strncmp(name, "outbox.", strlen("outbox.")) == 0 ||
		strncmp(name, "schema.registry.", strlen("schema.registry.")) == 0 ||
		strcmp(name, "transaction.timeout.ms") == 0 ||
		strcmp(name, "delivery.timeout.ms") == 0;
}

static bool
is_listed(const char *const *list, const char *name)
{
	for (; *list != NULL; list++)
		if (strcmp(*list, name) == 0)
			return true;
	return false;
}

OutboxKafkaConfig *
outbox_config_new(void)
{
	return palloc0(sizeof(OutboxKafkaConfig));
}

static Property *
find_property(const OutboxKafkaConfig *config, const char *name)
{
	for (Property *p = config->first; p != NULL; p = p->next)
		if (strcmp(p->name, name) == 0)
			return p;
	return NULL;
}

const char *
outbox_config_get(const OutboxKafkaConfig *config, const char *name)
{
	Property   *p = find_property(config, name);

	return p == NULL ? NULL : p->value;
}

/* A PEM is many lines, a property one: "\n" stands for the line's end. */
static void
unescape_newlines(char *value)
{
	char	   *to = value;

	for (char *from = value; *from != '\0'; from++)
	{
		if (from[0] == '\\' && from[1] == 'n')
		{
			*to++ = '\n';
			from++;
		}
		else
			*to++ = *from;
	}
	*to = '\0';
}

bool
outbox_config_set(OutboxKafkaConfig *config, OutboxConfigSource source,
				  const char *name, const char *value, OutboxResult *result)
{
	Property   *p;
	size_t		len = strlen(name);

	if (!is_listed(allowed, name) &&
		!(source == OUTBOX_CONFIG_CALLER && is_listed(caller_allowed, name)))
	{
		outbox_result_set(result, OUTBOX_CONFIG, 0,
						  "property \"%s\" cannot be set", name);
		return false;
	}
	if ((p = find_property(config, name)) == NULL)
	{
		p = palloc0(sizeof(Property));
		p->name = pstrdup(name);
		p->next = config->first;
		config->first = p;
	}
	p->value = pstrdup(value);
	if (len > 4 && strcmp(name + len - 4, ".pem") == 0)
		unescape_newlines(p->value);
	return true;
}

/*
 * Credentials must not cross the network readable by everybody, and must not
 * be given where they are not used at all: that is always a mistake.
 */
bool
outbox_config_check(const OutboxKafkaConfig *config, OutboxResult *result)
{
	const char *protocol = outbox_config_get(config, "security.protocol");
	const char *allow = outbox_config_get(config, ALLOW_PLAINTEXT_SASL);
	const char *servers = outbox_config_get(config, "bootstrap.servers");
	bool		sasl,
				tls;

	if (protocol == NULL)
		protocol = "plaintext";
	sasl = pg_strncasecmp(protocol, "sasl_", 5) == 0;
	tls = pg_strcasecmp(protocol, "ssl") == 0 ||
		pg_strcasecmp(protocol, "sasl_ssl") == 0;

	if (servers == NULL || servers[0] == '\0')
		outbox_result_set(result, OUTBOX_CONFIG, 0,
						  "no bootstrap servers are set");
	else if (sasl && !tls && (allow == NULL || strcmp(allow, "true") != 0))
		outbox_result_set(result, OUTBOX_CONFIG, 0,
						  "security.protocol would send credentials over an "
						  "unencrypted connection; use sasl_ssl, or set "
						  ALLOW_PLAINTEXT_SASL "=true");
	else if (!sasl &&
			 (outbox_config_get(config, "sasl.username") != NULL ||
			  outbox_config_get(config, "sasl.password") != NULL))
		outbox_result_set(result, OUTBOX_CONFIG, 0,
						  "sasl.username or sasl.password is set, but "
						  "security.protocol does not use SASL");
	else
		return true;
	return false;
}

bool
outbox_config_force(rd_kafka_conf_t *conf, const char *name,
					const char *value, OutboxResult *result)
{
	char		ignored[256];	/* would repeat the value */

	if (rd_kafka_conf_set(conf, name, value, ignored, sizeof(ignored)) ==
		RD_KAFKA_CONF_OK)
		return true;
	outbox_result_set(result, OUTBOX_CONFIG, 0,
					  "the value of property \"%s\" was refused by librdkafka",
					  name);
	return false;
}

bool
outbox_config_apply(const OutboxKafkaConfig *config, rd_kafka_conf_t *conf,
					OutboxResult *result)
{
	for (Property *p = config->first; p != NULL; p = p->next)
		if (!is_own(p->name) &&
			!outbox_config_force(conf, p->name, p->value, result))
			return false;
	return true;
}
