/*-------------------------------------------------------------------------
 *
 * tail.h
 *		The mode for people: print what is in a topic.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_KAFKA_TAIL_H
#define OUTBOX_KAFKA_TAIL_H

/* Arguments after "tail".  The exit status, 2 for wrong ones. */
extern int	outbox_tail(int argc, char **argv);

/* Its part of --help. */
extern const char *const outbox_tail_help;

#endif							/* OUTBOX_KAFKA_TAIL_H */
