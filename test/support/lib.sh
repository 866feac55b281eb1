# Shared by check.sh, demo.sh and test/matrix: sourced, not run.
# The caller sets $root, in which $0 lies, and then $run, its own folder below
# $work/run.
set -euo pipefail
umask 022

# The caller's own server is none of ours.
for name in ${!PG@}; do
	case $name in PG_CONFIG | PG_MAJOR) ;; *) unset "$name" ;; esac
done

work=${OUTBOX_WORK:-$root/.work}
kafka=$root/test/support/kafka
instance=$root/test/support/instance
declare -A running=()		# process groups that run now, each with its title

die() { echo "${0##*/}: $*" >&2; exit 1; }

# PostgreSQL refuses root: then everything that may start a server runs as the
# user postgres.
as_user() {
	if [ "$(id -u)" = 0 ]; then
		HOME=$run runuser -u postgres -- "$@"
	else
		"$@"
	fi
}

# step TITLE COMMAND...: output goes to a log, shown when it fails; a line
# every ten seconds says that it still runs.  Also sets $elapsed.
step() {
	local title=$1 log
	shift
	log=$work/logs/$(tr -cs 'A-Za-z0-9\n' - <<<"$title").log
	mkdir -p "$work/logs"
	background "$title" 0 "$log" "$@"
	if [ $outcome != 0 ]; then
		echo "--- the end of ${log#"$root"/}:"
		tail -30 "$log"
		die "$title: failed"
	fi
	echo "$title: done (${elapsed} s)"
}

# launch TITLE LOG COMMAND...: starts it in a process group of its own, so that
# Ctrl-C reaches this shell alone, which then ends the group.  Sets $launched.
launch() {
	local title=$1 log=$2
	shift 2
	set -m
	("$@") >"$log" 2>&1 </dev/null &
	launched=$!
	set +m
	running[$launched]=$title
}

# reap PID: waits for it and sets $outcome to its exit status.
reap() {
	outcome=0
	wait "$1" || outcome=$?
	unset "running[$1]"
}

# background TITLE LIMIT LOG COMMAND...: runs it to its end.
# LIMIT in seconds, 0 for none.  Sets $outcome to its exit status and returns 0:
# called in a condition, the shell would ignore errors inside COMMAND.
background() {
	local title=$1 limit=$2 log=$3 began=$SECONDS ticks=0
	shift 3
	launch "$title" "$log" "$@"
	while kill -0 "$launched" 2>/dev/null; do
		sleep 0.2
		ticks=$((ticks + 1))
		if [ $((ticks % 50)) = 0 ]; then
			echo "  ... $title ($((SECONDS - began)) s): $(tail -1 "$log" | tr -cd '[:print:]' | cut -c1-60)"
		fi
		overdue "$launched" "$began" "$limit" "$log" || break
	done
	reap "$launched"
	elapsed=$((SECONDS - began))
}

# overdue PID BEGAN LIMIT LOG: ends a group whose time is over, then false.
overdue() {
	if [ "$3" = 0 ] || [ $((SECONDS - $2)) -lt "$3" ]; then return 0; fi
	echo "# no end within $3 s: stopped" >>"$4"
	end_group "$1"
	return 1
}

end_group() {
	local i
	kill -TERM -- "-$1" 2>/dev/null || return 0
	for i in 1 2 3 4 5 6 7 8 9 10; do
		kill -0 -- "-$1" 2>/dev/null || return 0
		sleep 0.5
	done
	kill -KILL -- "-$1" 2>/dev/null || true
}

# Ends what tests may have left: only servers whose data lies in $run.
sweep() {
	local f pid ctl
	for pid in "${!running[@]}"; do end_group "$pid"; done
	running=()
	[ -d "$run" ] || return 0
	ctl=$(ls -d "$work"/pg/usr/lib/postgresql/*/bin/pg_ctl 2>/dev/null | head -1)
	while read -r f; do
		if [ -n "$ctl" ]; then
			as_user "$ctl" -D "${f%/postmaster.pid}" -s -m immediate -w -t 10 stop >/dev/null 2>&1 || true
		fi
	done < <(find "$run" -name postmaster.pid 2>/dev/null)
	while read -r f; do
		[ ! -e "${f%/*}/pid" ] || as_user "$kafka" stop "${f%/*}" || true
	done < <(find "$run" -name server.properties 2>/dev/null)
	while read -r f; do
		[ ! -e "${f%/*}/pid" ] || as_user "$root/test/support/debezium" stop "${f%/*}" || true
	done < <(find "$run" -name worker.properties 2>/dev/null)
	while read -r f; do
		[ ! -e "${f%/*}/pid" ] || as_user "$root/test/support/apicurio" stop "${f%/*}" || true
	done < <(find "$run" -name url 2>/dev/null)
	while read -r f; do
		rm -rf "$(cat "$f")" "$f"
	done < <(find "$run" -maxdepth 3 -name socket -type f 2>/dev/null)
}

# The tests' user must be able to read the project.  Where it cannot (a clone in
# the home of root), a copy that it can read does the work, and goes away.
ensure_reachable() {
	local copy rc=0
	if [ "$(id -u)" != 0 ]; then return; fi
	id postgres >/dev/null 2>&1 || die "there is no user postgres to run the server as"
	if runuser -u postgres -- test -r "$root/Makefile" && runuser -u postgres -- test -r "$root/outbox.control" &&
		runuser -u postgres -- test -r "$root/test/support/lib.sh"; then
		return
	fi
	[ "${keep:-0}" = 0 ] || die "--keep needs a clone that the user postgres can read, not $root"
	copy=$(mktemp -d /tmp/outbox-copy.XXXXXX)
	echo "The user postgres cannot read $root; working on a copy, $copy/src."
	chmod 755 "$copy"
	mkdir -p "$copy/src/.work"
	tar -C "$root" --exclude=./.git --exclude=./.work --exclude=./build --exclude='*.o' -cf - . |
		tar -C "$copy/src" -xf -
	for d in kafka apicurio avro-java registry-java debezium venv; do
		[ ! -d "$work/$d" ] || cp -a "$work/$d" "$copy/src/.work/"
	done
	chmod -R go+rX "$copy/src"
	trap 'rm -rf "$copy"' EXIT
	trap : INT TERM
	"$copy/src/${0##*/}" "$@" || rc=$?
	exit $rc
}

# A clean $run that the tests' user may write; what a killed run left is ended.
prepare_run() {
	mkdir -p "$work/logs"
	if [ "$(id -u)" = 0 ]; then
		install -d -o postgres -g postgres "$work/run" "$run"
	else
		mkdir -p "$run"
	fi
	sweep
	as_user find "$run" -mindepth 1 -delete
	as_user mkdir "$run/tmp"
}

# Builds with warnings as errors and installs into the private server.
build() {
	export PG_CONFIG
	mkdir -p "$root/sql"
	make -s -C "$root" -j2 PG_CONFIG="$PG_CONFIG" COPT=-Werror
	make -s -C "$root" install PG_CONFIG="$PG_CONFIG"
	# modules that only tests load
	for module in "$root"/test/modules/*/; do
		[ -e "$module/Makefile" ] || continue
		make -s -C "$module" PG_CONFIG="$PG_CONFIG" COPT=-Werror
		make -s -C "$module" install PG_CONFIG="$PG_CONFIG"
	done
}
private_server() { PG_CONFIG=$("$root/test/support/private-postgres" "$work/pg"); export PG_CONFIG; }
