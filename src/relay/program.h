/*-------------------------------------------------------------------------
 *
 * program.h
 *		Start and end a program of ours as a child without shared memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_PROGRAM_H
#define OUTBOX_PROGRAM_H

#include "postgres.h"

#define OUTBOX_PROGRAM_FD	"3" /* the socket's number in the child */

/*
 * Path of a program: the setting's value, or the program beside the server's
 * own when that is empty.  Throws when it cannot be executed.
 */
extern void outbox_program_find(char path[MAXPGPATH], const char *value,
								const char *name, const char *setting);

/*
 * Start it with one end of a socket pair as OUTBOX_PROGRAM_FD; *sock is the
 * other end, non-blocking.  argv[0] is the program's path.
 */
extern pid_t outbox_program_start(char *const argv[], pgsocket *sock);

/* Close the socket, kill what has not ended by itself, and reap it. */
extern void outbox_program_end(pid_t pid, pgsocket sock);

#endif							/* OUTBOX_PROGRAM_H */
