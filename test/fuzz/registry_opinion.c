/*-------------------------------------------------------------------------
 *
 * registry_opinion.c
 *		Fuzz target: avro-c, given what our parser takes for a schema.
 *
 * Users write schemas, and avro-c is asked about each before it is registered:
 * it must survive whatever our parser lets through.  Its verdict is free.
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz/fuzz.h"

#include "outbox-kafka/second_opinion.h"

int			LLVMFuzzerTestOneInput(const uint8 *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8 *data, size_t size)
{
	char		why[200] = "";

	if (!outbox_second_opinion(fuzz_copy(data, size), size, why,
							   sizeof(why)) && why[0] == '\0')
		fuzz_die("no reason is given");
	return fuzz_end();
}
