/*-------------------------------------------------------------------------
 *
 * diagnosis.c
 *		Bodies of the frames DIAGNOSE and DIAGNOSIS (frame.h).
 *
 * Owns no state.  The size of a DIAGNOSIS is bounded by its writer, which
 * leaves out what does not fit and says how much: the reader keeps it in shared
 * memory.  Readers accept exactly what writers make.
 *
 *-------------------------------------------------------------------------
 */
#include "record/diagnosis.h"

/* For the row that says how many were left out. */
#define RESERVE		256
#define FIXED_SIZE	(1 + 3 * 4)	/* of a finding, beside its texts */

static const char *const severity_names[] = {
	"ok", "info", "warning", "error"
};

const char *
outbox_severity_name(OutboxSeverity severity)
{
	return severity_names[severity];
}

void
outbox_findings_init(OutboxFindings *findings)
{
	memset(findings, 0, sizeof(*findings));
	initStringInfo(&findings->body);
	outbox_put_u32(&findings->body, 0);
}

static void
put_finding(OutboxFindings *findings, OutboxSeverity severity,
			const char *object, const char *problem, const char *hint)
{
	outbox_put_u8(&findings->body, (uint8) severity);
	outbox_put_cstring(&findings->body, object);
	outbox_put_cstring(&findings->body, problem);
	outbox_put_cstring(&findings->body, hint);
	findings->count++;
}

void
outbox_findings_add(OutboxFindings *findings, OutboxSeverity severity,
					const char *object, const char *problem, const char *hint)
{
	size_t		size = FIXED_SIZE + strlen(object) + strlen(problem) +
		(hint == NULL ? 0 : strlen(hint));

	if (findings->body.len + size > OUTBOX_DIAGNOSIS_SIZE - RESERVE)
	{
		findings->omitted++;
		findings->worst_omitted = Max(findings->worst_omitted, severity);
	}
	else
		put_finding(findings, severity, object, problem, hint);
}

void
outbox_findings_finish(OutboxFindings *findings)
{
	char		text[RESERVE / 2];

	if (findings->omitted > 0)
	{
		snprintf(text, sizeof(text), "%u more findings do not fit",
				 findings->omitted);
		put_finding(findings, findings->worst_omitted, "kafka", text,
					"Mend the others first.");
	}
	outbox_store_le((uint8 *) findings->body.data, findings->count, 4);
}

int
outbox_diagnosis_read(const char *body, size_t len, OutboxFinding *findings)
{
	OutboxCursor c;
	uint32		n;

	outbox_cursor_init(&c, body, len);
	n = outbox_get_u32(&c);
	if (len > OUTBOX_DIAGNOSIS_SIZE || n > len / FIXED_SIZE)
		return -1;
	for (uint32 i = 0; i < n; i++)
	{
		OutboxFinding f = {(OutboxSeverity) outbox_get_u8(&c)};

		f.object = outbox_get_bytes(&c, &f.object_len);
		f.problem = outbox_get_bytes(&c, &f.problem_len);
		f.hint = outbox_get_bytes(&c, &f.hint_len);
		if (c.failed || f.severity > OUTBOX_SEVERITY_ERROR ||
			f.object == NULL || f.problem == NULL)
			return -1;
		if (findings != NULL)
			findings[i] = f;
	}
	return c.failed || outbox_cursor_left(&c) != 0 ? -1 : (int) n;
}
