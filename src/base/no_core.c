/*-------------------------------------------------------------------------
 *
 * no_core.c
 *		No memory of this process in a core file.
 *
 * outbox-kafka and outbox-http hold passwords and private keys, and a core
 * file is read by more people than a file of mode 0600.  Two measures, as
 * either has a gap:
 *
 *	RLIMIT_CORE 0			no file; but a core handler (core_pattern with a
 *							pipe) is started all the same
 *	coredump_filter 0		the kernel, and gcore(1), write no memory at all,
 *							whoever asked; registers and notes only
 *
 * Not PR_SET_DUMPABLE: it would also take /proc/PID away from whoever looks
 * for leaked descriptors, and hides nothing from the server's own user, who
 * can read the file with the secrets.
 *
 * Owns nothing.  A failure of either is no reason not to run.  A crash before
 * the call shows nothing: nothing has been read.
 *
 *-------------------------------------------------------------------------
 */
#include "base/base.h"

#include "base/no_core.h"

#ifdef FRONTEND

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

void
outbox_no_core(void)
{
	struct rlimit none = {0, 0};
	int			fd = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);

	(void) setrlimit(RLIMIT_CORE, &none);
	if (fd < 0)
		return;
	(void) !write(fd, "0", 1);
	close(fd);
}

#endif
