/*-------------------------------------------------------------------------
 *
 * outbox.c
 *		Module entry: magic block and the flat list of initialisers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
}
