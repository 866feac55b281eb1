/*-------------------------------------------------------------------------
 *
 * no_core.h
 *		For programs that hold secrets: what they leave when they crash.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_NO_CORE_H
#define OUTBOX_NO_CORE_H

#ifdef FRONTEND

/*
 * From here on this process leaves no core file, and no memory in what a core
 * handler is given.  To be called first of all in main().
 */
extern void outbox_no_core(void);

#endif

#endif							/* OUTBOX_NO_CORE_H */
