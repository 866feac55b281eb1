
# The event log: what is in it is what is in the topic, in its order, whatever
# is killed; retention, rights, and troubles that must not reach the publishing.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../faults/lib";
use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;
use RegistryTest;
use FaultTest;
use Time::HiRes qw(sleep);

my $broker = OutboxTest::Broker->new;
my %at = (bootstrap => $broker->bootstrap);
my $node = outbox_node('log', %at, conf => "outbox.retry_max = 1s\noutbox.heartbeat_interval = 500\n");
my ($plain, $typed) = set_up($node);

sub sql { return $node->safe_psql('postgres', @_); }

# Of what was ever emitted: lacking in the log, there twice, with another key or
# payload, never emitted, out of order.
my $DIFFERENCES = q{
	WITH l AS MATERIALIZED (SELECT *, row_number() OVER () AS place FROM outbox.event)
	SELECT (SELECT count(*) FROM app.truth t WHERE NOT EXISTS (SELECT FROM l WHERE l.id = t.id)),
		(SELECT count(*) - count(DISTINCT id) FROM l),
		(SELECT count(*) FROM app.truth t JOIN l USING (id)
			WHERE l.aggregateid IS DISTINCT FROM t.key OR l.payload ->> 'n' IS DISTINCT FROM t.value ->> 'n' OR l.xid <> t.txn),
		(SELECT count(*) FROM l WHERE NOT EXISTS (SELECT FROM app.truth t WHERE t.id = l.id)),
		(SELECT count(*) FROM l JOIN l m ON m.place = l.place + 1
			WHERE (m.commit_lsn, m.ordinal) <= (l.commit_lsn, l.ordinal))};

sub check_log
{
	my ($title) = @_;
	wait_for($node, 'SELECT (SELECT count(*) FROM outbox.event) >= (SELECT count(*) FROM app.truth)');
	is(sql($DIFFERENCES), '0|0|0|0|0', "$title: the log has what was committed, once, in its order");
	is(sql('SELECT count(*) FROM (SELECT from_lsn, from_part, lag(to_lsn) OVER w AS l, lag(to_part) OVER w AS p FROM outbox.log WINDOW w AS (ORDER BY id)) x WHERE (from_lsn, from_part) <> (l, p)'),
		'0', "$title: without a hole");
	return;
}

sub check_topics
{
	my ($title) = @_;
	sql('UPDATE app.truth t SET ord = o FROM (SELECT id, row_number() OVER (PARTITION BY txn ORDER BY seq) AS o FROM app.truth) x WHERE x.id = t.id AND o > 1');
	wait_published($node);
	check_all($node, $title, $plain, $typed, \%at);
	return;
}

sub writer_pid { return sql('SELECT pid FROM outbox.stat_log') || 0; }

# ---- what is written ---------------------------------------------------------
put($node, 'plain', 20);
put($node, 'typed', 20);
sql(q{BEGIN; SELECT app.put('plain', 'gone', '{"n": 1}'); ROLLBACK});
sql(q{BEGIN; SELECT app.put('plain', 'a', '{"n": 2}'); SAVEPOINT s; SELECT app.put('plain', 'b', '{"n": 3}');
	ROLLBACK TO s; SELECT app.put('typed', 'c', '{"n": 4, "fill": ""}'); COMMIT});
check_log('transactions');
check_topics('transactions');

# A transaction larger than a block is cut; a forged message is not in it.
sql(q{BEGIN; SELECT app.put('plain', 'big', jsonb_build_object('n', n, 'fill', repeat(md5(n::text), 20))) FROM generate_series(1, 1500) n;
	SELECT pg_logical_emit_message(true, 'outbox', 'forged');
	SELECT app.put('plain', 'big', jsonb_build_object('n', n, 'fill', repeat(md5(n::text), 20))) FROM generate_series(1501, 3000) n; COMMIT});
check_log('a large transaction');
cmp_ok(sql('SELECT count(*) FROM outbox.log WHERE to_part > 0'), '>', 3, 'it was cut');

# A process that dies within a transaction goes on in it.
foreach my $round (1 .. 3)
{
	my $pid = writer_pid();
	sql(q{SELECT app.put('plain', 'k', jsonb_build_object('n', n, 'fill', repeat(md5(n::text), 20))) FROM generate_series(1, 4000) n});
	sleep(rand(0.2));
	kill 'TERM', $pid;
	wait_for($node, "SELECT pid <> $pid FROM outbox.stat_log");
}
check_log('writer ended three times');
foreach my $round (1 .. 2)
{
	my $pid = writer_pid();
	sql(q{SELECT app.put('typed', 'k', jsonb_build_object('n', n, 'fill', repeat(md5(n::text), 20))) FROM generate_series(1, 4000) n});
	sleep(rand(0.3));
	kill9($pid);
	sleep(1);
	wait_for($node, 'SELECT pid IS NOT NULL FROM outbox.stat_log');
}
check_log('writer killed twice, with the server');
$node->stop('immediate');
$node->start;
put($node, 'plain', 5);
check_log('immediate stop');
check_topics('kills');

# ---- Kafka away ----------------------------------------------------------------
$broker->pause;
put($node, 'plain', 50);
check_log('while Kafka is away');
$broker->cont;
ok_resumed($node, 'Kafka is back');

# ---- looking for events -------------------------------------------------------
my ($id, $at, $key) = split /\|/, sql(q{SELECT id, committed_at, aggregateid FROM outbox.event OFFSET 30 LIMIT 1});
is(sql("SELECT count(*) FROM outbox.event WHERE id = '$id'"), '1', 'found by id');
is(sql("SELECT count(*) FROM outbox.event WHERE aggregateid = 'big'"), '3000', 'by key');
is(sql("SELECT count(*) FROM outbox.event WHERE committed_at = '$at' AND id = '$id'"), '1', 'by time');
is(sql("SELECT count(*) FROM outbox.event WHERE committed_at < '$at'"),
	sql("SELECT count(*) FROM (SELECT committed_at + interval '0' AS t FROM outbox.event) x WHERE t < '$at'"), 'before a time');
is(sql("SELECT count(*) FROM outbox.event WHERE committed_at >= '$at' AND type = 'typed'"),
	sql("SELECT count(*) FROM (SELECT committed_at + interval '0' AS t, type || '' AS y FROM outbox.event) x WHERE t >= '$at' AND y = 'typed'"), 'since a time, of a type');
is(sql("SELECT count(*) FROM outbox.event WHERE aggregateid = NULL"), '0', 'null finds nothing');
is(sql("SELECT event_type, events FROM outbox.log_usage ORDER BY 1"),
	sql("SELECT type, count(*) FROM outbox.event GROUP BY 1 ORDER BY 1"), 'log_usage counts them');

# ---- trouble that must not reach the publishing ----------------------------------
my $locker = $node->background_psql('postgres');
$locker->query_safe('BEGIN; LOCK TABLE outbox.log IN ACCESS EXCLUSIVE MODE');
put($node, 'plain', 20);
ok(wait_published($node), 'published while the log is locked');
ok(wait_for($node, q{SELECT failing AND last_error LIKE '%lock timeout%' FROM outbox.stat_log}), 'the log is behind, and says why');
$locker->query_safe('COMMIT');
$locker->quit;
check_log('a lock');
ok(wait_for($node, 'SELECT NOT failing FROM outbox.stat_log'), 'over');

# ---- retention ---------------------------------------------------------------------
sql(q{SELECT outbox.create_event_type('unlogged', format => 'json', retention => '0');
	SELECT outbox.create_event_type('brief', format => 'json', retention => '1 second');
	SELECT outbox.alter_event_type('plain', retention => '1 second')});
sql(q{SELECT outbox.emit('unlogged', '{}'::jsonb); SELECT outbox.emit('brief', '{}'::jsonb, 'brief')});
sql(q{BEGIN; SELECT outbox.emit('unlogged', '{}'::jsonb); SELECT app.put('typed', 'mixed', '{"n": 9}'); SELECT outbox.emit('unlogged', '{}'::jsonb); COMMIT});
ok(wait_for($node, q{SELECT count(*) = 1 FROM outbox.event WHERE aggregateid = 'mixed'}), 'a logged event among others');
is(sql(q{SELECT count(*) FROM outbox.event WHERE type = 'unlogged'}), '0', 'retention 0: not logged');
is(sql('SELECT left_out FROM outbox.stat_log'), '3', 'but counted');
my $oldest = sql('SELECT min(id) FROM outbox.log');
put($node, 'plain', 5);
sql(q{UPDATE outbox.log SET expires_at = now() - interval '1 s' WHERE id < (SELECT max(id) FROM outbox.log)});
ok(wait_for($node, "SELECT min(id) > $oldest FROM outbox.log"), 'what has expired goes');
ok(wait_for($node, q{SELECT count(*) >= 2 FROM outbox.log_dropped}), 'and it is noted how far');
$broker->pause;
put($node, 'plain', 5);
sql(q{SELECT outbox.emit('typed', '{"n": 1}'::jsonb, 'last')});
ok(wait_for($node, q{SELECT count(*) = 1 FROM outbox.event WHERE aggregateid = 'last'}), 'logged while Kafka is away');
sql(q{UPDATE outbox.log SET expires_at = now() - interval '1 s'});
sleep(12);
is(sql(q{SELECT count(*) FROM outbox.event WHERE aggregateid = 'last'}), '1', 'not before it is published');
$broker->cont;
ok_resumed($node, 'Kafka is back again');

# ---- rights -------------------------------------------------------------------------
sql(q{CREATE ROLE owns; CREATE ROLE emits; CREATE ROLE other;
	GRANT outbox_emitter TO owns, emits, other; GRANT outbox_admin TO owns;
	SET ROLE owns; SELECT outbox.create_event_type('his', format => 'json'); SELECT outbox.grant_emit('his', 'emits'); RESET ROLE;
	REVOKE outbox_admin FROM owns});
sql(q{SET ROLE emits; SELECT outbox.emit('his', '{"n": 1}'::jsonb, 'his')});
ok(wait_for($node, q{SELECT count(*) = 1 FROM outbox.event WHERE type = 'his'}), 'an administrator reads it');
foreach my $row ([ 'owns', 1 ], [ 'emits', 0 ], [ 'other', 0 ])
{
	is(sql("SET ROLE $row->[0]; SELECT count(*) FROM outbox.event"), $row->[1], "$row->[0] reads $row->[1]");
}

# ---- off and on, and away ---------------------------------------------------------------
$node->append_conf('postgresql.conf', 'outbox.event_log = off');
$node->reload;
ok(wait_for($node, q{SELECT count(*) = 0 FROM pg_replication_slots WHERE slot_name LIKE 'outbox\_events%'}), 'off: no slot');
put($node, 'typed', 3);
ok(wait_published($node), 'published without a log');
$node->append_conf('postgresql.conf', 'outbox.event_log = on');
$node->reload;
ok(wait_for($node, q{SELECT pid IS NOT NULL AND scanned_lsn >= pg_current_wal_flush_lsn() - 100000::numeric FROM outbox.stat_log}), 'on again');
sql(q{SELECT outbox.emit('typed', '{"n": 1}'::jsonb, 'after')});
ok(wait_for($node, q{SELECT count(*) = 1 FROM outbox.event WHERE aggregateid = 'after'}), 'and logging');
sql('DROP EXTENSION outbox CASCADE');
ok(wait_for($node, q{SELECT count(*) = 0 FROM pg_replication_slots}), 'dropped: no slots');
ok(wait_for($node, q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type IN ('outbox relay', 'outbox log writer')}), 'and no workers');

done_testing();
