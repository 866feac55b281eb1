/*-------------------------------------------------------------------------
 *
 * main.c
 *		outbox-kafka: the program that speaks to Kafka.
 *
 *-------------------------------------------------------------------------
 */
#include "base/base.h"

int
main(int argc, char **argv)
{
	fprintf(stderr, "usage: outbox-kafka publish | tail TOPIC\n");
	return 2;
}
