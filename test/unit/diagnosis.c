/*-------------------------------------------------------------------------
 *
 * diagnosis.c
 *		DIAGNOSIS byte for byte, damaged and full; versions and clocks.
 *
 *-------------------------------------------------------------------------
 */
#include "unit/tap.h"

#include "outbox-kafka/diagnose.h"

/* Everything is palloc'd and lives with the process. */
const char *
__asan_default_options(void)
{
	return "detect_leaks=0";
}

static bool
is_text(const char *data, int32 len, const char *expected)
{
	return len == (int32) strlen(expected) && memcmp(data, expected, len) == 0;
}

static void
test_format(void)
{
	static const char expected[] =
		"\1\0\0\0" "\3" "\1\0\0\0o" "\2\0\0\0pp" "\377\377\377\377";
	OutboxFindings f;
	OutboxFinding read[8];
	int			refused = 0;

	outbox_findings_init(&f);
	outbox_findings_add(&f, OUTBOX_SEVERITY_ERROR, "o", "pp", NULL);
	outbox_findings_finish(&f);
	ok(f.body.len == sizeof(expected) - 1 &&
	   memcmp(f.body.data, expected, f.body.len) == 0, "DIAGNOSIS");
	ok(outbox_diagnosis_read(f.body.data, f.body.len, read) == 1 &&
	   read[0].severity == OUTBOX_SEVERITY_ERROR && read[0].hint == NULL &&
	   is_text(read[0].object, read[0].object_len, "o") &&
	   is_text(read[0].problem, read[0].problem_len, "pp"), "read again");
	for (int len = 0; len < f.body.len; len++)
	{
		char	   *part = malloc(len + 1);

		memcpy(part, f.body.data, len);
		refused += outbox_diagnosis_read(part, len, NULL) == -1;
		free(part);
	}
	ok(refused == f.body.len, "each part of it is refused");
	f.body.data[4] = 4;
	ok(outbox_diagnosis_read(f.body.data, f.body.len, NULL) == -1,
	   "no such severity");
	f.body.data[4] = 0;
	appendStringInfoChar(&f.body, 'x');
	ok(outbox_diagnosis_read(f.body.data, f.body.len, NULL) == -1,
	   "something behind it");
	memset(f.body.data, 255, 4);
	ok(outbox_diagnosis_read(f.body.data, f.body.len, NULL) == -1,
	   "a number of findings that cannot be");
	ok(strcmp(outbox_severity_name(OUTBOX_SEVERITY_WARNING), "warning") == 0,
	   "names");
}

static void
test_full(void)
{
	OutboxFindings f;
	OutboxFinding *read = palloc(OUTBOX_DIAGNOSIS_SIZE * sizeof(OutboxFinding));
	char		problem[512];
	int			n;

	memset(problem, 'p', sizeof(problem));
	problem[511] = '\0';
	outbox_findings_init(&f);
	for (int i = 0; i < 1000; i++)
		outbox_findings_add(&f, i == 999 ? OUTBOX_SEVERITY_WARNING :
							OUTBOX_SEVERITY_INFO, "topic", problem, "hint");
	outbox_findings_finish(&f);
	n = outbox_diagnosis_read(f.body.data, f.body.len, read);
	ok(n > 40 && n < 100 && f.body.len <= OUTBOX_DIAGNOSIS_SIZE,
	   "more findings than there is room for");
	snprintf(problem, sizeof(problem), "%d more findings do not fit",
			 1000 - n + 1);
	ok(is_text(read[n - 1].problem, read[n - 1].problem_len, problem) &&
	   read[n - 1].severity == OUTBOX_SEVERITY_WARNING,
	   "what was left out is told, with the worst of it");
}

/* "severity problem" of the nth finding for that version. */
static bool
says(int version, bool scram, int nth, OutboxSeverity severity,
	 const char *problem)
{
	OutboxDiagnose d = {0};
	OutboxFinding read[8];
	int			n;

	outbox_findings_init(&d.found);
	outbox_diagnose_rdkafka(&d, version, "V", scram);
	outbox_findings_finish(&d.found);
	n = outbox_diagnosis_read(d.found.body.data, d.found.body.len, read);
	return nth < n && read[nth].severity == severity &&
		strstr(pnstrdup(read[nth].problem, read[nth].problem_len),
			   problem) != NULL;
}

static void
test_versions(void)
{
	ok(says(0x010903ff, false, 0, OUTBOX_SEVERITY_ERROR, "not supported"),
	   "librdkafka 1.9");
	ok(says(0x020002ff, false, 0, OUTBOX_SEVERITY_INFO, "much CPU"),
	   "librdkafka 2.0.2");
	ok(says(0x020002ff, true, 1, OUTBOX_SEVERITY_WARNING, "SCRAM"),
	   "the same with SCRAM");
	ok(says(0x020600ff, true, 0, OUTBOX_SEVERITY_WARNING, "SCRAM") &&
	   says(0x020600ff, false, 0, OUTBOX_SEVERITY_OK, "version V"),
	   "librdkafka 2.6.0");
	ok(says(0x020601ff, true, 0, OUTBOX_SEVERITY_OK, "version V"),
	   "librdkafka 2.6.1");
}

static void
test_clock(void)
{
	ok(outbox_clock_skew(1500, 1000, 2000) == 0, "in between");
	ok(outbox_clock_skew(1000, 1000, 2000) == 0 &&
	   outbox_clock_skew(2000, 1000, 2000) == 0, "at the ends");
	ok(outbox_clock_skew(9000, 1000, 2000) == 7000, "ahead");
	ok(outbox_clock_skew(400, 1000, 2000) == -600, "behind");
}

int
main(void)
{
	test_format();
	test_full();
	test_versions();
	test_clock();
	return done();
}
