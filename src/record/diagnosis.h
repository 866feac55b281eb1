/*-------------------------------------------------------------------------
 *
 * diagnosis.h
 *		Bodies of the frames DIAGNOSE and DIAGNOSIS (frame.h).
 *
 *	DIAGNOSE	u8 topics are created when missing, u32 largest event in
 *				bytes, u32 n, n x (string topic, i32 partitions that it is to
 *				have, -1 any)
 *	DIAGNOSIS	u32 n, n x (u8 OutboxSeverity, string object, string problem,
 *				string hint or null), at most OUTBOX_DIAGNOSIS_SIZE bytes
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_DIAGNOSIS_H
#define OUTBOX_DIAGNOSIS_H

#include "base/cursor.h"

#define OUTBOX_DIAGNOSIS_SIZE	(32 * 1024)

/* On the wire and in order of weight: never renumber. */
typedef enum OutboxSeverity
{
	OUTBOX_SEVERITY_OK = 0,
	OUTBOX_SEVERITY_INFO = 1,
	OUTBOX_SEVERITY_WARNING = 2,
	OUTBOX_SEVERITY_ERROR = 3
} OutboxSeverity;

/* Texts borrow from the buffer and are not terminated. */
typedef struct OutboxFinding
{
	OutboxSeverity severity;
	const char *object;
	int32		object_len;
	const char *problem;
	int32		problem_len;
	const char *hint;
	int32		hint_len;		/* -1: none */
} OutboxFinding;

extern const char *outbox_severity_name(OutboxSeverity severity);

/* A DIAGNOSIS being written. */
typedef struct OutboxFindings
{
	StringInfoData body;
	uint32		count;
	uint32		omitted;		/* for want of room */
	OutboxSeverity worst_omitted;
} OutboxFindings;

extern void outbox_findings_init(OutboxFindings *findings);
extern void outbox_findings_add(OutboxFindings *findings,
								OutboxSeverity severity, const char *object,
								const char *problem, const char *hint);

/* No more comes: the body is complete. */
extern void outbox_findings_finish(OutboxFindings *findings);

/*
 * Read a DIAGNOSIS: the number of findings, or -1 when the body is damaged or
 * too large.  With findings not NULL they are stored there; that many fit.
 */
extern int	outbox_diagnosis_read(const char *body, size_t len,
								  OutboxFinding *findings);

#endif							/* OUTBOX_DIAGNOSIS_H */
