/*-------------------------------------------------------------------------
 *
 * read_table.h
 *		One chunk of a captured table, read and encoded.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_READ_TABLE_H
#define OUTBOX_READ_TABLE_H

#include "postgres.h"

#include "jobs/chunk.h"

/*
 * Reader: in a transaction of the caller's, who calls nothing else in it.  Sets
 * the chunk's head and appends its rows.  Throws what reading and encoding
 * throw.
 */
extern void outbox_read_chunk(const OutboxChunkRequest *request,
							  OutboxChunkHead *head, StringInfo rows);

#endif							/* OUTBOX_READ_TABLE_H */
