/*-------------------------------------------------------------------------
 *
 * fuzz.h
 *		What fuzz targets share.  Included once, by the target itself.
 *
 * A target is one C file of this folder with LLVMFuzzerTestOneInput(), which
 * ends with "return fuzz_end();".  It may link any room that programs see.
 * Inputs to begin with are in seeds/NAME (a file each), words of the input's
 * language in the part of NAME before the first "_" plus ".dict".
 *
 * Code for programs leaves what it palloc'd to the end of the process; a target
 * lives for millions of inputs.  So palloc() and its family are made here: each
 * piece is a malloc() of its own, whose bounds the sanitizer watches, and
 * fuzz_end() frees what is left.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OUTBOX_FUZZ_H
#define OUTBOX_FUZZ_H

#include "base/base.h"

#include <sanitizer/asan_interface.h>

/* Before each piece; poisoned, so that an underrun is seen too. */
typedef struct Piece
{
	struct Piece *next;
	struct Piece *prev;
	size_t		size;
	size_t		pad;			/* keeps what follows aligned */
} Piece;

static Piece *pieces_left;

static void
fuzz_die(const char *what)
{
	fprintf(stderr, "%s\n", what);
	abort();
}

static void
show_piece(Piece *p)
{
	__asan_unpoison_memory_region(p, sizeof(Piece));
}

static void
hide_piece(Piece *p)
{
	__asan_poison_memory_region(p, sizeof(Piece));
}

void *
palloc(Size size)
{
	Piece	   *p = malloc(sizeof(Piece) + size);

	if (p == NULL)
		fuzz_die("out of memory");
	p->size = size;
	p->prev = NULL;
	p->next = pieces_left;
	if (pieces_left != NULL)
	{
		show_piece(pieces_left);
		pieces_left->prev = p;
		hide_piece(pieces_left);
	}
	pieces_left = p;
	hide_piece(p);
	return p + 1;
}

void
pfree(void *pointer)
{
	Piece	   *p = (Piece *) pointer - 1;
	Piece	   *next,
			   *prev;

	show_piece(p);
	next = p->next;
	prev = p->prev;
	if (next != NULL)
	{
		show_piece(next);
		next->prev = prev;
		hide_piece(next);
	}
	if (prev != NULL)
	{
		show_piece(prev);
		prev->next = next;
		hide_piece(prev);
	}
	else
		pieces_left = next;
	free(p);
}

void *
repalloc(void *pointer, Size size)
{
	Piece	   *p = (Piece *) pointer - 1;
	void	   *copy = palloc(size);
	size_t		old;

	show_piece(p);
	old = p->size;
	hide_piece(p);
	memcpy(copy, pointer, Min(old, size));
	pfree(pointer);
	return copy;
}

void *
palloc0(Size size)
{
	void	   *p = palloc(size);

	memset(p, 0, size);
	return p;
}

void *
palloc_extended(Size size, int flags)
{
	return (flags & MCXT_ALLOC_ZERO) != 0 ? palloc0(size) : palloc(size);
}

char *
pnstrdup(const char *in, Size size)
{
	size_t		len = strnlen(in, size);
	char	   *copy = palloc(len + 1);

	memcpy(copy, in, len);
	copy[len] = '\0';
	return copy;
}

char *
pstrdup(const char *in)
{
	return pnstrdup(in, strlen(in));
}

/* libpgcommon's own, so that its file with all of these stays out. */
void *
pg_malloc(size_t size)
{
	void	   *p = malloc(Max(size, 1));

	if (p == NULL)
		fuzz_die("out of memory");
	return p;
}

void *
pg_malloc0(size_t size)
{
	return memset(pg_malloc(size), 0, size);
}

void *
pg_malloc_extended(size_t size, int flags)
{
	return (flags & MCXT_ALLOC_ZERO) != 0 ? pg_malloc0(size) : pg_malloc(size);
}

void *
pg_realloc(void *pointer, size_t size)
{
	void	   *p = realloc(pointer, Max(size, 1));

	if (p == NULL)
		fuzz_die("out of memory");
	return p;
}

char *
pg_strdup(const char *in)
{
	return strcpy(pg_malloc(strlen(in) + 1), in);
}

void
pg_free(void *pointer)
{
	free(pointer);
}

static int
fuzz_end(void)
{
	while (pieces_left != NULL)
		pfree(pieces_left + 1);
	return 0;
}

/*
 * A copy of exactly that size, so that reading beyond it is seen: what is
 * split from the input has the rest of the input behind it.
 */
static inline char *
fuzz_copy(const void *data, size_t len)
{
	char	   *copy = palloc(len);

	if (len > 0)
		memcpy(copy, data, len);
	return copy;
}

#endif							/* OUTBOX_FUZZ_H */
