/*-------------------------------------------------------------------------
 *
 * orphan.c
 *		How a mode that a server process has started ends with that process.
 *
 * Owns the handlers of signals, from the start of the process on.
 *
 *-------------------------------------------------------------------------
 */
#include "outbox-kafka/orphan.h"

#include "outbox-kafka/link.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

static void
leave_on_signal(int signo)
{
	_exit(0);
}

static void
set_signals(void)
{
	struct sigaction action = {.sa_handler = leave_on_signal};
	sigset_t	none;

	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGQUIT, &action, NULL);
	action.sa_handler = SIG_IGN;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	sigaction(SIGPIPE, &action, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/*
 * Die with the process that made the socket, and with exit status 0: a
 * postmaster that is PID 1 inherits the orphan, and takes any other status for
 * a crash of one of its own (CleanupBackend, postmaster.c).  Stopped or not: a
 * process group that is orphaned while stopped is continued by the kernel.  If
 * the parent is gone already, the signal will not come; whoever opened the
 * other end is known to the kernel.
 */
static void
die_with_parent(int fd)
{
	struct ucred peer;
	socklen_t	len = sizeof(peer);

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
		outbox_link_leave();
	if (getppid() != peer.pid && kill(peer.pid, 0) != 0 && errno == ESRCH)
		outbox_link_leave();
}

void
outbox_orphan_init(int fd)
{
	set_signals();
	die_with_parent(fd);
}
