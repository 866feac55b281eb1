/*-------------------------------------------------------------------------
 *
 * admin.h
 *		What _PG_init needs of admin/.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_ADMIN_H
#define OUTBOX_ADMIN_H

/* Hooks that let DDL on databases and on the extension go ahead. */
extern void outbox_ddl_hooks_init(void);

#endif							/* OUTBOX_ADMIN_H */
