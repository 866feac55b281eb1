/*-------------------------------------------------------------------------
 *
 * owner.h
 *		SQL on the extension's tables on behalf of a caller who has no right
 *		to them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_OWNER_H
#define OUTBOX_OWNER_H

#include "postgres.h"

/* Who called, before the switch. */
typedef struct OutboxOwnerScope
{
	Oid			caller;
	int			context;
} OutboxOwnerScope;

/* Become the extension's owner and open SPI; back again. */
extern void outbox_owner_begin(OutboxOwnerScope *scope);
extern void outbox_owner_end(const OutboxOwnerScope *scope);

/*
 * Serialise changes of event types and outbox tables, to the end of the
 * transaction.  Emit is not held up.
 */
extern void outbox_owner_lock(void);

/* One statement; values with nulls[i] == 'n' are null.  Rows processed. */
extern uint64 outbox_owner_execute(const char *sql, int nargs,
								   const Oid *types, const Datum *values,
								   const char *nulls);

/* Whether role is one of those that src/catalog/roles.sql makes. */
extern bool outbox_owner_is_predefined(Oid role);

/* Whether role has the privileges of outbox_admin. */
extern bool outbox_owner_is_admin(Oid role);

/* First column (int4) of the first row of the last statement. */
extern int32 outbox_owner_result_int(void);

/* A column of the first row of the last statement, as palloc'd text. */
extern char *outbox_owner_result_text(int column);

/* Execute printf-formatted SQL without parameters. */
extern void outbox_owner_command(const char *format,...) pg_attribute_printf(1, 2);

#endif							/* OUTBOX_OWNER_H */
