/*-------------------------------------------------------------------------
 *
 * base.h
 *		The one include that makes a file buildable in both worlds.
 *
 * Code in base/, record/ and the core of avro/ is compiled twice: into
 * outbox.so (the server) and into the programs (with FRONTEND defined, linked
 * with libpgcommon and libpgport).  In both worlds it may use palloc/pfree,
 * StringInfo, the c.h types and pg_crc32c; it may use neither ereport nor
 * memory contexts, and reports failure through its return value.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_BASE_H
#define OUTBOX_BASE_H

#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "lib/stringinfo.h"

#endif							/* OUTBOX_BASE_H */
