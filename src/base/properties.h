/*-------------------------------------------------------------------------
 *
 * properties.h
 *		Read a properties file that may hold secrets.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_PROPERTIES_H
#define OUTBOX_PROPERTIES_H

#include "base/base.h"

/*
 * Called for each property, in the file's order.  Returns NULL when it was
 * taken, else the end of the sentence 'property "x" ...'; never the value.
 */
typedef const char *(*OutboxPropertyHandler) (void *arg, const char *name,
											  const char *value);

/*
 * False when the file is not as it must be, cannot be read or holds a
 * property that was not taken; then error says why, in one line.
 */
extern bool outbox_properties_read(const char *path,
								   OutboxPropertyHandler handler, void *arg,
								   char *error, size_t error_size);

#endif							/* OUTBOX_PROPERTIES_H */
