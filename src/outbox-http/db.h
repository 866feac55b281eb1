/*-------------------------------------------------------------------------
 *
 * db.h
 *		The database, as one worker sees it: a query in, rows or an answer
 *		out.
 *
 * The one header for statements; that it is libpq behind it, db.c alone knows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_HTTP_DB_H
#define OUTBOX_HTTP_DB_H

#include "outbox-http/request.h"

/* Connections of one worker, one per served database, opened when needed. */
typedef struct OutboxDb OutboxDb;
typedef struct OutboxRows OutboxRows;

/* What a column is, as far as metrics ask. */
typedef enum OutboxColumnKind
{
	OUTBOX_COLUMN_NUMBER,
	OUTBOX_COLUMN_LSN,
	OUTBOX_COLUMN_TIME,
	OUTBOX_COLUMN_OTHER
} OutboxColumnKind;

/* Once, before any worker: the connection's parameters from the settings. */
extern bool outbox_db_init(char *error, size_t error_size);

extern OutboxDb *outbox_db_new(void);

/* Close what has not been used for a while; no statement is under way. */
extern void outbox_db_rest(OutboxDb *db);

/*
 * Run one statement with text parameters in the request's database, as a
 * transaction of its own, within a time limit.  NULL when that failed, and
 * the request has its answer then.
 */
extern OutboxRows *outbox_db_query(OutboxDb *db, OutboxRequest *request,
								   const char *sql, int nparams,
								   const char *const *params);

extern int	outbox_rows_count(const OutboxRows *rows);
extern int	outbox_rows_columns(const OutboxRows *rows);
extern const char *outbox_rows_name(const OutboxRows *rows, int column);
extern OutboxColumnKind outbox_rows_kind(const OutboxRows *rows, int column);

/* NULL when the value is null; lives as long as the rows. */
extern const char *outbox_rows_text(const OutboxRows *rows, int row,
									int column);
extern void outbox_rows_free(OutboxRows *rows);

/* Whether the last statement of any worker there found its server. */
extern bool outbox_db_reachable(int database);

#endif							/* OUTBOX_HTTP_DB_H */
