/*-------------------------------------------------------------------------
 *
 * no_nls.c
 *		Preloaded into a server that runs with clang's address sanitizer: no
 *		translated messages.
 *
 * With the sanitizer's runtime preloaded, a server of Debian hangs in its first
 * bindtextdomain(): the C library's lock below it was left in a wrong state by
 * what ran while the libraries were loaded.  The fuzzed server needs no
 * translations, so it never comes there.
 *
 *-------------------------------------------------------------------------
 */

char	   *bindtextdomain(const char *domain, const char *dir);
char	   *textdomain(const char *domain);

char *
bindtextdomain(const char *domain, const char *dir)
{
	(void) domain;
	return (char *) dir;
}

char *
textdomain(const char *domain)
{
	return (char *) domain;
}
