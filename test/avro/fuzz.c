/*-------------------------------------------------------------------------
 *
 * fuzz.c
 *		test/fuzz/avro_decode.c where there is no libFuzzer: five seconds of
 *		mutated seeds, with sanitizers.
 *
 *		fuzz [SECONDS [SEED]]
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz/avro_decode.c"

#include <time.h>

static uint64 rng;

static uint32
below(uint32 n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32) ((rng >> 11) % n);
}

#define SEED(s) {s, sizeof(s) - 1}

static const struct
{
	const char *data;
	size_t		len;
}			seeds[] = {
	SEED("{\"type\":\"record\",\"name\":\"a.R\",\"doc\":\"\\u00e9\",\"fields\":[{\"name\":\"n\",\"type\":[\"null\",\"R\"],\"default\":null},{\"name\":\"e\",\"type\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"],\"default\":\"A\"},\"default\":\"B\"},{\"name\":\"m\",\"type\":{\"type\":\"map\",\"values\":{\"type\":\"array\",\"items\":\"long\"}},\"default\":{\"k\":[1,2]}}]}\0\x02\0\x02\0\x02\x02k\x02\x04\0\0"),
	SEED("[\"null\",\"int\",{\"type\":\"fixed\",\"name\":\"F\",\"size\":12,\"logicalType\":\"duration\"},{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":20,\"scale\":3}]\0\x06\x10\x80\1\2\3\4\5\6\7"),
	SEED("{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":\"T\",\"fields\":[{\"name\":\"a\",\"type\":{\"type\":\"int\",\"logicalType\":\"date\"}},{\"name\":\"b\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}},{\"name\":\"c\",\"type\":{\"type\":\"int\",\"logicalType\":\"time-millis\"}},{\"name\":\"d\",\"type\":\"double\"},{\"name\":\"f\",\"type\":\"float\"},{\"name\":\"s\",\"type\":\"string\"}]}}\0\x03\x20\x02\x04\x06\0\0\0\0\0\0\xf0\x3f\0\0\0\0\x06" "abc\0"),
	SEED("{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":\"Z\",\"fields\":[{\"name\":\"z\",\"type\":\"null\"}]}}\0\x10\0"),
	SEED("{\"type\":\"record\",\"name\":\"A\",\"fields\":[{\"name\":\"b\",\"type\":{\"type\":\"record\",\"name\":\"B\",\"fields\":[{\"name\":\"x\",\"type\":\"bytes\",\"default\":\"\\u0000\\u00ff\"}]},\"default\":{}},{\"name\":\"u\",\"type\":{\"type\":\"string\",\"logicalType\":\"uuid\"}}]}\0\x02x\x02y"),
	SEED("{\"type\":\"record\",\"name\":\"S\",\"fields\":[{\"name\":\"s\",\"type\":\"S\"}]}\0")
};

/* Pieces that matter to either parser. */
static const char *const pieces[] = {"\"type\":", "\"null\"", "\"int\"", "\\u0000", "\\ud83d\\ude00", "\\\\", "[", "]", "{", "}", ",", ":",
	"\"name\":\"A\"", "\"default\":", "\"R\"", "\"fields\":[", "\"logicalType\":\"decimal\"", "\"precision\":1000", "\"namespace\":\"\"", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
"\x80", "\x01", "\xc3\xa9", "1e999", "-", "9223372036854775807"};

static size_t
mutate(uint8 *data, size_t len, size_t space)
{
	for (int n = 1 + below(6); n > 0; n--)
	{
		size_t		at = len == 0 ? 0 : below((uint32) len);
		size_t		piece;
		const char *text;

		switch (below(6))
		{
			case 0:
				if (len > 0)
					data[at] ^= (uint8) (1 << below(8));
				break;
			case 1:
				if (len > 0)
					data[at] = (uint8) below(256);
				break;
			case 2:				/* cut a piece out */
				piece = below(20);
				if (at + piece < len)
				{
					memmove(data + at, data + at + piece, len - at - piece);
					len -= piece;
				}
				break;
			case 3:				/* repeat a piece */
				piece = below(60);
				if (at + piece < len && len + piece <= space)
				{
					memmove(data + at + piece, data + at, len - at);
					len += piece;
				}
				break;
			default:
				text = pieces[below(lengthof(pieces))];
				piece = strlen(text);
				if (len + piece <= space)
				{
					memmove(data + at + piece, data + at, len - at);
					memcpy(data + at, text, piece);
					len += piece;
				}
		}
	}
	return len;
}

int
main(int argc, char **argv)
{
	int			seconds = argc > 1 ? atoi(argv[1]) : 5;
	time_t		end = time(NULL) + seconds;
	uint8		work[4096];
	long		runs = 0;

	rng = UINT64CONST(88172645463325252) + (argc > 2 ? atoi(argv[2]) : 0);
	while (time(NULL) < end)
	{
		int			seed = below(lengthof(seeds));
		size_t		len = seeds[seed].len;
		uint8	   *copy;

		memcpy(work, seeds[seed].data, len);
		len = mutate(work, len, sizeof(work));
		/* of exactly that size, so that the sanitizer sees overreads */
		copy = malloc(len + 1);
		memcpy(copy + 1, work, len);
		LLVMFuzzerTestOneInput(copy + 1, len);
		free(copy);
		runs++;
	}
	printf("ok 1 - %ld mutated inputs, no crash\n1..1\n", runs);
	return 0;
}
