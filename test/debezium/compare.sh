#!/usr/bin/env bash
# The same random workload through outbox and the real Debezium connector, by
# triggers and from the log: the same events in every topic, but for what
# docs/debezium.md lists.  Prints TAP.
#
#	compare.sh [OPTION...]		options of test/cdc/run
set -uo pipefail
root=${OUTBOX_ROOT:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
python=${OUTBOX_PYTHON:-$root/.work/venv/bin/python}
seed=${OUTBOX_TEST_SEED:-1}
steps=${OUTBOX_TEST_STEPS:-1500}
count=0 bad=0

run() {
	local dir line
	dir=$(mktemp -d)
	while IFS= read -r line; do
		case $line in
			"ok "*) count=$((count + 1)); echo "ok $count -${line#*-}" ;;
			"not ok "*) count=$((count + 1)) bad=1; echo "not ok $count -${line#*-}" ;;
			1..*) ;;
			*) echo "$line" ;;
		esac
	done < <("$python" "$root/test/cdc/run" "$dir" --debezium --seed "$seed" --steps "$steps" "$@" 2>&1)
	rm -rf "$dir"
}

if [ $# -gt 0 ]; then
	run "$@"
else
	run --mode trigger --envelope debezium --identity mixed
	run --mode log --envelope mixed --identity mixed
fi
echo "1..$count"
exit $bad
