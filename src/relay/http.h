/*-------------------------------------------------------------------------
 *
 * http.h
 *		The launcher's end of the program outbox-http.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_RELAY_HTTP_H
#define OUTBOX_RELAY_HTTP_H

#include "postgres.h"

/* Settings; called from _PG_init(). */
extern void outbox_http_init(void);

/*
 * Start, replace or stop the program as the settings say.  In a transaction.
 * Returns how long nothing needs to be done, in ms, at most wait_ms.
 */
extern long outbox_http_look(long wait_ms);

/* After a configuration reload: files it read may have changed. */
extern void outbox_http_reload(void);

/* Readable when the program says something or ends; PGINVALID_SOCKET: none. */
extern pgsocket outbox_http_socket(void);
extern void outbox_http_receive(void);

#endif							/* OUTBOX_RELAY_HTTP_H */
