/*-------------------------------------------------------------------------
 *
 * log_settings.h
 *		What the server must be set to for captures with mode log.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_LOG_SETTINGS_H
#define OUTBOX_LOG_SETTINGS_H

#include "postgres.h"

/* What is missing, and what to do about it; false when nothing is. */
extern bool outbox_log_settings_missing(const char **message,
										const char **hint);

/* The same as an error, for whoever is about to begin a capture. */
extern void outbox_log_settings_require(void);

#endif							/* OUTBOX_LOG_SETTINGS_H */
