# From the scanner to the decoder and back: settings that are missing, a slot
# that takes long to build, deaths on the way, and a slot lost to others.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;
use LogCapture;

my $node = outbox_node('switch', conf => "outbox.heartbeat_interval = 500\noutbox.retry_max = 300\n");
my $topic = topic('switch');
my $list = log_conf($node);

$node->safe_psql('postgres', qq(
SELECT outbox.create_event_type('Said', format => 'json', topic => '$topic', partitions => 1);
CREATE TABLE t (id int PRIMARY KEY, v text);
));
sub said { return "SELECT outbox.emit('Said', '{\"n\": \"$_[0]\"}', key => 'k')"; }
sub run { return $node->safe_psql('postgres', join(";\n", @_)); }
sub row { return "INSERT INTO t VALUES ($_[0], 'x')"; }

my %how = (topic => $topic, format => 'json', toast => 'omit', partitions => 1);
my @args = map { "$_ => '$how{$_}'" } grep { $_ ne 'partitions' } sort keys %how;
my $capture = 'SELECT outbox.capture(' . join(', ', q('public.t'), q(mode => 'log'), 'partitions => 1', @args) . ')';

# --- settings -----------------------------------------------------------------
my ($rc, $out, $err) = $node->psql('postgres', $capture);
like($err, qr/mode "log" needs wal_level logical.*HINT:.*wal_level = logical/s, 'wal_level is missing');
$node->append_conf('postgresql.conf', "wal_level = logical\n");
$node->restart;
if ($list)
{
	($rc, $out, $err) = $node->psql('postgres', $capture);
	like($err, qr/output_plugin_libraries does not list "outbox".*HINT:.*Add outbox/s,
		'the list of output plugins is missing');
	$node->append_conf('postgresql.conf', $list);
	$node->reload;
	ok(wait_for($node, "SELECT current_setting('output_plugin_libraries') ~ 'outbox'"), 'listed');
}

# --- a long transaction -----------------------------------------------------------
my $long = $node->background_psql('postgres');
$long->query_safe('BEGIN');
$long->query_safe(said('long'));
run("BEGIN", said('p'), "PREPARE TRANSACTION 'p'");
capture_log($node, 'public.t', %how, nowait => 1);
ok(wait_for($node, q(SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'outbox logical slot'
	AND wait_event_type = 'Lock')), 'the slot waits for running transactions');
run(said('meanwhile'), row(1));
ok(wait_published($node, timeout => 20), 'publishing goes on');
is($node->safe_psql('postgres', 'SELECT active_from IS NULL FROM outbox.capture_def'), 't',
	'not active yet');

# Dead on the way: everything begins again, nothing is left behind.
kill9(relay_pid($node));
$node->poll_query_until('postgres', 'SELECT true');
ok(wait_state($node, 'streaming'), 'after the death of the relay');
run(said('again'));
eval { $long->quit };
is(summary('id', changes($node, $topic)), '!meanwhile !again', 'nothing lost, nothing twice');
run("COMMIT PREPARED 'p'");
ok(wait_active($node), 'the end of the last transaction makes it active');
run(row(2), said('now'));
is(summary('id', changes($node, $topic)), '!meanwhile !again !p c2 !now', 'from there on');

# --- back and forth under load ---------------------------------------------------------
my ($load, $o, $e) = (q(DO $$ BEGIN FOR i IN 1001..2500 LOOP
	PERFORM outbox.emit('Said', json_build_object('n', i::text)::jsonb, key => 'k');
	INSERT INTO t VALUES (i, 'x'); COMMIT; END LOOP; END $$;), '', '');
my $psql = IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-c', $load ], '>', \$o, '2>', \$e);
uncapture_log($node, 'public.t');
ok(source_is($node, 'scanner'), 'to the scanner under load');
capture_log($node, 'public.t', %how);
ok(source_is($node, 'decoder'), 'and to the decoder');
$psql->finish;
is($e, '', 'the load went through');
my @all = changes($node, $topic);
my @said = map { $_->{value}{n} } grep { $_->{value} && defined $_->{value}{n} && $_->{value}{n} =~ /^\d+$/ } @all;
is(scalar @said, 1500, 'every event once');
is(join(' ', @said), join(' ', 1001 .. 2500), 'in order');
my @rows = grep { $_ > 1000 } map { $_->{value}{after}{id} } grep { $_->{value} && $_->{value}{after} } @all;
is(scalar(grep { $rows[$_] <= $rows[ $_ - 1 ] } 1 .. $#rows), 0, 'rows in order, none twice');
my $from = $node->safe_psql('postgres', 'SELECT active_from FROM outbox.capture_def');
my $after = $node->safe_psql('postgres', "SELECT count(*) FROM t WHERE id > 1000");
ok(@rows <= $after, 'no more rows than there are');
# Without a hole but the one in between.
my $holes = grep { $rows[$_] != $rows[ $_ - 1 ] + 1 } 1 .. $#rows;
cmp_ok($holes, '<=', 1, 'rows are missing only while nothing was captured');

# --- what was changed before the last capture went ---------------------------------------
run('SELECT outbox.pause()');
ok(wait_state($node, 'paused'), 'paused');
run("INSERT INTO t SELECT i, 'x' FROM generate_series(2601, 2700) i", said('last'));
uncapture_log($node, 'public.t');
run("INSERT INTO t SELECT i, 'x' FROM generate_series(2701, 2710) i");

# Nothing gets to Kafka until the relay has ended for it and begun anew.
my $hung = child_pid($node);
kill 'STOP', $hung;
run('SELECT outbox.resume()');
ok(wait_for($node, "SELECT child_pid <> $hung FROM outbox.status()"), 'a death before that');
ok(source_is($node, 'scanner'), 'to the scanner when all of that is published');
ok(wait_for($node, "SELECT count(*) = 0 FROM pg_replication_slots WHERE slot_name LIKE 'outbox_log_%'"), 'the logical slot goes');
run(said('then'));
@all = changes($node, $topic);
is(scalar(grep { $_->{value} && $_->{value}{after} && $_->{value}{after}{id} > 2600 && $_->{value}{after}{id} <= 2700 } @all), 100,
	'changes in front of the end of the capture are published');
like(summary('id', @all), qr/c2700 !last !then$/, 'and none behind it');

# --- events in front of the slot, which the scanner has not come to ---------------------------
$long = $node->background_psql('postgres');
$long->query_safe('BEGIN');
$long->query_safe(said('never'));
capture_log($node, 'public.t', %how, nowait => 1);
ok(wait_for($node, q(SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'outbox logical slot'
	AND wait_event_type = 'Lock')), 'another slot waits');
my $stopped = relay_pid($node);
kill 'STOP', $stopped;
run(q(DO $$ BEGIN FOR i IN 1..30000 LOOP
	PERFORM outbox.emit('Said', json_build_object('n', 'e' || i)::jsonb, key => 'k'); COMMIT; END LOOP; END $$));
$long->query_safe('ROLLBACK');
eval { $long->quit };
ok(wait_for($node, q(SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'outbox logical slot')), 'it is built');
kill 'CONT', $stopped;
ok(wait_active($node), 'and used');
is(scalar(grep { $_->{value} && ($_->{value}{n} // '') =~ /^e/ } changes($node, $topic)), 30000, 'when all events in front of it are published');

# --- a slot lost to others -------------------------------------------------------------------
sub without_relay
{
	my ($what) = @_;
	run("ALTER SYSTEM SET outbox.bootstrap_servers = ''", 'SELECT pg_reload_conf()');
	wait_state($node, 'misconfigured');
	wait_for($node, "SELECT NOT bool_or(active) FROM pg_replication_slots WHERE slot_name NOT LIKE 'outbox_events_%'");
	my $answer = $what->();
	run("ALTER SYSTEM RESET outbox.bootstrap_servers", 'SELECT pg_reload_conf()');
	return $answer;
}
my $slot = slot_row($node, 'slot_name');
foreach my $loss (
	[ 'dropped', 'is missing', "SELECT pg_drop_replication_slot('$slot')" ],
	[ 'moved', 'begins at', "SELECT pg_replication_slot_advance('$slot', pg_current_wal_lsn())" ])
{
	my ($how, $words, $sql) = @$loss;
	my ($got, $error);
	without_relay(sub {
		run(row($how eq 'moved' ? 3001 : 3000));
		($got, undef, $error) = $node->psql('postgres', $sql);
		is($error, '', "slot $how");
	});
	ok(wait_state($node, 'gap'), "slot $how: state gap (DBZ-5739)");
	like(status($node)->{last_error}, qr/$words.*lost/, 'which says what is lost');
	my $last = 'after ' . $how;
	run("SELECT outbox.adopt('test')", said($last));
	ok(wait_state($node, 'streaming'), 'adopted');
	ok(wait_active($node), 'and active again');
	run(row($how eq 'moved' ? 3003 : 3002));
	like(summary('id', changes($node, $topic)), qr/!$last.* c300[23]$/, 'goes on');
}

# --- DROP EXTENSION ---------------------------------------------------------------------------
run('DROP EXTENSION outbox CASCADE');
ok(wait_for($node, 'SELECT count(*) = 0 FROM pg_replication_slots'), 'no slot is left');
$node->stop;
done_testing();
