/*-------------------------------------------------------------------------
 *
 * fuzz.c
 *		test/fuzz/avro_fuzz.c as one of the programs that check.sh builds and
 *		runs: five seconds of mutated input, with sanitizers.
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz/avro_fuzz.c"
