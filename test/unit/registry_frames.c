/*-------------------------------------------------------------------------
 *
 * registry_frames.c
 *		REGISTER and REGISTERED byte for byte, and a registry's answers.
 *
 * The frames are frozen like the others (record_formats.c); damaged ones are
 * refused.  Of the answers of a registry only what needs no server is here.
 *
 *-------------------------------------------------------------------------
 */
#include "unit/tap.h"

#include <arpa/inet.h>

#include "outbox-kafka/registry_answer.h"
#include "outbox-kafka/registry_http.h"
#include "outbox-kafka/second_opinion.h"
#include "record/register.h"

/* Everything is palloc'd and lives with the process. */
const char *
__asan_default_options(void)
{
	return "detect_leaks=0";
}

static bool
same_hex(const StringInfo buf, const char *expected)
{
	StringInfoData out;
	bool		same;

	initStringInfo(&out);
	for (int i = 0; i < buf->len; i++)
		appendStringInfo(&out, "%02x", (uint8) buf->data[i]);
	same = strcmp(out.data, expected) == 0;
	if (!same)
		printf("# got      %s\n# expected %s\n", out.data, expected);
	pfree(out.data);
	return same;
}

/* The first bytes, in a block of just that size. */
static char *
part_of(const StringInfo buf, int len)
{
	char	   *copy = malloc(len + 1);

	memcpy(copy + 1, buf->data, len);
	return copy;
}

static void
test_register(void)
{
	OutboxRegister what = {
		.schema_id = 1, .external_id = 2, .flags = OUTBOX_REGISTER_CREATE,
		.subject = "s", .subject_len = 1, .schema = "\"int\"",
		.schema_len = 5, .references_len = -1, .resolved_len = -1
	};
	OutboxRegister read;
	StringInfoData buf;
	int			good = 0;

	initStringInfo(&buf);
	outbox_register_write(&buf, &what);
	ok(same_hex(&buf, "01000000" "02000000" "01" "0100000073"
				"0500000022696e7422" "ffffffff" "ffffffff"),
	   "REGISTER, byte for byte");
	ok(outbox_register_read(buf.data, buf.len, &read) &&
	   read.schema_id == 1 && read.external_id == 2 && read.flags == 1 &&
	   read.subject_len == 1 && read.subject[0] == 's' &&
	   read.schema_len == 5 && memcmp(read.schema, "\"int\"", 5) == 0 &&
	   read.references == NULL && read.resolved == NULL, "and back");
	for (int i = 0; i < buf.len; i++)
	{
		char	   *copy = part_of(&buf, i);

		good += outbox_register_read(copy + 1, i, &read);
		free(copy);
	}
	ok(good == 0, "no part of it is one");
	appendStringInfoChar(&buf, 'x');
	ok(!outbox_register_read(buf.data, buf.len, &read), "nothing may follow");

	resetStringInfo(&buf);
	what.flags = 0x10;
	outbox_register_write(&buf, &what);
	ok(!outbox_register_read(buf.data, buf.len, &read), "unknown flag");
	resetStringInfo(&buf);
	what.flags = 0;
	what.references = "[]";
	what.references_len = 2;
	outbox_register_write(&buf, &what);
	ok(!outbox_register_read(buf.data, buf.len, &read),
	   "references without what they stand for");
	resetStringInfo(&buf);
	what.resolved = "x";
	what.resolved_len = 1;
	what.subject = "a\0b";
	what.subject_len = 3;
	outbox_register_write(&buf, &what);
	ok(!outbox_register_read(buf.data, buf.len, &read),
	   "a zero byte in a subject");
	pfree(buf.data);
}

static bool
back(OutboxResultClass class, uint32 id, OutboxRegistered *read)
{
	OutboxRegistered what = {
		.schema_id = 1, .class = class, .code = -1, .external_id = id,
		.message = "m", .message_len = 1
	};
	StringInfoData buf;

	initStringInfo(&buf);
	outbox_registered_write(&buf, &what);
	return outbox_registered_read(buf.data, buf.len, read);
}

static void
test_registered(void)
{
	OutboxRegistered what = {
		.schema_id = 1, .class = OUTBOX_REFUSED, .code = 409,
		.message = "no", .message_len = 2
	};
	OutboxRegistered read;
	StringInfoData buf;
	int			good = 0;

	initStringInfo(&buf);
	outbox_registered_write(&buf, &what);
	ok(same_hex(&buf, "01000000" "05" "99010000" "00000000" "020000006e6f"),
	   "REGISTERED, byte for byte");
	ok(outbox_registered_read(buf.data, buf.len, &read) &&
	   read.class == OUTBOX_REFUSED && read.code == 409 &&
	   read.message_len == 2, "and back");
	for (int i = 0; i < buf.len; i++)
	{
		char	   *copy = part_of(&buf, i);

		good += outbox_registered_read(copy + 1, i, &read);
		free(copy);
	}
	ok(good == 0, "no part of it is one");
	ok(back(OUTBOX_OK, PG_INT32_MAX, &read) && read.external_id == PG_INT32_MAX,
	   "the largest id");
	ok(!back(OUTBOX_OK, 0, &read) && !back(OUTBOX_OK, 0x80000000U, &read) &&
	   !back(OUTBOX_REFUSED, 5, &read) &&
	   !back((OutboxResultClass) 6, 0, &read),
	   "no id with success, an id without, a class beyond");
	pfree(buf.data);
}

static bool
refused(const char *text)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
		return outbox_registry_address_refused((struct sockaddr *) &v4);
	if (inet_pton(AF_INET6, text, &v6.sin6_addr) != 1)
		return false;
	return outbox_registry_address_refused((struct sockaddr *) &v6);
}

static void
test_addresses(void)
{
	static const char *const bad[] = {
		"169.254.0.0", "169.254.169.254", "169.254.255.255", "0.0.0.0",
		"100.100.100.200", "224.0.0.1", "255.255.255.255", "::", "fe80::1",
		"febf::1", "::ffff:169.254.169.254", "fd00:ec2::254", "ff02::1",
		"64:ff9b::a9fe:a9fe"
	};
	static const char *const good[] = {
		"169.253.255.255", "169.255.0.0", "127.0.0.1", "10.0.0.1",
		"192.168.1.1", "100.100.100.201", "1.1.1.1", "::1", "fec0::1",
		"2001:db8::1", "fd00::1", "::ffff:10.0.0.1", "64:ff9b::0a00:0001"
	};
	struct sockaddr other = {.sa_family = AF_UNIX};
	int			wrong = 0;

	for (int i = 0; i < lengthof(bad); i++)
		wrong += !refused(bad[i]);
	for (int i = 0; i < lengthof(good); i++)
		wrong += refused(good[i]);
	ok(wrong == 0, "which addresses are never connected to");
	ok(outbox_registry_address_refused(&other), "nor is another family");
}

#define RECORD(fields) "{\"type\":\"record\",\"name\":\"a.R\",\"fields\":[" fields "]}"

static void
test_values(void)
{
	const char *one = RECORD("{\"name\":\"n\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}}");

	ok(outbox_registry_same_values(one,
								   "{\"name\":\"R\",\"namespace\":\"a\",\"doc\":\"x\",\"type\":\"record\",\"fields\":["
								   "{\"name\":\"n\",\"default\":1,\"aliases\":[\"m\"],\"type\":{\"logicalType\":\"timestamp-millis\",\"type\":\"long\"}}]}"),
	   "what does not decide what bytes mean is left out");
	ok(!outbox_registry_same_values(one, RECORD("{\"name\":\"n\",\"type\":\"long\"}")) &&
	   !outbox_registry_same_values(one, RECORD("{\"name\":\"n\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}}")) &&
	   !outbox_registry_same_values(one, RECORD("{\"name\":\"m\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}}")) &&
	   !outbox_registry_same_values(one, "{}") &&
	   !outbox_registry_same_values("", one),
	   "what does, is not");
}

static void
test_opinion(void)
{
	static const char *const good[] = {
		"\"string\"",
		RECORD("{\"name\":\"z\",\"doc\":\"\\\\u0000\",\"type\":\"bytes\",\"default\":\"\\u0000\\u00ff\"}"),
		RECORD(""),
		RECORD("{\"name\":\"n\",\"type\":[\"null\",\"R\"],\"default\":null}"),
		RECORD("{\"name\":\"e\",\"type\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"],\"default\":\"A\"}},"
			   "{\"name\":\"f\",\"type\":[\"null\",\"E\",{\"type\":\"map\",\"values\":{\"type\":\"array\",\"items\":\"a.R\"}}]}"),
		RECORD("{\"name\":\"d\",\"type\":{\"type\":\"fixed\",\"name\":\"b.F\",\"size\":8,\"logicalType\":\"decimal\",\"precision\":18,\"scale\":2}},"
			   "{\"name\":\"g\",\"type\":\"b.F\"}"),
		RECORD("{\"name\":\"i\",\"aliases\":[\"j\"],\"order\":\"ignore\",\"x\":{\"y\":[1]},\"type\":{\"type\":\"record\",\"name\":\"S\",\"namespace\":\"c\",\"fields\":["
			   "{\"name\":\"t\",\"type\":\"a.R\"},{\"name\":\"u\",\"type\":[\"null\",\"S\"]}]}}")
	};
	char		why[200];
	int			wrong = 0;

	for (int i = 0; i < lengthof(good); i++)
		if (!outbox_second_opinion(good[i], strlen(good[i]), why, sizeof(why)))
		{
			printf("# %s: %s\n", good[i], why);
			wrong++;
		}
	ok(wrong == 0, "avro-c agrees on schemas");
	ok(!outbox_second_opinion("{\"type\":\"recor\"}", 16, why, sizeof(why)) &&
	   why[0] != '\0', "nobody takes nonsense");
}

int
main(int argc, char **argv)
{
	test_register();
	test_registered();
	test_addresses();
	test_values();
	test_opinion();
	return done();
}
