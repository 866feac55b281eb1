/*-------------------------------------------------------------------------
 *
 * program.c
 *		Start and end a program of ours as a child without shared memory.
 *
 * Owns nothing: the caller keeps pid and socket, and has an exit callback that
 * calls outbox_program_end(), so that no child outlives it:
 *
 *	caller exits by itself	socket closed (the child ends at once), then
 *							SIGKILL, then waitpid: a postmaster that is PID 1
 *							must never reap a process that it does not know
 *	caller is killed -9		the kernel closes the socket and PDEATHSIG ends
 *							the child, which the program makes a SIGTERM and
 *							exit status 0; the postmaster restarts everything
 *	caller dies between fork and exec
 *							the same: the copy has only the socket to read
 *
 * The child shares no memory with us (TRAPS 8): after fork it touches nothing
 * of PostgreSQL's, restores signals, closes descriptors, and execs.  So its
 * death, of whatever cause, is nothing to the postmaster.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "miscadmin.h"
#include "port.h"
#include "relay/program.h"

#define CHILD_FD		3			/* OUTBOX_PROGRAM_FD */

/* Only async-signal-safe calls from here to exec. */
static void
become_child(pgsocket sock, char *const argv[])
{
	struct sigaction action;
	int			fd;

	memset(&action, 0, sizeof(action));
	action.sa_handler = SIG_DFL;
	for (int sig = 1; sig < NSIG; sig++)
		(void) sigaction(sig, &action, NULL);
	sigemptyset(&action.sa_mask);
	(void) sigprocmask(SIG_SETMASK, &action.sa_mask, NULL);
	(void) prctl(PR_SET_PDEATHSIG, SIGKILL);

	/* The postmaster signals process groups: ours is to end with the socket. */
	(void) setpgid(0, 0);

	/* Do not inherit the postmaster's protection from the OOM killer. */
	fd = open("/proc/self/oom_score_adj", O_WRONLY);
	if (fd >= 0)
	{
		(void) !write(fd, "0\n", 2);
		close(fd);
	}
	fd = open("/dev/null", O_RDONLY);
	if (fd < 0 || dup2(fd, STDIN_FILENO) < 0 || dup2(sock, CHILD_FD) < 0 ||
		fcntl(CHILD_FD, F_SETFD, 0) < 0)
		_exit(127);
	if (syscall(SYS_close_range, CHILD_FD + 1, ~0U, 0) != 0)
	{
		for (fd = CHILD_FD + 1; fd < 65536; fd++)
			close(fd);
	}
	execv(argv[0], argv);
	_exit(127);
}

void
outbox_program_find(char path[MAXPGPATH], const char *value,
					const char *name, const char *setting)
{
	if (value[0] != '\0')
		strlcpy(path, value, MAXPGPATH);
	else
	{
		strlcpy(path, my_exec_path, MAXPGPATH);
		get_parent_directory(path);
		join_path_components(path, path, name);
	}
	if (access(path, X_OK) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("could not execute program \"%s\": %m", path),
				 errhint("Install %s there or set %s.", name, setting)));
}

pid_t
outbox_program_start(char *const argv[], pgsocket *sock)
{
	int			socks[2];
	sigset_t	all,
				before;
	pid_t		pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
				   socks) != 0)
		ereport(ERROR,
				(errcode_for_socket_access(),
				 errmsg("could not create socket pair: %m")));

	/* No handler of ours may run in the copy. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0)
		become_child(socks[1], argv);
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(socks[1]);
	if (pid < 0)
	{
		close(socks[0]);
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not fork program \"%s\": %m", argv[0])));
	}
	*sock = socks[0];
	return pid;
}

void
outbox_program_end(pid_t pid, pgsocket sock)
{
	int			status;

	close(sock);
	kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		 /* try again */ ;
}
