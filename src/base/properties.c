/*-------------------------------------------------------------------------
 *
 * properties.c
 *		Read a properties file that may hold secrets.
 *
 * Lines "name = value"; blanks around both are dropped, lines that start with
 * # or are empty are skipped.  The file may hold passwords, so it must be a
 * regular file that belongs to the user this program runs as and that nobody
 * else may read or write; otherwise nothing of it is used.  The rules are
 * checked on the open descriptor, so the file cannot be exchanged in between.
 *
 *-------------------------------------------------------------------------
 */
#include "base/properties.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_FILE_SIZE (256 * 1024)

/* Why the open file cannot be used, or NULL. */
static const char *
check_file(int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return "could not be examined";
	if (!S_ISREG(st.st_mode))
		return "is not a regular file";
	if (st.st_uid != geteuid())
		return "belongs to another user";
	if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		return "is accessible to group or others; its mode must be 0600 or stricter";
	if (st.st_size > MAX_FILE_SIZE)
		return "is too large";
	return NULL;
}

/* The whole file as a string, or NULL. */
static char *
read_file(int fd)
{
	char	   *text = palloc0(MAX_FILE_SIZE + 1);
	ssize_t		n,
				len = 0;

	while ((n = read(fd, text + len, MAX_FILE_SIZE - len)) > 0)
		len += n;
	if (n == 0 && memchr(text, '\0', len) == NULL)
		return text;
	explicit_bzero(text, MAX_FILE_SIZE);
	pfree(text);
	return NULL;
}

/* Cut blanks off both ends, in place. */
static char *
trim(char *s)
{
	size_t		len;

	while (isspace((unsigned char) *s))
		s++;
	len = strlen(s);
	while (len > 0 && isspace((unsigned char) s[len - 1]))
		s[--len] = '\0';
	return s;
}

static bool
parse_line(char *line, int number, const char *path,
		   OutboxPropertyHandler handler, void *arg,
		   char *error, size_t error_size)
{
	char	   *name = trim(line);
	char	   *equals;
	const char *why;

	if (*name == '\0' || *name == '#')
		return true;
	if ((equals = strchr(name, '=')) == NULL)
	{
		snprintf(error, error_size,
				 "line %d of properties file \"%s\" is not \"name = value\"",
				 number, path);
		return false;
	}
	*equals = '\0';
	name = trim(name);
	if ((why = handler(arg, name, trim(equals + 1))) == NULL)
		return true;
	snprintf(error, error_size,
			 "line %d of properties file \"%s\": property \"%.100s\" %s",
			 number, path, name, why);
	return false;
}

bool
outbox_properties_read(const char *path, OutboxPropertyHandler handler,
					   void *arg, char *error, size_t error_size)
{
	int			fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	const char *why;
	char	   *text = NULL;
	bool		ok = true;
	int			number = 0;

	if (fd < 0)
	{
		snprintf(error, error_size,
				 "could not open properties file \"%s\": %s", path,
				 strerror(errno));
		return false;
	}
	why = check_file(fd);
	if (why == NULL && (text = read_file(fd)) == NULL)
		why = "could not be read";
	close(fd);
	if (why != NULL)
	{
		snprintf(error, error_size, "properties file \"%s\" %s", path, why);
		return false;
	}
	for (char *line = text, *end; ok && *line != '\0'; line = end)
	{
		end = strchrnul(line, '\n');
		if (*end != '\0')
			*end++ = '\0';
		ok = parse_line(line, ++number, path, handler, arg, error, error_size);
	}
	explicit_bzero(text, MAX_FILE_SIZE);
	pfree(text);
	return ok;
}
