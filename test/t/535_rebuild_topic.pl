# rebuild_topic(): the rows of a table, then tombstones of keys that the topic
# has and the table has not; each once, whoever is killed, and none for a key
# that comes back meanwhile.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;
use Time::HiRes qw(sleep);

my $node = outbox_node('main', conf => "outbox.heartbeat_interval = 500\noutbox.retry_max = 500\n");

sub sql { return $node->safe_psql('postgres', @_); }

sub refused
{
	my ($query, $why, $title) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', $query);
	like($err, $why, $title);
	return;
}

sub setting
{
	my ($line) = @_;
	$node->append_conf('postgresql.conf', $line);
	$node->reload;
	return;
}

sub finish
{
	my ($job, $state) = @_;
	$state //= 'done';
	return ok(wait_for($node, "SELECT state FROM outbox.stat_snapshot WHERE job = $job", want => $state), "job $job is $state")
	  || diag(sql('SELECT row_to_json(s) FROM outbox.stat_snapshot s'));
}

# A captured table whose rows 1 .. $rows are in its topic.
my %option;

sub table
{
	my ($name, $rows, $options) = @_;
	my $topic = topic($name);
	$option{$name} = "format => 'json', topic => '$topic', partitions => 3" . ($options // '');
	sql("CREATE TABLE app.$name (id int PRIMARY KEY, v int); INSERT INTO app.$name SELECT i, 1 FROM generate_series(1, $rows) i");
	sql("SELECT outbox.capture('app.$name', snapshot => true, $option{$name})");
	finish(sql('SELECT max(job) FROM outbox.stat_snapshot'));
	return $topic;
}

# What the capture does not see.
sub behind_its_back
{
	my ($name, $statement) = @_;
	sql("SELECT outbox.uncapture('app.$name')");
	ok(wait_published($node), 'all is published');
	sql($statement);
	sql("SELECT outbox.capture('app.$name', $option{$name})");
	return;
}

# Messages from this number on: operations by key, "-" for a tombstone.
sub history
{
	my ($from, @seen) = @_;
	my %by;
	foreach my $m (@seen)
	{
		next if $m->{offset} < ($from->{ $m->{partition} } // 0);
		my $row = $m->{value} && ($m->{value}{after} // $m->{value}{before});
		push @{ $by{ $m->{key} // '' } }, $m->{value} ? $m->{value}{op} . ($row->{v} // '') : '-';
	}
	return { map { $_ => join(' ', @{ $by{$_} }) } keys %by };
}

sub ends
{
	my %end;
	foreach my $m (@_) { $end{ $m->{partition} } = $m->{offset} + 1; }
	return \%end;
}

# Rows that who applies all events has: "1:1 2:1 ..."
sub final
{
	my %row;
	foreach my $m (@_)
	{
		next if !defined $m->{key};    # TRUNCATE
		if (!$m->{value} || $m->{value}{op} eq 'd') { delete $row{ $m->{key} }; }
		else { $row{ $m->{key} } = "$m->{key}:$m->{value}{after}{v}"; }
	}
	return join(' ', map { $row{$_} } sort { $a <=> $b } keys %row);
}

sub rows_of { return sql("SELECT string_agg(id || ':' || v, ' ' ORDER BY id) FROM app.$_[0]"); }

sql('CREATE SCHEMA app');

# ---- what is gone, what is not ----
my $topic = table('stock', 60);
sql('DELETE FROM app.stock WHERE id = 60; DELETE FROM app.stock WHERE id = 59; INSERT INTO app.stock VALUES (59, 2)');
behind_its_back('stock', 'DELETE FROM app.stock WHERE id % 4 = 0; UPDATE app.stock SET v = 2 WHERE id % 4 = 1');
my $from = ends(consume($node, $topic));
my $job = sql("SELECT outbox.rebuild_topic('app.stock')");
finish($job);
my @seen = consume($node, $topic);
my $of = history($from, @seen);
is(final(@seen), rows_of('stock'), 'who applies all events has the table');
is(join(' ', map { $of->{$_} } (4, 56)), '- -', 'a tombstone for each row that is gone');
is($of->{60}, undef, 'none where there is one');
is(join(' ', map { $of->{$_} } (1, 2, 59)), 'r2 r1 r2', 'rows as they are now');
is(sql("SELECT rows, removed, topic = '$topic' FROM outbox.stat_snapshot WHERE job = $job"), '59|14|t', 'counted');
is(scalar(grep { /-/ } values %$of), 14, 'no other tombstones');
$from = ends(@seen);
finish(sql("SELECT outbox.rebuild_topic('app.stock')"));
is(scalar(grep { /-/ } values %{ history($from, consume($node, $topic)) }), 0, 'once more: nothing is gone');

# ---- rows that come between looking and sending ----
$topic = table('race', 40);
behind_its_back('race', 'DELETE FROM app.race WHERE id > 10');
$from = ends(consume($node, $topic));
setting('outbox.rebuild_hold = on');
$job = sql("SELECT outbox.rebuild_topic('app.race')");
ok(wait_for($node, "SELECT rows = 10 FROM outbox.stat_snapshot WHERE job = $job"), 'its rows are sent');
sleep 1;    # and the keys that are gone found
sql('INSERT INTO app.race VALUES (20, 3)');
sql('INSERT INTO app.race VALUES (21, 3); DELETE FROM app.race WHERE id = 21');
sql('DELETE FROM app.race WHERE id = 1');
ok(wait_published($node), 'changes are published meanwhile');
setting('outbox.rebuild_hold = off');
finish($job);
sql('INSERT INTO app.race VALUES (22, 3)');
ok(wait_published($node), 'and after it');
@seen = consume($node, $topic);
$of = history($from, @seen);
is($of->{20}, 'c3', 'a row that comes back gets no tombstone');
is($of->{21}, 'c3 d3 -', 'one that comes and goes has its own');
is($of->{1}, 'r1 d1 -', 'one that was deleted, too');
is($of->{22}, '- c3', 'one that comes back later comes behind it');
is($of->{23}, '-', 'others are gone');
is(final(@seen), rows_of('race'), 'who applies all events has the table');
is(sql("SELECT removed, superseded FROM outbox.stat_snapshot WHERE job = $job"), '28|2', 'counted');

# ---- rows that were changed while they were read, TRUNCATE ----
$topic = table('busy', 30);
behind_its_back('busy', 'DELETE FROM app.busy WHERE id > 20');
setting('outbox.snapshot_hold = on');
$job = sql("SELECT outbox.rebuild_topic('app.busy')");
ok(wait_for($node, "SELECT state FROM outbox.stat_snapshot WHERE job = $job", want => 'running'), 'the line is held');
sql('UPDATE app.busy SET v = 5 WHERE id = 7');
setting('outbox.snapshot_hold = off');
finish($job);
@seen = consume($node, $topic);
is(final(@seen), rows_of('busy'), 'changed between the line and the rows');
setting('outbox.rebuild_hold = on');
$job = sql("SELECT outbox.rebuild_topic('app.busy')");
ok(wait_for($node, "SELECT rows = 20 FROM outbox.stat_snapshot WHERE job = $job"), 'its rows are sent');
sleep 1;
sql('TRUNCATE app.busy');
ok(wait_published($node), 'TRUNCATE is published');
setting('outbox.rebuild_hold = off');
finish($job);
finish(sql("SELECT outbox.rebuild_topic('app.busy')"));
is(final(consume($node, $topic)), '', 'after TRUNCATE, rebuilt once more: no row is left');

# ---- more keys than memory holds, in small chunks, with kills ----
setting('outbox.rebuild_memory = 64');
$topic = table('many', 6000);
behind_its_back('many', 'DELETE FROM app.many WHERE id > 100');
$from = ends(consume($node, $topic));
$job = sql("SELECT outbox.rebuild_topic('app.many', chunk_rows => 50, rate_limit => 800)");

sub gone_program
{
	my $reader = sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'outbox snapshot reader' LIMIT 1");
	return if !$reader;
	my $pid = `ps -o pid= --ppid $reader`;
	return $pid =~ /(\d+)/ ? $1 : undef;
}

my %killed;
foreach my $what (qw(gone child gone relay child reader server gone))
{
	my $rows = sql("SELECT coalesce(max(rows), 0) FROM outbox.stat_snapshot WHERE job = $job");
	wait_for($node, "SELECT rows > greatest($rows, 100) OR state = 'done' FROM outbox.stat_snapshot WHERE job = $job");
	last if sql("SELECT state FROM outbox.stat_snapshot WHERE job = $job") eq 'done';
	if ($what eq 'gone')
	{
		my $pid = gone_program();
		kill9($pid) if $pid;
		$killed{$what}++ if $pid;
		next;
	}
	$killed{$what}++;
	if ($what eq 'child') { kill9(child_pid($node)); }
	elsif ($what eq 'reader')
	{
		sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'outbox snapshot reader'");
	}
	elsif ($what eq 'relay')
	{
		my $pid = relay_pid($node);
		kill9($pid);
		sleep 1;
		wait_for($node, "SELECT pid <> $pid FROM outbox.status()");
	}
	else { $node->stop('immediate'); $node->start; }
	wait_for($node, 'SELECT true');
}
finish($job);
cmp_ok(scalar(keys %killed), '>=', 4, 'killed: ' . join(', ', map { "$_ $killed{$_}" } sort keys %killed));
@seen = consume($node, $topic);
$of = history($from, @seen);
is(scalar(grep { $of->{$_} ne 'r1' } 1 .. 100), 0, 'each row once');
is(scalar(grep { ($of->{$_} // '') ne '-' } 101 .. 6000), 0, 'one tombstone for each that is gone');
is(final(@seen), rows_of('many'), 'who applies all events has the table');
ok(wait_for($node, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'outbox snapshot reader'", want => '0'), 'no reader stays');

# ---- keys that are Avro records ----
$topic = topic('avro');
sql("CREATE TABLE app.avro (a int, b text, v int, PRIMARY KEY (a, b)); INSERT INTO app.avro SELECT i, 'b' || i, 1 FROM generate_series(1, 20) i");
$option{avro} = "topic => '$topic', key_format => 'record', partitions => 2";
sql("SELECT outbox.capture('app.avro', snapshot => true, $option{avro})");
finish(sql('SELECT max(job) FROM outbox.stat_snapshot'));
behind_its_back('avro', 'DELETE FROM app.avro WHERE a > 15');
setting('outbox.rebuild_hold = on');
$job = sql("SELECT outbox.rebuild_topic('app.avro')");
ok(wait_for($node, "SELECT rows = 15 FROM outbox.stat_snapshot WHERE job = $job"), 'its rows are sent');
sleep 1;
sql("INSERT INTO app.avro VALUES (16, 'b16', 2)");
ok(wait_published($node), 'a row comes back');
setting('outbox.rebuild_hold = off');
finish($job);
my %last;
$last{ JSON::PP->new->canonical->allow_nonref->encode($_->{key}) } = $_->{value} foreach consume($node, $topic);
is(scalar(keys %last), 20, 'keys are records');
is(scalar(grep { defined } values %last), 16, 'those that are gone have a tombstone, one that came back has none');

# ---- who may, and what ----
sql("CREATE TABLE app.plain (id int PRIMARY KEY); CREATE TABLE app.none (id int PRIMARY KEY); SELECT outbox.capture('app.none', format => 'json', topic => '$topic.n', key => '{}')");
sql(<<"SQL");
CREATE TABLE app.parts (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE app.parts_1 PARTITION OF app.parts DEFAULT;
SELECT outbox.capture('app.parts', format => 'json', topic => '$topic.p');
CREATE ROLE somebody LOGIN; GRANT USAGE ON SCHEMA app TO somebody; SELECT outbox.grant_capture('somebody');
SQL
refused("SELECT outbox.rebuild_topic('app.plain')", qr/table "plain" is not captured/, 'no capture');
refused("SELECT outbox.rebuild_topic('app.none')", qr/messages of table "none" have no key/, 'no key');
refused("SELECT outbox.rebuild_topic('app.parts_1')", qr/is a partition of captured table "parts"/, 'a partition');
refused("SELECT outbox.rebuild_topic('app.stock', chunk_rows => 0)", qr/chunk_rows must be between/, 'chunks of no rows');
refused("SET ROLE somebody; SELECT outbox.rebuild_topic('app.stock')", qr/must be owner of table stock/, 'not the owner');
setting('outbox.snapshot_hold = on');
$job = sql("SELECT outbox.rebuild_topic('app.stock')");
ok(wait_for($node, "SELECT state FROM outbox.stat_snapshot WHERE job = $job", want => 'running'), 'held');
sql("SELECT outbox.alter_capture('app.stock', topic => '$topic.other')");
setting('outbox.snapshot_hold = off');
finish($job, 'failed');
is(sql("SELECT reason ~ 'is captured to topic' FROM outbox.stat_snapshot WHERE job = $job"), 't', 'the capture has another topic now');
done_testing();
