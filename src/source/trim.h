/*-------------------------------------------------------------------------
 *
 * trim.h
 *		Give freed memory back to the operating system.
 *
 * The C library keeps what was freed below the top of its heap; a relay that
 * once took a large transaction would look large for ever.  Called when there
 * is nothing to do and something large has been freed; costs some microseconds.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_TRIM_H
#define OUTBOX_TRIM_H

#ifdef __GLIBC__
#include <malloc.h>
#endif

static inline void
outbox_source_trim(void)
{
#ifdef __GLIBC__
	(void) malloc_trim(0);
#endif
}

#endif							/* OUTBOX_TRIM_H */
