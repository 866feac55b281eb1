
# outbox.max_retained_wal: WAL is released for what the event log has, and the
# relay publishes that from the log, once and in order; what is not logged holds
# WAL; over a gap, recover() publishes what there is and names what is not.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../faults/lib";
use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;
use FaultTest;
use Time::HiRes qw(sleep);

my $broker = OutboxTest::Broker->new;
my %at = (bootstrap => $broker->bootstrap);
my $node = outbox_node('budget', %at, conf => <<'CONF');
outbox.retry_max = 1s
outbox.heartbeat_interval = 500
outbox.max_retained_wal = 60MB
max_wal_size = 64MB
min_wal_size = 32MB
CONF
my ($plain, $typed) = set_up($node);

sub sql { return $node->safe_psql('postgres', @_); }

# transactions of one to three events, and one large one
my $scripts = 0;

sub emit_much
{
	my ($n) = @_;
	sql("SELECT app.put('plain', 'k' || n % 7, jsonb_build_object('n', n, 'fill', repeat(md5(n::text), 30))) FROM generate_series(1, 2000) n");
	$node->pgbench("--no-vacuum --client=1 --transactions=$n", 0, [qr/processed/], [qr/^/], 'emit',
		{ "010_emit_" . ++$scripts => q{\set k random(1, 1000000)
			BEGIN; SELECT app.put('plain', 'k' || :client_id, jsonb_build_object('n', :k, 'fill', repeat(md5(:k::text), 30)));
			SELECT app.put('typed', 'k' || :client_id, jsonb_build_object('n', :k, 'fill', repeat('x', 500))); COMMIT} });
	return;
}

sub fill_wal { sql('CREATE TABLE IF NOT EXISTS app.filler (x text); INSERT INTO app.filler SELECT repeat(md5(n::text), 20) FROM generate_series(1, 40000) n'); sql('CHECKPOINT') for 1 .. 2; return; }

# Order within a transaction, for the checker; commits are of one session a key.
sub check_topics
{
	my ($title) = @_;
	sql('UPDATE app.truth t SET ord = o FROM (SELECT id, row_number() OVER (PARTITION BY txn ORDER BY seq) AS o FROM app.truth) x WHERE x.id = t.id AND o > 1');
	check_all($node, $title, $plain, $typed, \%at);
	return;
}

my $slot = q{SELECT restart_lsn FROM pg_replication_slots WHERE slot_name ~ '^outbox_[0-9]+$'};

# WAL that the position needs is gone.
sub released
{
	my ($before) = @_;
	for (1 .. 20)
	{
		fill_wal();
		return 1 if sql("SELECT '$before'::pg_lsn < min(pg_walfile_lsn) FROM (SELECT (('x' || substr(name, 9, 8))::bit(32)::bigint * 4294967296 + ('x' || substr(name, 17, 8))::bit(32)::bigint * 16777216)::numeric + '0/0'::pg_lsn AS pg_walfile_lsn FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}\$') w") eq 't';
	}
	diag(sql('SELECT row_to_json(s) FROM outbox.stat_log s') . "\n" . sql('SELECT row_to_json(s) FROM outbox.stat_relay s') . "\n" . sql('SELECT slot_name, restart_lsn, pg_current_wal_lsn() FROM pg_replication_slots'));
	diag(sql('SELECT id, from_lsn, from_part, to_lsn, to_part, restart_lsn, events, left_out FROM outbox.log ORDER BY id DESC LIMIT 5'));
	return 0;
}

put($node, 'plain', 10);
ok(wait_published($node), 'publishing');
my $before = sql($slot);

# ---- released, restart, Kafka back -------------------------------------------------
$broker->kill9;
wait_state($node, 'kafka_unavailable', timeout => 60);
emit_much(500);
ok(wait_for($node, q{SELECT (SELECT count(*) FROM outbox.event) >= (SELECT count(*) FROM app.truth)}), 'all is in the log');
ok(released($before), 'WAL is released while Kafka is away');
cmp_ok(sql("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) / 1048576 FROM pg_replication_slots WHERE slot_name ~ '^outbox_[0-9]+\$'"), '<', 90, 'the budget is kept');
$node->stop('immediate');
$node->start;
emit_much(100);
ok(released(sql($slot)), 'and again after a restart') ;
$broker->restart;
ok_resumed($node, 'Kafka is back');
ok(wait_published($node, timeout => 60), 'all is published');
like(slurp_file($node->logfile), qr/publishes commits from \S+ to \S+ from the event log/, 'from the event log');
like(slurp_file($node->logfile), qr/reads WAL again/, 'then from WAL');
check_topics('released, restarted');

# ---- killed while publishing from the log; paused -----------------------------------
sql('SELECT outbox.pause()');
$before = sql($slot);
emit_much(300);
ok(wait_for($node, q{SELECT (SELECT count(*) FROM outbox.event) >= (SELECT count(*) FROM app.truth)}), 'all is in the log');
ok(released($before), 'WAL is released while paused');
$node->append_conf('postgresql.conf', "outbox.batch_events = 100");
$node->reload;
sql('SELECT outbox.resume()');
foreach (1 .. 3)
{
	sleep(rand(0.4));
	my $pid = sql('SELECT pid FROM outbox.status()');
	kill('TERM', $pid) if $pid;
	my $child = sql('SELECT child_pid FROM outbox.status()');
	kill('KILL', $child) if $child;
}
ok(wait_published($node, timeout => 90), 'all is published');
check_topics('ended while publishing from the log');

# ---- what is not logged holds WAL ------------------------------------------------------
sql(q{SELECT outbox.create_event_type('unlogged', format => 'json', retention => '0')});
$broker->kill9;
wait_state($node, 'kafka_unavailable', timeout => 60);
sql(q{SELECT app.put('plain', 'k', '{"n": 1}')});
sql(q{SELECT outbox.emit('unlogged', '{"n": 1}'::jsonb)});
my $unlogged = sql('SELECT pg_current_wal_lsn()');
emit_much(50);
fill_wal() for 1 .. 6;
ok(wait_for($node, "SELECT written_lsn > '$unlogged' FROM outbox.stat_log"), 'the log is beyond it');
ok(sql("SELECT restart_lsn < '$unlogged' FROM pg_replication_slots WHERE slot_name ~ '^outbox_[0-9]+\$'") eq 't', 'an event that is not logged holds WAL');
$broker->restart;
ok_resumed($node, 'Kafka is back');
ok(wait_published($node, timeout => 60), 'all is published');
check_topics('not logged');
is(scalar(consume($node, 'outbox.event.unlogged', \%at)), 1, 'also what was not logged');

# ---- a gap ---------------------------------------------------------------------------------
sql(q{DELETE FROM app.truth});
my ($plain2, $typed2) = (topic('plain2'), topic('typed2'));
sql("SELECT outbox.alter_event_type('plain', topic => '$plain2'); SELECT outbox.alter_event_type('typed', topic => '$typed2')");
$broker->kill9;
wait_state($node, 'kafka_unavailable', timeout => 60);
$before = sql($slot);
emit_much(300);
foreach (1 .. 3) { put($node, 'plain', 20, 'small'); sleep(1.5); }
ok(wait_for($node, q{SELECT (SELECT count(*) FROM outbox.event WHERE topic LIKE '%2%') >= (SELECT count(*) FROM app.truth)}), 'all is in the log');
ok(released($before), 'WAL is released');
# One block of small transactions, and one in the midst of a large one, which is
# lost as a whole.
sql(q{CREATE TABLE app.block AS
	(SELECT * FROM outbox.log WHERE transactions = 20 AND to_part = 0 AND from_part = 0 AND to_lsn > (SELECT recorded_lsn FROM outbox.stat_relay) ORDER BY id DESC LIMIT 1)
	UNION ALL (SELECT * FROM outbox.log WHERE from_part > 0 AND to_part > 0 AND from_lsn = to_lsn AND to_lsn > (SELECT recorded_lsn FROM outbox.stat_relay) ORDER BY id LIMIT 1);
	CREATE TABLE app.lost AS SELECT e.id, e.commit_lsn FROM outbox.event e JOIN app.block b ON e.commit_lsn > b.from_lsn AND e.commit_lsn <= b.to_lsn
	UNION SELECT e.id, e.commit_lsn FROM outbox.event e WHERE e.commit_lsn = (SELECT min(m.commit_lsn) FROM outbox.event m JOIN app.block b ON m.commit_lsn > b.from_lsn WHERE b.to_part > 0)});
cmp_ok(sql('SELECT count(*) FROM app.lost'), '>', 2000, 'two blocks are to be lost, and what hangs on them');
sql('DELETE FROM app.truth WHERE id IN (SELECT id FROM app.lost); DELETE FROM outbox.log WHERE id IN (SELECT id FROM app.block)');
$broker->restart;
ok(wait_state($node, 'gap', timeout => 60), 'a block lacks: state gap');
is($node->psql('postgres', q{SELECT outbox.recover('')}), 3, 'a reason must be given');
sql(q{SELECT outbox.recover('test')});
ok_resumed($node, 'recovered');
ok(wait_published($node, timeout => 90), 'all the rest is published');
is(sql('SELECT count(*) FROM app.lost l WHERE NOT EXISTS (SELECT FROM outbox.gap g WHERE l.commit_lsn > g.from_lsn AND l.commit_lsn <= g.to_lsn)'), '0', 'what is lost is named');
is(sql('SELECT count(*) FROM outbox.gap'), '2', 'as two gaps');
is(sql(q{SELECT count(*) FROM outbox.check() WHERE object = 'outbox.gap'}), '2', 'which the doctor shows');
($plain, $typed) = ($plain2, $typed2);
check_topics('over a gap');
is($node->psql('postgres', q{SELECT outbox.recover('again')}), 3, 'nothing to recover from now');

done_testing();
