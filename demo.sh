#!/usr/bin/env bash
# outbox in one minute: a shop writes events in its transactions, and a stock
# Kafka consumer gets each committed one exactly once, although both halves of
# the relay are killed meanwhile.
#
#	./demo.sh			all of it, then everything is stopped
#	./demo.sh --keep		leave server and broker running to play with
#	./demo.sh --stop		stop what --keep left
#	./demo.sh --bootstrap HOST:PORT	use this Kafka instead of a throw-away one
#	./demo.sh --seconds N		how long the shop is open (12)
#
# On a fresh Debian 12 it first installs the packages it needs (asking sudo if
# not root).  Apart from packages nothing outside this folder is touched: the
# server is a private copy in .work with a cluster of its own, the broker (Apache
# Kafka from Maven) listens on free ports of 127.0.0.1.  Exit status 0 only if no
# event is missing, doubled, phantom, torn or out of order per key.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$root/test/support/lib.sh"
run=$work/run/demo
clients=4 seconds=12 keep=0 bootstrap= stop=0

usage() { sed -n '2,/^root=/{/^root=/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }
arguments=("$@")
while [ $# -gt 0 ]; do
	case $1 in
		--keep) keep=1 ;;
		--stop) stop=1 ;;
		--bootstrap) bootstrap=${2:?HOST:PORT}; shift ;;
		--seconds) seconds=${2:?a number}; shift ;;
		-h | --help) usage; exit ;;
		*) usage >&2; exit 1 ;;
	esac
	shift
done
[ "$seconds" -ge 8 ] 2>/dev/null || die "--seconds takes a number from 8 on"

bold= dim= good= bad= off= colour=
if [ -t 1 ]; then
	bold=$'\033[1m' dim=$'\033[2m' good=$'\033[32m' bad=$'\033[31m' off=$'\033[0m' colour=colour
fi
say() { printf '\n%s%s%s\n' "$bold" "$*" "$off"; }
note() { printf '  %s\n' "$*"; }

shop= reader=		# the running shop.py and consume.py
finish() {
	local rc=$?
	trap - EXIT INT TERM
	[ -z "$shop" ] || end_group "$shop"
	[ -z "$reader" ] || end_group "$reader"
	if [ "$keep" = 0 ] || [ $rc != 0 ]; then sweep; fi
	exit $rc
}
trap 'exit 130' INT
trap 'exit 143' TERM
trap finish EXIT

if [ $stop = 1 ]; then exit; fi

# ---------------------------------------------------------------- preparation
began=$SECONDS
say "Preparing"
step "packages (minutes, the first time)" "$root/test/support/setup" --demo
ensure_reachable "${arguments[@]}"
private_server
prepare_run
bin=$("$PG_CONFIG" --bindir)
python=$work/venv/bin/python
step "build outbox, outbox-kafka and outbox-http" build

start_broker() { as_user "$kafka" start "$run/broker"; }
start_server() {
	cat >"$work/demo.conf" <<-CONF
	shared_preload_libraries = 'outbox'
	outbox.bootstrap_servers = '$bootstrap'
	outbox.http_listen = '$registry_port'
	log_line_prefix = '%m [%p] %q%a '
	CONF
	as_user "$instance" start "$run/server" "$work/demo.conf"
}
topic=shop.orders own_broker=1
if [ -z "$bootstrap" ]; then
	step "start a Kafka broker" start_broker
	bootstrap=$(cat "$run/broker/bootstrap")
else
	"$python" -c 'import sys; from confluent_kafka.admin import AdminClient
AdminClient({"bootstrap.servers": sys.argv[1], "log_level": 0}).list_topics(timeout=10)' "$bootstrap" 2>/dev/null ||
		die "no Kafka broker answers at $bootstrap"
	# somebody's broker may hold the topic of an earlier run
	topic=shop.orders.$(date +%s) own_broker=0
fi
registry_port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
registry=http://127.0.0.1:$registry_port
step "start a PostgreSQL cluster" start_server
# shellcheck disable=SC2046
export $(cat "$run/server/env") PGUSER=postgres PGDATABASE=shop
query() { as_user "$bin/psql" -XAtq -v ON_ERROR_STOP=1 "$@"; }

# ----------------------------------------------------------------- the shop
query -d postgres -c 'CREATE DATABASE shop'
query -v topic="$topic" -f "$root/test/demo/shop.sql" >/dev/null

say "A shop opens: $clients clients for $seconds seconds"
note "Each transaction writes rows, and events with outbox.emit() or INSERT INTO"
note "outbox.event.  Some roll back, some roll back to a savepoint.  A ledger row"
note "beside each event says afterwards what was committed."

set -m
as_user "$python" "$root/test/demo/shop.py" run "$seconds" "$clients" >"$work/logs/shop.out" 2>"$work/logs/shop.err" </dev/null &
shop=$!
set +m

child=0 relay=0 opened=$SECONDS second=-1
while kill -0 "$shop" 2>/dev/null; do
	now=$((SECONDS - opened))
	if [ $now != $second ]; then
		second=$now
		line=$(query -F ' ' -c "SELECT (SELECT count(*) FROM shop.ledger), state FROM outbox.status()" 2>/dev/null || echo "- the server restarts its sessions")
		printf '  %s%2d s%s  events committed: %-6s relay: %s\n' "$dim" "$now" "$off" "${line%% *}" "${line#* }"
	fi
	if [ $child = 0 ] && [ $now -ge $((seconds / 4)) ]; then
		child=$(query -c "SELECT child_pid FROM outbox.status() WHERE child_pid IS NOT NULL" 2>/dev/null || true)
		if [ -n "$child" ]; then
			as_user bash -c "kill -9 $child"
			note "${bold}kill -9 $child: outbox-kafka, the half that talks to Kafka${off}"
			note "  the server does not notice; the relay starts another and takes over"
		else
			child=0
		fi
	fi
	if [ $relay = 0 ] && [ $now -ge $((seconds / 2)) ]; then
		relay=$(query -c "SELECT pid FROM outbox.status() WHERE pid IS NOT NULL" 2>/dev/null || true)
		if [ -n "$relay" ]; then
			as_user bash -c "kill -9 $relay"
			note "${bold}kill -9 $relay: the relay inside PostgreSQL${off}"
			note "  PostgreSQL restarts all its sessions after such a crash; the clients reconnect"
		else
			relay=0
		fi
	fi
	sleep 0.2
done
wait "$shop" || { cat "$work/logs/shop.err"; die "the shop failed"; }
shop=
[ "$child" != 0 ] && [ "$relay" != 0 ] || die "not both halves of the relay could be killed: outbox.status() showed no process"

say "The shop has closed"
jq -r '"  transactions committed       \(.committed)",
	"  rolled back on purpose       \(.rolled_back)",
	"  rolled back to a savepoint   \(.to_savepoint)",
	"  connections lost by kill -9  \(.lost_connections)",
	"  unknown outcomes of COMMIT   \(.unknown_outcomes), of which committed: \(.unknown_committed)"' "$work/logs/shop.out"

published() {
	[ "$(query -c "SELECT pg_current_xact_id()" -c "SELECT outbox.wait_published('60 s')" | tail -1)" = t ] || {
		query -x -c 'SELECT * FROM outbox.status()'
		return 1
	}
}
step "  wait until all of it is published" published

# -------------------------------------------------------------- its schemas
. "$root/test/demo/schemas.sh"

# ------------------------------------------------------------- the other side
say "A stock Python consumer (confluent-kafka's AvroDeserializer, read_committed)"
note "Schemas come from $registry, which the server itself runs."
as_user "$python" "$root/test/consumer/consume.py" --bootstrap "$bootstrap" --registry "$registry" "$topic" >"$work/logs/seen.jsonl"
as_user "$python" "$root/test/demo/shop.py" truth >"$work/logs/truth.jsonl"
as_user "$python" "$root/test/demo/shop.py" show "$work/logs/seen.jsonl" $colour

say "SELECT * FROM outbox.status()"
query -x -F '  ' -c 'SELECT * FROM outbox.status()' | sed 's/^/  /'

say "Every committed event against every received one"
rc=0
"$python" "$root/test/consumer/verify.py" --truth "$work/logs/truth.jsonl" --seen "$work/logs/seen.jsonl" | sed 's/^/  /' || rc=$?
if [ $rc = 0 ]; then
	printf '\n%sEach committed event arrived exactly once and in order.%s (%s s)\n' "$good" "$off" $((SECONDS - began))
else
	printf '\n%sThe invariants do not hold.%s\n' "$bad" "$off"
	exit 1
fi
[ $own_broker = 1 ] || note "Left on $bootstrap: the topics $topic and outbox.position.*"

if [ $keep = 1 ]; then
	prefix=
	[ "$(id -u)" != 0 ] || prefix="runuser -u postgres -- "
	say "Left running; ./demo.sh --stop ends it"
	note "psql:      $prefix$bin/psql -h $PGHOST -p $PGPORT -U postgres shop"
	note "emit:      SELECT outbox.emit('order.paid', '{\"customer\": \"me\", \"order_no\": 1, \"cents\": 5, \"method\": \"cash\"}', key => 'me');"
	note "consumer:  $python $root/test/consumer/consume.py --bootstrap $bootstrap --registry $registry --follow $topic"
	note "schemas:   curl $registry/subjects; curl $registry/metrics"
fi
