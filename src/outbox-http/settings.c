/*-------------------------------------------------------------------------
 *
 * settings.c
 *		What the launcher and the properties file say.
 *
 * Secrets stay in this process: they are in no message, in no argument and in
 * no answer.  Owns the one OutboxHttpSettings and the identities of the files
 * it came from.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-http/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/properties.h"

#define MAX_PEM_SIZE (256 * 1024)

OutboxHttpSettings outbox_http_settings;

/* Files that were read, and which contents of theirs. */
static struct
{
	const char *path;
	struct stat st;
}			files[3];
static int	nfiles;

static char *
take_value(const char *name, char *value, char **unknown)
{
	static const struct
	{
		const char *name;
		size_t		offset;
	}			known[] = {
		{"listen", offsetof(OutboxHttpSettings, listen)},
		{"conninfo", offsetof(OutboxHttpSettings, conninfo)},
		{"config_file", offsetof(OutboxHttpSettings, config_file)},
		{"host", offsetof(OutboxHttpSettings, host)},
		{"port", offsetof(OutboxHttpSettings, port)},
	};

	for (size_t i = 0; i < lengthof(known); i++)
	{
		if (strcmp(name, known[i].name) == 0)
			return *(char **) ((char *) &outbox_http_settings +
							   known[i].offset) = pstrdup(value);
	}
	*unknown = value;
	return NULL;
}

/* Names as in a list of identifiers, but taken as they are. */
static bool
split_databases(char *list, char *error, size_t error_size)
{
	OutboxHttpSettings *s = &outbox_http_settings;

	for (char *name = strtok(list, ","); name != NULL; name = strtok(NULL, ","))
	{
		size_t		len;

		name += strspn(name, " \t");
		len = strlen(name);
		while (len > 0 && (name[len - 1] == ' ' || name[len - 1] == '\t'))
			name[--len] = '\0';
		if (len == 0)
			continue;
		if (s->ndatabases == OUTBOX_MAX_DATABASES)
		{
			snprintf(error, error_size,
					 "outbox.http_database names more than %d databases",
					 OUTBOX_MAX_DATABASES);
			return false;
		}
		s->databases[s->ndatabases++] = pstrdup(name);
	}
	return true;
}

static bool
names_database(const char *conninfo)
{
	for (const char *p = conninfo; (p = strstr(p, "dbname")) != NULL; p += 6)
	{
		if ((p == conninfo || strchr(" \t\n", p[-1]) != NULL) &&
			p[6 + strspn(p + 6, " \t\n")] == '=')
			return true;
	}
	return false;
}

bool
outbox_settings_take(char *block, size_t len, char *error, size_t error_size)
{
	OutboxHttpSettings *s = &outbox_http_settings;
	char	   *end = block + len;
	char	   *databases = NULL,
			   *fallback = NULL;

	if (len == 0 || end[-1] != '\0')
	{
		strlcpy(error, "no settings came from the launcher", error_size);
		return false;
	}
	while (block < end)
	{
		char	   *name = block;
		char	   *value = name + strlen(name) + 1;
		char	   *other = NULL;

		if (value >= end)
			break;
		block = value + strlen(value) + 1;
		if (take_value(name, value, &other) != NULL)
			continue;
		if (strcmp(name, "writes") == 0)
			s->writes = strcmp(other, "on") == 0;
		else if (strcmp(name, "databases") == 0)
			databases = other;
		else if (strcmp(name, "database") == 0)
			fallback = other;
	}
	if (s->listen == NULL || s->conninfo == NULL || s->config_file == NULL ||
		s->host == NULL || s->port == NULL || databases == NULL ||
		fallback == NULL)
	{
		strlcpy(error, "the launcher is of another version", error_size);
		return false;
	}
	if (!split_databases(databases, error, error_size))
		return false;
	if (s->ndatabases == 0)
	{
		s->databases[0] = names_database(s->conninfo) ? NULL : pstrdup(fallback);
		s->ndatabases = 1;
	}
	return true;
}

static bool
is_true(const char *value)
{
	return strcmp(value, "true") == 0 || strcmp(value, "on") == 0;
}

static const char *
take_property(void *arg, const char *name, const char *value)
{
	OutboxHttpSettings *s = &outbox_http_settings;

	if (strncmp(name, "user.", 5) == 0)
	{
		if (name[5] == '\0' || strchr(name, ':') != NULL)
			return "names no user";
		if (*value == '\0')
			return "has no password";
		if (s->nusers == OUTBOX_MAX_USERS)
			return "is one user too many";
		for (int i = 0; i < s->nusers; i++)
		{
			if (strcmp(s->users[i].name, name + 5) == 0)
				return "names a user for the second time";
		}
		s->users[s->nusers].name = pstrdup(name + 5);
		s->users[s->nusers++].secret = pstrdup(value);
	}
	else if (strcmp(name, "writers") == 0)
		s->writers = pstrdup(value);
	else if (strcmp(name, "tls.certificate") == 0)
		s->tls_certificate_path = pstrdup(value);
	else if (strcmp(name, "tls.key") == 0)
		s->tls_key_path = pstrdup(value);
	else if (strcmp(name, "database.password") == 0)
		s->database_password = pstrdup(value);
	else if (strcmp(name, "allow.anonymous") == 0)
		s->allow_anonymous = is_true(value);
	else
		return "cannot be set there";
	return NULL;
}

static void
remember_file(const char *path)
{
	files[nfiles].path = path;
	if (stat(path, &files[nfiles].st) != 0)
		memset(&files[nfiles].st, 0, sizeof(struct stat));
	nfiles++;
}

/* A key that others may read is refused as the server refuses its own. */
static bool
key_is_private(const struct stat *st)
{
	if (st->st_uid == geteuid())
		return (st->st_mode & (S_IRWXG | S_IRWXO)) == 0;
	return st->st_uid == 0 &&
		(st->st_mode & (S_IWGRP | S_IXGRP | S_IRWXO)) == 0;
}

static char *
read_pem(const char *path, bool is_key, char *error, size_t error_size)
{
	int			fd;
	struct stat st;
	char	   *text;
	ssize_t		n,
				len = 0;

	remember_file(path);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) != 0)
	{
		snprintf(error, error_size, "could not open file \"%s\": %s", path,
				 strerror(errno));
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	if (!S_ISREG(st.st_mode) || (is_key && !key_is_private(&st)))
	{
		snprintf(error, error_size, S_ISREG(st.st_mode) ?
				 "file \"%s\" is accessible to group or others; its mode must be 0600 or stricter" :
				 "\"%s\" is not a regular file", path);
		close(fd);
		return NULL;
	}
	text = palloc0(MAX_PEM_SIZE + 1);
	while ((n = read(fd, text + len, MAX_PEM_SIZE - len)) > 0)
		len += n;
	close(fd);
	if (n == 0 && len > 0)
		return text;
	snprintf(error, error_size, "could not read file \"%s\"", path);
	return NULL;
}

/* Users that may write: those listed, every one without a list. */
static bool
set_writers(char *error, size_t error_size)
{
	OutboxHttpSettings *s = &outbox_http_settings;

	for (int i = 0; i < s->nusers; i++)
		s->users[i].writes = s->writers == NULL;
	if (s->writers == NULL)
		return true;
	for (char *name = strtok(s->writers, ", \t"); name != NULL;
		 name = strtok(NULL, ", \t"))
	{
		int			i = 0;

		while (i < s->nusers && strcmp(s->users[i].name, name) != 0)
			i++;
		if (i == s->nusers)
		{
			snprintf(error, error_size,
					 "property \"writers\" of \"%s\" names \"%.100s\", which is no user",
					 s->config_file, name);
			return false;
		}
		s->users[i].writes = true;
	}
	return true;
}

bool
outbox_settings_read_file(char *error, size_t error_size)
{
	OutboxHttpSettings *s = &outbox_http_settings;

	if (s->config_file[0] == '\0')
		return true;
	remember_file(s->config_file);
	if (!outbox_properties_read(s->config_file, take_property, NULL, error,
								error_size) ||
		!set_writers(error, error_size))
		return false;
	if ((s->tls_certificate_path == NULL) != (s->tls_key_path == NULL))
	{
		snprintf(error, error_size,
				 "properties file \"%s\" sets one of tls.certificate and tls.key without the other",
				 s->config_file);
		return false;
	}
	if (s->tls_certificate_path == NULL)
		return true;
	s->tls_certificate = read_pem(s->tls_certificate_path, false, error,
								  error_size);
	if (s->tls_certificate == NULL)
		return false;
	s->tls_key = read_pem(s->tls_key_path, true, error, error_size);
	return s->tls_key != NULL;
}

bool
outbox_settings_stale(void)
{
	for (int i = 0; i < nfiles; i++)
	{
		struct stat now;

		if (stat(files[i].path, &now) != 0)
			memset(&now, 0, sizeof(now));
		if (now.st_ino != files[i].st.st_ino ||
			now.st_dev != files[i].st.st_dev ||
			now.st_size != files[i].st.st_size ||
			now.st_mode != files[i].st.st_mode ||
			now.st_uid != files[i].st.st_uid ||
			now.st_mtim.tv_sec != files[i].st.st_mtim.tv_sec ||
			now.st_mtim.tv_nsec != files[i].st.st_mtim.tv_nsec)
			return true;
	}
	return false;
}
