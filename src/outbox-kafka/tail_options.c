/*-------------------------------------------------------------------------
 *
 * tail_options.c
 *		Command line of "outbox-kafka tail".
 *
 * Owns no state; what it returns borrows from argv.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-kafka/tail_options.h"

#include "outbox-kafka/registry_http.h"
#include "outbox-kafka/tail.h"

#include <errno.h>
#include <getopt.h>

const char *const outbox_tail_help =
"  outbox-kafka tail TOPIC [OPTION]...   print a topic's events as JSON lines\n"
"    --bootstrap HOST:PORT,...  where Kafka is (localhost:9092)\n"
"    --config FILE              properties file, mode 0600 (TLS, SASL, ...)\n"
"    --from WHERE               beginning (default), end, an offset, or a time\n"
"                               like 2026-01-31T12:00:00Z or 2026-01-31\n"
"    --partition N              only this partition\n"
"    --schemas FILE|FOLDER      lines {\"id\": 1, \"schema\": ...}, to decode Avro:\n"
"                               psql -c \"COPY (SELECT json_build_object('id', id,\n"
"                               'schema', definition) FROM outbox.schema) TO STDOUT\"\n"
"    --registry URL,...         a schema registry, to decode Avro with its ids;\n"
"                               credentials in the properties file\n"
"    --until-end                stop at the present end instead of waiting\n"
"    --max N                    stop after N events\n"
"    --read-uncommitted         also events of open and aborted transactions\n"
"    --json                     JSON lines (the default, and the only format)\n"
"    --avro-json                values in Avro's own JSON encoding\n";

enum
{
	OPT_BOOTSTRAP = 1000, OPT_CONFIG, OPT_FROM, OPT_PARTITION, OPT_SCHEMAS,
	OPT_REGISTRY, OPT_UNTIL_END, OPT_MAX, OPT_UNCOMMITTED, OPT_JSON, OPT_AVRO_JSON, OPT_HELP
};

static const struct option long_options[] = {
	{"bootstrap", required_argument, NULL, OPT_BOOTSTRAP},
	{"config", required_argument, NULL, OPT_CONFIG},
	{"from", required_argument, NULL, OPT_FROM},
	{"partition", required_argument, NULL, OPT_PARTITION},
	{"schemas", required_argument, NULL, OPT_SCHEMAS},
	{"registry", required_argument, NULL, OPT_REGISTRY},
	{"until-end", no_argument, NULL, OPT_UNTIL_END},
	{"max", required_argument, NULL, OPT_MAX},
	{"read-uncommitted", no_argument, NULL, OPT_UNCOMMITTED},
	{"json", no_argument, NULL, OPT_JSON},
	{"avro-json", no_argument, NULL, OPT_AVRO_JSON},
	{"help", no_argument, NULL, OPT_HELP},
	{NULL, 0, NULL, 0}
};

static bool
wrong(const char *what, const char *value)
{
	fprintf(stderr, "outbox-kafka: %s: \"%s\"\n", what, value);
	return false;
}

static bool
parse_number(const char *text, int64 max, int64 *value)
{
	char	   *end;
	long long	parsed;

	errno = 0;
	parsed = strtoll(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 ||
		parsed > max)
		return false;
	*value = parsed;
	return true;
}

/*
 * The rest of a time after its seconds: nothing or "Z" for UTC, or "+HH:MM".
 */
static bool
parse_zone(const char *text, int64 *offset_seconds)
{
	int			hours,
				minutes,
				used = 0;

	*offset_seconds = 0;
	if (*text == '\0' || strcmp(text, "Z") == 0 || strcmp(text, "z") == 0)
		return true;
	if ((*text != '+' && *text != '-') ||
		sscanf(text + 1, "%2d:%2d%n", &hours, &minutes, &used) != 2 ||
		text[1 + used] != '\0' || hours > 23 || minutes > 59)
		return false;
	*offset_seconds = (hours * 60 + minutes) * 60 * (*text == '-' ? -1 : 1);
	return true;
}

static bool
parse_time(const char *text, int64 *ms)
{
	struct tm	tm = {0};
	const char *rest = strptime(text, "%Y-%m-%d", &tm);
	int64		millis = 0;
	int64		zone;

	if (rest != NULL && (*rest == 'T' || *rest == ' '))
	{
		const char *time_of_day = rest + 1;

		if ((rest = strptime(time_of_day, "%H:%M:%S", &tm)) == NULL)
			rest = strptime(time_of_day, "%H:%M", &tm);
	}
	if (rest != NULL && *rest == '.')
	{
		int			scale = 100;

		for (rest++; *rest >= '0' && *rest <= '9'; rest++, scale /= 10)
			millis += (*rest - '0') * scale;
	}
	if (rest == NULL || !parse_zone(rest, &zone))
		return false;
	*ms = ((int64) timegm(&tm) - zone) * 1000 + millis;
	return *ms >= 0;
}

static bool
parse_from(OutboxTailOptions *options, const char *text)
{
	if (strcmp(text, "beginning") == 0)
		options->from = OUTBOX_FROM_BEGINNING;
	else if (strcmp(text, "end") == 0)
		options->from = OUTBOX_FROM_END;
	else if (parse_number(text, PG_INT64_MAX, &options->from_offset))
		options->from = OUTBOX_FROM_OFFSET;
	else if (parse_time(text, &options->from_time_ms))
		options->from = OUTBOX_FROM_TIME;
	else
		return wrong("--from is neither beginning, end, an offset nor a time",
					 text);
	return true;
}

static bool
take_option(OutboxTailOptions *options, int option, const char **bootstrap,
			const char **file)
{
	int64		number;

	switch (option)
	{
		case OPT_BOOTSTRAP:
			*bootstrap = optarg;
			return true;
		case OPT_CONFIG:
			*file = optarg;
			return true;
		case OPT_FROM:
			return parse_from(options, optarg);
		case OPT_PARTITION:
			if (!parse_number(optarg, PG_INT32_MAX, &number))
				return wrong("--partition is not a number", optarg);
			options->partition = (int) number;
			return true;
		case OPT_SCHEMAS:
			options->schemas = optarg;
			return true;
		case OPT_REGISTRY:
			options->registry = optarg;
			return optarg[0] != '\0' || wrong("--registry is no URL", optarg);
		case OPT_UNTIL_END:
			options->until_end = true;
			return true;
		case OPT_MAX:
			if (!parse_number(optarg, PG_INT64_MAX, &options->max) ||
				options->max == 0)
				return wrong("--max is not a positive number", optarg);
			return true;
		case OPT_UNCOMMITTED:
			options->uncommitted = true;
			return true;
		case OPT_AVRO_JSON:
			options->avro_json = true;
			return true;
		case OPT_JSON:
			return true;
		case OPT_HELP:
			fputs(outbox_tail_help, stdout);
			exit(0);
		default:
			return false;		/* getopt has said why */
	}
}

static bool
complete_config(OutboxTailOptions *options, const char *bootstrap,
				const char *file, OutboxResult *result)
{
	options->config = outbox_config_new();
	if (file != NULL && !outbox_config_load(options->config, file, result))
		return false;
	if (bootstrap == NULL &&
		outbox_config_get(options->config, "bootstrap.servers") == NULL)
		bootstrap = "localhost:9092";
	if (bootstrap != NULL &&
		!outbox_config_set(options->config, OUTBOX_CONFIG_CALLER,
						   "bootstrap.servers", bootstrap, result))
		return false;
	if (options->registry != NULL &&
		!outbox_config_set(options->config, OUTBOX_CONFIG_CALLER,
						   OUTBOX_REGISTRY_URL, options->registry, result))
		return false;
	return outbox_config_check(options->config, result);
}

bool
outbox_tail_options(OutboxTailOptions *options, int argc, char **argv)
{
	const char *bootstrap = NULL;
	const char *file = NULL;
	OutboxResult result;
	int			option;

	memset(options, 0, sizeof(*options));
	options->partition = -1;
	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		if (!take_option(options, option, &bootstrap, &file))
			return false;
	if (optind != argc - 1)
	{
		fprintf(stderr, "outbox-kafka: tail needs the name of one topic\n");
		return false;
	}
	options->topic = argv[optind];
	if (complete_config(options, bootstrap, file, &result))
		return true;
	fprintf(stderr, "outbox-kafka: %s\n", result.message);
	return false;
}
