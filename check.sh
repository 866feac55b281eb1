#!/usr/bin/env bash
# Builds and runs every test.
#
#	./check.sh			everything but the part debezium
#	./check.sh PARTS [PATTERN]	some, joined by commas; only files whose name
#					matches PATTERN
#
# Parts, in this order:
#	build		with warnings as errors, always
#	lint		layering and style (test/lint)
#	unit		C programs, with sanitizers (test/unit)
#	regress		SQL: sql/*.sql against expected/, each in its own database
#	isolation	races between sessions (test/isolation/specs)
#	avro		the encoder against avro-c and fastavro (test/avro)
#	fuzz		random input by libFuzzer, a few seconds (test/fuzz/run)
#	kafka		outbox-kafka alone against a real broker (test/kafka)
#	http		outbox-http, its API beside a real registry's (test/http)
#	tap		the whole thing against a real broker (test/t)
#	debezium	captures against the real Debezium connector (test/debezium);
#			only when asked for: some minutes, 45 MB to fetch
#
# OUTBOX_TEST_JOBS=N runs N files of the part tap side by side (1 by default):
# they wait more than they work.
#
# Packages are installed first if any is missing (test/support/setup).  Works
# with a private copy of the server in .work; logs are in .work/logs and
# .work/run.  What was started is stopped at the end, also on Ctrl-C.  Ends with
# the line "N passed, N failed"; exit status 0 if nothing failed.
#
# New files are found by themselves.  A test prints TAP: *.pl by perl, *.c built
# by test/support/unit.mk, *.sh by bash, *.py by the Python of .work/venv if the
# file is executable or named test_*.py.  They find in the environment:
# OUTBOX_ROOT, OUTBOX_PYTHON, OUTBOX_KAFKA, OUTBOX_TEST_BOOTSTRAP (a
# running broker shared by all), PG_CONFIG and,
# in part avro, PGHOST and PGPORT of a server with the extension in database
# postgres.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$root/test/support/lib.sh"
run=$work/run/check

all_parts="lint unit regress isolation avro fuzz kafka http tap"
more_parts="debezium"
file_limit=${OUTBOX_TEST_LIMIT:-900}
jobs=${OUTBOX_TEST_JOBS:-1}
passed=0 failed=0 skipped=0 bad=()

usage() { sed -n '2,/^root=/{/^root=/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }

only=${1:-} pattern=${2:-}
case $only in -h | --help) usage; exit ;; esac
only=${only//,/ }
for part in $only; do
	[[ " build $all_parts $more_parts " = *" $part "* ]] || { usage >&2; die "no part is called $part"; }
done

finish() {
	local rc=$?
	trap - EXIT INT TERM
	sweep
	exit $rc
}
trap 'exit 130' INT
trap 'exit 143' TERM
trap finish EXIT

matches() { [ -z "$pattern" ] || [[ $(basename "$1") =~ $pattern ]]; }
total() { printf '  %-44s %s (%s s)\n' "$1" "$2" "$elapsed"; }
fail() { failed=$((failed + $1)); bad+=("$2"); }

# tap NAME COMMAND...: runs one test file and counts its TAP lines.
tap() {
	local name=$1
	shift
	background "$name" "$file_limit" "$(log_of "$name")" "$@"
	count_tap "$name"
}
log_of() { echo "$work/logs/${1//\//-}.log"; }

# tap_beside NAME COMMAND...: the same beside others, no more than $jobs of
# them; tap_wait LEFT: counts those that end until no more than LEFT run.
declare -A began=()
tap_beside() {
	local name=$1
	shift
	tap_wait $((jobs - 1))
	launch "$name" "$(log_of "$name")" "$@"
	began[$launched]=$SECONDS
}
tap_wait() {
	local pid name said=$SECONDS
	while [ ${#running[@]} -gt "$1" ]; do
		for pid in "${!running[@]}"; do
			name=${running[$pid]}
			if kill -0 "$pid" 2>/dev/null &&
				overdue "$pid" "${began[$pid]}" "$file_limit" "$(log_of "$name")"; then continue; fi
			reap "$pid"
			elapsed=$((SECONDS - began[$pid]))
			count_tap "$name"
			said=$SECONDS
		done
		if [ $((SECONDS - said)) -ge 10 ]; then
			echo "  ... ${running[*]}"
			said=$SECONDS
		fi
		sleep 0.2
	done
}

# What the test file printed, of which $outcome is the exit status.  Output
# without any TAP counts as one test.
count_tap() {
	local name=$1 log ok notok skip plan
	log=$(log_of "$name")
	ok=$(grep -cE '^ok\b' "$log" || true)
	skip=$(grep -ciE '^ok\b.*# skip' "$log" || true)
	notok=$(grep -cE '^not ok\b' "$log" || true)
	plan=$(sed -n 's/^1\.\.\([0-9]*\).*/\1/p' "$log" | tail -1)
	ok=$((ok - skip))
	if [ "$((ok + notok + skip))" = 0 ]; then
		if [ $outcome = 0 ] && [ "$plan" != 0 ]; then ok=1; else notok=1; fi
	elif [ "$notok" = 0 ]; then
		if [ $outcome != 0 ]; then
			notok=1; echo "# exit status $outcome" >>"$log"
		elif [ -n "$plan" ] && [ "$plan" != $((ok + skip)) ]; then
			notok=1; echo "# planned $plan tests, ran $((ok + skip))" >>"$log"
		fi
	fi
	passed=$((passed + ok)) skipped=$((skipped + skip))
	if [ "$notok" = 0 ]; then
		total "$name" "$ok ok"
	else
		total "$name" "$ok ok, $notok FAILED"
		fail "$notok" "$name"
		# each failed test with the diagnostics around it, then the end
		awk '/^ok/ {show = 0; before = ""}
			/^#/ {if (show) print; else before = before $0 "\n"}
			/^not ok/ {printf "%s", before; print; show = 1; before = ""}' "$log" |
			{ head -150; cat >/dev/null; } | sed 's/^/    /'
		echo "    --- the end of ${log#"$root"/}:"
		tail -15 "$log" | sed 's/^/    /'
	fi
}

shared_broker() {
	[ -z "${OUTBOX_TEST_BOOTSTRAP:-}" ] || return 0
	step "start a broker" as_user "$kafka" start "$run/broker"
	OUTBOX_TEST_BOOTSTRAP=$(cat "$run/broker/bootstrap")
	export OUTBOX_TEST_BOOTSTRAP
}

# One server for regress, isolation and avro.
shared_server() {
	[ -z "${PGHOST:-}" ] || return 0
	step "start a server" as_user "$instance" start "$run/server" "$root/test/regress.conf"
	# shellcheck disable=SC2046
	export $(cat "$run/server/env") PGUSER=postgres
}

programs() {
	[ -z "${programs_built:-}" ] || return 0
	step "build the test programs" make -s -C "$root" -j2 -f test/support/unit.mk PG_CONFIG="$PG_CONFIG" COPT=-Werror
	programs_built=1
}

# Runs every test file of a folder.
folder() {
	local part=$1 f name
	# scripts may use the programs, so these are built whatever the pattern
	if compgen -G "$root/test/$part/*.c" >/dev/null; then programs; fi
	for f in "$root/test/$part"/*; do
		[ -f "$f" ] && matches "$f" || continue
		name=$(basename "$f")
		case $f in
			*.c) tap "$part/${name%.c}" as_user "$root/build/unit/$part/${name%.c}" ;;
			*.pl) tap "$part/${name%.pl}" as_user perl "$f" ;;
			*.sh) tap "$part/${name%.sh}" as_user env TMPDIR="$run/tmp" bash "$f" ;;
			*.py)
				if [ -x "$f" ] || [[ $name = test_* ]]; then
					tap "$part/${name%.py}" as_user env TMPDIR="$run/tmp" "$OUTBOX_PYTHON" "$f"
				fi ;;
		esac
	done
}

part_lint() { folder lint; }
part_unit() { folder unit; }
part_avro() { shared_server; as_user "$bin/psql" -Xqc 'CREATE EXTENSION IF NOT EXISTS outbox' postgres; folder avro; }
part_fuzz() {
	matches run || matches fuzz || return 0
	step "build the fuzz targets" make -s -C "$root" -j2 -f test/support/fuzz.mk PG_CONFIG="$PG_CONFIG" COPT=-Werror
	tap fuzz/run as_user env TMPDIR="$run/tmp" OUTBOX_FUZZ_BUILT=1 "$root/test/fuzz/run"
}
part_kafka() { shared_broker; folder kafka; }
part_http() { folder http; }
part_debezium() { step "the connector" "$root/test/support/debezium" fetch; folder debezium; }

part_tap() {
	local f name dir
	shared_broker
	mkdir -p "$work/logs"
	for f in "$root"/test/t/*.pl; do
		[ -f "$f" ] && matches "$f" || continue
		name=$(basename "$f" .pl)
		dir=$run/tap/$name
		as_user mkdir -p "$dir"
		# TESTDIR is what 15 looks at, the other two 16 and later
		tap_beside "tap/$name" as_user env -u PGHOST -u PGPORT -u PGUSER -C "$dir" \
			TESTDIR="$dir" TESTDATADIR="$dir/tmp_check" TESTLOGDIR="$dir/tmp_check/log" \
			PATH="$bin:$PATH" PG_REGRESS="$pgxs/src/test/regress/pg_regress" \
			PERL5LIB="$root/test/perl:$pgxs/src/test/perl" perl "$f"
	done
	tap_wait 0
}

# Each SQL file in a database of its own.  A file that does not create the
# extension itself finds it there.
regress() {
	local program=$1 input=$2 part=$3 file=$4 name db out
	name=$(basename "${file%.*}")
	db=${part}_$name
	out=$run/$part/$name
	as_user rm -rf "$out"
	as_user mkdir -p "$out"
	as_user "$bin/psql" -Xqc "CREATE DATABASE \"$db\"" postgres
	if ! grep -qiE '^ *CREATE EXTENSION .*outbox' "$file"; then
		as_user "$bin/psql" -Xqc "CREATE EXTENSION outbox" "$db" >"$out/extension.log" 2>&1 || true
	fi
	background "$part/$name" "$file_limit" "$work/logs/$part-$name.log" as_user bash -c 'cd "$1" && shift && exec "$@"' - "$out" \
		"$program" --use-existing --dbname="$db" --inputdir="$input" --outputdir="$out" --bindir="$bin" \
		--host="$PGHOST" --port="$PGPORT" --user=postgres "$name"
	if [ $outcome = 0 ]; then
		passed=$((passed + 1))
		total "$part/$name" "1 ok"
	else
		fail 1 "$part/$name"
		total "$part/$name" "FAILED"
		cat "$out/extension.log" "$out/regression.diffs" 2>/dev/null | head -80 | sed 's/^/    /' ||
			tail -15 "$work/logs/$part-$name.log" | sed 's/^/    /'
	fi
	as_user "$bin/psql" -Xqc "DROP DATABASE IF EXISTS \"$db\" WITH (FORCE)" postgres >/dev/null 2>&1 || true
}

part_regress() {
	local f
	shared_server
	for f in "$root"/sql/*.sql; do
		[ -f "$f" ] && [[ $f != */outbox--* ]] && matches "$f" || continue
		regress "$pgxs/src/test/regress/pg_regress" "$root" regress "$f"
	done
}

part_isolation() {
	local f
	shared_server
	for f in "$root"/test/isolation/specs/*.spec; do
		[ -f "$f" ] && matches "$f" || continue
		regress "$pgxs/src/test/isolation/pg_isolation_regress" "$root/test/isolation" isolation "$f"
	done
}

step "packages (minutes, the first time)" "$root/test/support/setup"
step "an older broker, for SCRAM" "$kafka" fetch --old
ensure_reachable "$@"
private_server
prepare_run
bin=$("$PG_CONFIG" --bindir)
pgxs=$("$PG_CONFIG" --pgxs)
pgxs=${pgxs%/src/makefiles/pgxs.mk}
export OUTBOX_ROOT=$root OUTBOX_PYTHON=$work/venv/bin/python OUTBOX_KAFKA=$bin/outbox-kafka
step "build with warnings as errors" build

for part in ${only:-$all_parts}; do
	[ "$part" != build ] || continue
	echo "$part"
	before=$((passed + failed))
	"part_$part"
	if [ $((passed + failed)) = "$before" ]; then
		echo "  no test found"
		fail 1 "$part (no test found)"
	fi
done

[ $skipped = 0 ] || echo "$skipped skipped"
if [ ${#bad[@]} -gt 0 ]; then
	echo "failed: ${bad[*]}"
fi
echo "$passed passed, $failed failed"
[ $failed = 0 ]
