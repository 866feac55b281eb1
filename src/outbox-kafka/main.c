/*-------------------------------------------------------------------------
 *
 * main.c
 *		outbox-kafka: the program that speaks to Kafka.
 *
 * Reads the command line and goes into one of the modes; each mode is a file
 * of its own.  Holds no state.
 *
 *-------------------------------------------------------------------------
 */
#include "base/base.h"

#include "base/no_core.h"
#include "outbox-kafka/gone.h"
#include "outbox-kafka/publish.h"
#include "outbox-kafka/tail.h"
#include "record/frame.h"

#include <librdkafka/rdkafka.h>

#define DEFAULT_FD 3

static void
usage(FILE *to)
{
	fprintf(to,
			"outbox-kafka speaks to Kafka for the PostgreSQL extension outbox.\n"
			"\n"
			"Usage:\n"
			"  outbox-kafka publish [--fd N]   started by the relay; N is its socket (3)\n"
			"  outbox-kafka gone [--fd N]      started for rebuild_topic(), the same\n"
			"%s"
			"  outbox-kafka --version\n"
			"  outbox-kafka --help\n", outbox_tail_help);
}

/*
 * A small non-negative number, or -1.
 */
static int
parse_fd(const char *text)
{
	char	   *end;
	long		value = strtol(text, &end, 10);

	return *text == '\0' || *end != '\0' || value < 0 || value > 65535 ?
		-1 : (int) value;
}

/* A mode that speaks frames with the process that started it. */
static int
serve(void (*mode) (int fd), int argc, char **argv)
{
	int			fd = DEFAULT_FD;

	if (argc == 2 && strcmp(argv[0], "--fd") == 0)
		fd = parse_fd(argv[1]);
	else if (argc != 0)
		fd = -1;
	if (fd < 0)
	{
		usage(stderr);
		return 2;
	}
	mode(fd);
	return 0;
}

int
main(int argc, char **argv)
{
	outbox_no_core();
	if (argc >= 2 && strcmp(argv[1], "publish") == 0)
		return serve(outbox_publish, argc - 2, argv + 2);
	if (argc >= 2 && strcmp(argv[1], "gone") == 0)
		return serve(outbox_gone, argc - 2, argv + 2);
	if (argc >= 2 && strcmp(argv[1], "tail") == 0)
		return outbox_tail(argc - 1, argv + 1);
	if (argc == 2 && strcmp(argv[1], "--version") == 0)
	{
		printf("outbox-kafka, protocol version %d, librdkafka %s\n",
			   OUTBOX_PROTOCOL_VERSION, rd_kafka_version_str());
		return 0;
	}
	if (argc == 2 && strcmp(argv[1], "--help") == 0)
	{
		usage(stdout);
		return 0;
	}
	usage(stderr);
	return 2;
}
