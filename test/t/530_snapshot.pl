# Snapshots of captured tables: each row once, never behind a newer change of
# it.  The races are not left to chance: outbox.snapshot_hold keeps a chunk that
# was read from being sent, transactions that its snapshot does not see are
# prepared ones.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;

my $node = outbox_node('main', conf => "outbox.heartbeat_interval = 500\noutbox.retry_max = 500\n");

sub sql { return $node->safe_psql('postgres', @_); }

sub refused
{
	my ($query, $why, $title) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', $query);
	like($err, $why, $title);
	return;
}

sub hold
{
	my ($value) = @_;
	$node->append_conf('postgresql.conf', "outbox.snapshot_hold = $value");
	$node->reload;
	return;
}

# Starts a snapshot whose first chunk is read and held.
sub held_snapshot
{
	my ($args) = @_;
	hold('on');
	my $job = sql("SELECT outbox.snapshot($args)");
	ok(wait_for($node, "SELECT state FROM outbox.stat_snapshot WHERE job = $job", want => 'running'),
		"a chunk is held: $args");
	return $job;
}

sub finish
{
	my ($job, $state) = @_;
	hold('off');
	return ok(wait_for($node, "SELECT state FROM outbox.stat_snapshot WHERE job = $job", want => $state // 'done'),
		"snapshot $job is " . ($state // 'done'))
	  || diag(sql("SELECT row_to_json(s) FROM outbox.stat_snapshot s"));
}

# Operations by key, in order: "c1 u2" is a create with v = 1, an update to 2.
sub history
{
	my %by;
	foreach my $m (@_)
	{
		my $row = $m->{value} && ($m->{value}{after} // $m->{value}{before});
		push @{ $by{ $m->{key} // '' } }, $m->{value} ? $m->{value}{op} . ($row->{v} // '') : '-';
	}
	return { map { $_ => join(' ', @{ $by{$_} }) } keys %by };
}

sub table
{
	my ($name, $rows, $options) = @_;
	my $topic = topic($name);
	sql(<<"SQL");
CREATE TABLE app.$name (id int PRIMARY KEY, owner text, v int);
INSERT INTO app.$name SELECT i, 'o' || i % 3, 1 FROM generate_series(1, $rows) i;
SELECT outbox.capture('app.$name', format => 'json', topic => '$topic', partitions => 2 @{[ $options // '' ]});
SQL
	return $topic;
}

sql('CREATE SCHEMA app');

# ---- a quiet table, in many chunks ----
my $topic = topic('quiet');
sql(<<"SQL");
CREATE TABLE app.quiet (a int, b text COLLATE "C", v numeric(6, 2), w int NOT NULL, PRIMARY KEY (b, v, a));
INSERT INTO app.quiet SELECT i, chr(65 + i % 5) || chr(97 + i % 3), i % 11, 1 FROM generate_series(1, 2000) i;
ANALYZE app.quiet;
SELECT outbox.capture('app.quiet', format => 'json', topic => '$topic', partitions => 2);
SQL
my $job = sql("SELECT outbox.snapshot('app.quiet', chunk_rows => 37)");
finish($job);
my @seen = consume($node, $topic);
is(scalar(@seen), 2000, 'every row of a quiet table');
is(scalar(keys %{ { map { $_->{key} => 1 } @seen } }), 2000, 'each once');
is(sql("SELECT rows, estimated, superseded FROM outbox.stat_snapshot WHERE job = $job"), '2000|2000|0', 'and counted');

# A key of mixed directions, with a filter.
sql('CREATE UNIQUE INDEX mixed ON app.quiet (b DESC, w, a DESC, v); ALTER TABLE app.quiet REPLICA IDENTITY USING INDEX mixed');
sql('ALTER TABLE app.quiet DROP CONSTRAINT quiet_pkey');
$job = sql("SELECT outbox.snapshot('app.quiet', row_filter => 'a % 2 = 0', chunk_rows => 101)");
finish($job);
@seen = consume($node, $topic);
is(scalar(@seen), 3000, 'the rows that a filter lets pass, in the order of another key');
is(scalar(grep { $_->{value}{after}{a} % 2 } @seen[ 0 .. $#seen ]), 1000, 'and no others');

# ---- what happens between reading and sending ----
$topic = table('race', 20);
sql("BEGIN; UPDATE app.race SET v = 2 WHERE id = 3; PREPARE TRANSACTION 'a'");
sql("BEGIN; UPDATE app.race SET v = 2 WHERE id = 13; PREPARE TRANSACTION 'b'");
sql("BEGIN; UPDATE app.race SET v = 2 WHERE id = 15; PREPARE TRANSACTION 'c'");
sql("BEGIN; UPDATE app.race SET v = 2 WHERE id = 16; PREPARE TRANSACTION 'd'");
$job = held_snapshot("'app.race'");
sql("COMMIT PREPARED 'a'");
sql('UPDATE app.race SET v = 2 WHERE id = 5');
sql('DELETE FROM app.race WHERE id = 7');
sql('UPDATE app.race SET id = 109, v = 2 WHERE id = 9');
sql('INSERT INTO app.race VALUES (200, NULL, 1)');
sql('BEGIN; UPDATE app.race SET v = 9 WHERE id = 11; ROLLBACK');
sql('BEGIN; SAVEPOINT s; UPDATE app.race SET v = 9 WHERE id = 12; ROLLBACK TO s; UPDATE app.race SET v = 2 WHERE id = 14; COMMIT');
sql("COMMIT PREPARED 'b'");
sql("ROLLBACK PREPARED 'd'");
ok(wait_published($node), 'the changes are published');
finish($job);
sql("COMMIT PREPARED 'c'");
ok(wait_published($node), 'and one that came later');
my $of = history(consume($node, $topic));
is($of->{1}, 'r1', 'a row that nobody touched');
is($of->{3}, 'u2', 'one that was changed by a transaction older than the snapshot');
is($of->{5}, 'u2', 'by one younger');
is($of->{13}, 'u2', 'by a prepared one');
is($of->{7}, 'd1 -', 'a row that was deleted');
is($of->{9}, 'd1 -', 'a row that was given another key');
is($of->{109}, 'c2', 'under its new key');
is($of->{200}, 'c1', 'a row that was inserted');
is($of->{11}, 'r1', 'a change that was rolled back');
is($of->{12}, 'r1', 'the same in a savepoint');
is($of->{14}, 'u2', 'what its transaction did beside that');
is($of->{16}, 'r1', 'a prepared one that was rolled back');
is($of->{15}, 'r1 u2', 'a change that comes later');
is(sql("SELECT rows, superseded FROM outbox.stat_snapshot WHERE job = $job"), '14|6', 'rows and superseded ones are counted');

# ---- TRUNCATE, DDL ----
$topic = table('gone', 10);
$job = held_snapshot("'app.gone'");
sql('TRUNCATE app.gone; INSERT INTO app.gone VALUES (1, NULL, 7)');
finish($job);
$of = history(consume($node, $topic));
is_deeply([ @$of{qw(1 2)} ], [ 'c7 r7', undef ], 'rows that TRUNCATE has removed are not sent');
is(sql("SELECT reread > 0 FROM outbox.stat_snapshot WHERE job = $job"), 't', 'the chunk was read again');

$topic = table('wider', 10);
$job = held_snapshot("'app.wider'");
sql("ALTER TABLE app.wider ADD COLUMN more int DEFAULT 5");
finish($job);
@seen = consume($node, $topic);
is(scalar(grep { ($_->{value}{after}{more} // 0) == 5 } @seen), 10, 'rows that were read before a column was added are read again');

# ---- a key that several rows have ----
$topic = table('shared', 9, q{, key => ARRAY['owner']});
$job = held_snapshot("'app.shared'");
sql('UPDATE app.shared SET v = 2 WHERE id = 6');
finish($job);
@seen = grep { $_->{value}{op} eq 'r' } consume($node, $topic);
is(join(' ', sort map { $_->{value}{after}{id} . ':' . $_->{value}{after}{v} } @seen),
	'1:1 2:1 3:1 4:1 5:1 6:2 7:1 8:1 9:1', 'no row is left out for another one with the same key');

# ---- somebody ends while a chunk is held ----
$topic = table('ends', 50);
$job = held_snapshot("'app.ends', chunk_rows => 10");
kill9(child_pid($node));
ok(wait_state($node, 'streaming'), 'outbox-kafka is killed');
sql('SELECT outbox.restart()');
ok(wait_state($node, 'streaming'), 'the relay begins anew');
sql('UPDATE app.ends SET v = 2 WHERE id = 3');
$node->stop('immediate');
$node->append_conf('postgresql.conf', 'outbox.snapshot_hold = off');
$node->start;
finish($job);
$of = history(consume($node, $topic));
is(scalar(grep { $of->{$_} ne 'r1' } grep { $_ != 3 } 1 .. 50), 0, 'each row once');
like($of->{3}, qr/^u2( r2)?$/, 'no row behind a newer change');

# What the table says of a job that is done is lost: Kafka knows better.
sql("DELETE FROM outbox.snapshot_progress WHERE job_id = $job");
sql('SELECT outbox.restart()');
finish($job);
is(scalar(grep { $_->{value}{op} eq 'r' } consume($node, $topic)), $of->{3} eq 'u2' ? 49 : 50, 'a job that is done is not begun again');

# ---- pause, resume, cancel ----
$topic = table('slow', 40);
$job = held_snapshot("'app.slow', chunk_rows => 10");
sql("SELECT outbox.pause_snapshot($job)");
finish($job, 'paused');
is(scalar(consume($node, $topic)), 0, 'nothing of a held chunk when it is paused');
is(sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'outbox snapshot reader'"), '0', 'no reader stays');
sql("UPDATE app.slow SET v = 2 WHERE id = 40");
sql("SELECT outbox.resume_snapshot($job)");
finish($job);
$of = history(consume($node, $topic));
is($of->{40}, 'u2 r2', 'resumed: rows as they are now');
is(scalar(keys %$of), 40, 'all of them');
$job = held_snapshot("'app.slow', chunk_rows => 10, rate_limit => 1000");
sql("SELECT outbox.cancel_snapshot($job)");
finish($job, 'cancelled');
refused("SELECT outbox.resume_snapshot($job)", qr/there is no unfinished snapshot $job/, 'a cancelled one is over');

# ---- partitions, and capture(snapshot => true) ----
$topic = topic('parts');
sql(<<"SQL");
CREATE TABLE app.parts (id int, day int, v int DEFAULT 1, PRIMARY KEY (day, id)) PARTITION BY LIST (day);
CREATE TABLE app.parts_2 PARTITION OF app.parts FOR VALUES IN (2);
CREATE TABLE app.parts_1 PARTITION OF app.parts FOR VALUES IN (1);
CREATE TABLE app.parts_3 PARTITION OF app.parts FOR VALUES IN (3);
INSERT INTO app.parts SELECT i, 1 + i % 2 FROM generate_series(1, 100) i;
SELECT outbox.capture('app.parts', format => 'json', topic => '$topic', partitions => 2, snapshot => true);
SQL
finish(sql("SELECT max(job) FROM outbox.stat_snapshot WHERE relation = 'app.parts'::regclass"));
@seen = consume($node, $topic);
is(scalar(grep { $_->{value}{source}{table} eq 'parts' } @seen), 100, 'all partitions, as the table they are of');

# ---- several at once, and at least once ----
my @two = (table('left', 30), table('right', 30));
my @jobs = map { held_snapshot("'app.$_', chunk_rows => 7") } qw(left right);
is(sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'outbox snapshot reader'"), '2', 'two readers');
sql('UPDATE app.left SET v = 2 WHERE id = 2');
finish($_) foreach @jobs;
$of = [ map { history(consume($node, $_)) } @two ];
is(join(' ', map { $_->{2} } @$of), 'u2 r1', 'the same key in two tables');
is(join(' ', map { scalar keys %$_ } @$of), '30 30', 'all of both');

$node->append_conf('postgresql.conf', "outbox.delivery = 'at_least_once'");
$node->reload;
$job = sql("SELECT outbox.snapshot('app.right', chunk_rows => 7)");
finish($job);
my %times;
$times{ $_->{key} }++ foreach grep { $_->{value}{op} eq 'r' } consume($node, $two[1]);
is(scalar(grep { $times{$_} < 2 } 1 .. 30), 0, 'with at_least_once, too');

# ---- who may, and what ----
sql("CREATE TABLE app.plain (id int PRIMARY KEY)");
sql("CREATE ROLE somebody LOGIN; GRANT USAGE ON SCHEMA app TO somebody; SELECT outbox.grant_capture('somebody')");
refused("SELECT outbox.snapshot('app.plain')", qr/table "plain" is not captured/, 'no capture');
refused("SELECT outbox.snapshot('app.race', row_filter => 'no_such = 1')", qr/no_such/, 'a filter that is none');
refused("SELECT outbox.snapshot('app.race', row_filter => 'pg_sleep(1) IS NULL')", qr/ERROR/, 'a filter that does more than compare');
refused("SELECT outbox.snapshot('app.race', chunk_rows => 0)", qr/chunk_rows must be between/, 'chunks of no rows');
refused("SET ROLE somebody; SELECT outbox.snapshot('app.race')", qr/must be owner of table race/, 'not the owner');
is(sql('SET ROLE somebody; SELECT count(*) FROM outbox.stat_snapshot'), '0', 'nor does he see any');
$job = held_snapshot("'app.race'");
refused("SET ROLE somebody; SELECT outbox.cancel_snapshot($job)", qr/must be owner of table race/, 'not the owner either');
sql("SELECT outbox.uncapture('app.race')");
finish($job, 'failed');
is(sql("SELECT reason ~ 'not captured any more' FROM outbox.stat_snapshot WHERE job = $job"), 't', 'the capture ended meanwhile');
done_testing();
