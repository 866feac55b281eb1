/*-------------------------------------------------------------------------
 *
 * errors.h
 *		SQLSTATEs of schemas and subjects.
 *
 * Each carries an error code of the Confluent Schema Registry API, so that
 * outbox-http answers with it and knows nothing else: 404xy is OB4xy, 422xy is
 * OB2xy, 409 is OB900.  SQL functions raise them by the same names.  The HTTP
 * status is the code's first three digits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_SCHEMA_ERRORS_H
#define OUTBOX_SCHEMA_ERRORS_H

#include "postgres.h"

#include "utils/elog.h"

/* 40401: no such subject */
#define OUTBOX_ERRCODE_SUBJECT_NOT_FOUND \
	MAKE_SQLSTATE('O','B','4','0','1')
/* 40402: no such version */
#define OUTBOX_ERRCODE_VERSION_NOT_FOUND \
	MAKE_SQLSTATE('O','B','4','0','2')
/* 40403: no such schema, or not under this subject */
#define OUTBOX_ERRCODE_SCHEMA_NOT_FOUND \
	MAKE_SQLSTATE('O','B','4','0','3')
/* 40404: the subject was deleted softly; only a hard delete is left */
#define OUTBOX_ERRCODE_SUBJECT_SOFT_DELETED \
	MAKE_SQLSTATE('O','B','4','0','4')
/* 40405: the subject must be deleted softly before */
#define OUTBOX_ERRCODE_SUBJECT_NOT_SOFT_DELETED \
	MAKE_SQLSTATE('O','B','4','0','5')
/* 40406: the version was deleted softly; only a hard delete is left */
#define OUTBOX_ERRCODE_VERSION_SOFT_DELETED \
	MAKE_SQLSTATE('O','B','4','0','6')
/* 40407: the version must be deleted softly before */
#define OUTBOX_ERRCODE_VERSION_NOT_SOFT_DELETED \
	MAKE_SQLSTATE('O','B','4','0','7')
/* 40408: the subject has no level of its own */
#define OUTBOX_ERRCODE_NO_SUBJECT_LEVEL \
	MAKE_SQLSTATE('O','B','4','0','8')
/* 40409: the subject has no mode of its own */
#define OUTBOX_ERRCODE_NO_SUBJECT_MODE \
	MAKE_SQLSTATE('O','B','4','0','9')

/* 42201: no Avro schema, or a reference that leads nowhere */
#define OUTBOX_ERRCODE_INVALID_SCHEMA \
	MAKE_SQLSTATE('O','B','2','0','1')
/* 42202: neither a number from 1 nor "latest" */
#define OUTBOX_ERRCODE_INVALID_VERSION \
	MAKE_SQLSTATE('O','B','2','0','2')
/* 42203: no compatibility level */
#define OUTBOX_ERRCODE_INVALID_LEVEL \
	MAKE_SQLSTATE('O','B','2','0','3')
/* 42204: no mode */
#define OUTBOX_ERRCODE_INVALID_MODE \
	MAKE_SQLSTATE('O','B','2','0','4')
/* 42205: the mode, or an event type, does not permit it */
#define OUTBOX_ERRCODE_NOT_PERMITTED \
	MAKE_SQLSTATE('O','B','2','0','5')
/* 42206: another schema refers to this version */
#define OUTBOX_ERRCODE_REFERENCE_EXISTS \
	MAKE_SQLSTATE('O','B','2','0','6')
/* 42208: no legal name of a subject */
#define OUTBOX_ERRCODE_INVALID_SUBJECT \
	MAKE_SQLSTATE('O','B','2','0','8')

/* 409: the schema breaks the subject's compatibility level */
#define OUTBOX_ERRCODE_INCOMPATIBLE_SCHEMA \
	MAKE_SQLSTATE('O','B','9','0','0')

#endif							/* OUTBOX_SCHEMA_ERRORS_H */
