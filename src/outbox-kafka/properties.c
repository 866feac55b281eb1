/*-------------------------------------------------------------------------
 *
 * properties.c
 *		Read a properties file into the configuration.
 *
 * Lines "name = value"; blanks around both are dropped, lines that start with
 * # or are empty are skipped.  The file may hold passwords, so it must be a
 * regular file that belongs to the user this program runs as and that nobody
 * else may read or write; otherwise nothing of it is used.  The rules are
 * checked on the open descriptor, so the file cannot be exchanged in between.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-kafka/config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_FILE_SIZE (256 * 1024)

static bool
check_file(int fd, const char *path, OutboxResult *result)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		outbox_result_set(result, OUTBOX_CONFIG, 0,
						  "could not examine properties file \"%s\": %s",
						  path, strerror(errno));
	else if (!S_ISREG(st.st_mode))
		outbox_result_set(result, OUTBOX_CONFIG, 0,
						  "properties file \"%s\" is not a regular file",
						  path);
	else if (st.st_uid != geteuid())
		outbox_result_set(result, OUTBOX_CONFIG, 0,
						  "properties file \"%s\" belongs to another user",
						  path);
	else if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		outbox_result_set(result, OUTBOX_CONFIG, 0,
						  "properties file \"%s\" is accessible to group or "
						  "others; its mode must be 0600 or stricter", path);
	else if (st.st_size > MAX_FILE_SIZE)
		outbox_result_set(result, OUTBOX_CONFIG, 0,
						  "properties file \"%s\" is too large", path);
	else
		return true;
	return false;
}

/*
 * Cut blanks off both ends, in place.
 */
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
parse_line(OutboxKafkaConfig *config, char *line, int number,
		   const char *path, OutboxResult *result)
{
	char	   *name = trim(line);
	char	   *equals;

	if (*name == '\0' || *name == '#')
		return true;
	if ((equals = strchr(name, '=')) == NULL)
	{
		outbox_result_set(result, OUTBOX_CONFIG, 0,
						  "line %d of properties file \"%s\" is not "
						  "\"name = value\"", number, path);
		return false;
	}
	*equals = '\0';
	name = trim(name);
	if (outbox_config_set(config, OUTBOX_CONFIG_FILE, name, trim(equals + 1),
						  result))
		return true;
	outbox_result_set(result, OUTBOX_CONFIG, 0,
					  "line %d of properties file \"%s\": property \"%.100s\" "
					  "cannot be set there", number, path, name);
	return false;
}

bool
outbox_config_load(OutboxKafkaConfig *config, const char *path,
				   OutboxResult *result)
{
	int			fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char	   *text;
	ssize_t		n,
				len = 0;
	bool		ok = true;
	int			number = 0;

	if (fd < 0)
	{
		outbox_result_set(result, OUTBOX_CONFIG, 0,
						  "could not open properties file \"%s\": %s", path,
						  strerror(errno));
		return false;
	}
	if (!check_file(fd, path, result))
	{
		close(fd);
		return false;
	}
	text = palloc0(MAX_FILE_SIZE + 1);
	while ((n = read(fd, text + len, MAX_FILE_SIZE - len)) > 0)
		len += n;
	close(fd);
	if (n < 0 || memchr(text, '\0', len) != NULL)
	{
		outbox_result_set(result, OUTBOX_CONFIG, 0,
						  "could not read properties file \"%s\"", path);
		ok = false;
	}
	for (char *line = text, *end; ok && *line != '\0'; line = end)
	{
		end = strchrnul(line, '\n');
		if (*end != '\0')
			*end++ = '\0';
		ok = parse_line(config, line, ++number, path, result);
	}
	explicit_bzero(text, MAX_FILE_SIZE);
	pfree(text);
	return ok;
}
