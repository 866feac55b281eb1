# Snapshots of tables without a key: one pass under one snapshot, whose place in
# WAL (source.lsn of its rows) parts the changes that are in it from those that
# are not.  So rows of the last pass plus the changes behind it are the table, as
# a bag, whatever was written or killed meanwhile.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;
use POSIX ();
use Time::HiRes qw(sleep);

my $node = outbox_node('main', conf => "outbox.heartbeat_interval = 500\noutbox.retry_max = 500\n");

sub sql { return $node->safe_psql('postgres', @_); }

sub hold
{
	my ($value) = @_;
	$node->append_conf('postgresql.conf', "outbox.snapshot_hold = $value");
	$node->reload;
	return;
}

sub state_of
{
	my ($job, $state) = @_;
	return ok(wait_for($node, "SELECT state FROM outbox.stat_snapshot WHERE job = $job", want => $state), "snapshot $job is $state")
	  || diag(sql('SELECT row_to_json(s) FROM outbox.stat_snapshot s'));
}

# The job and what was said.
sub snapshot
{
	my ($args) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', "SELECT outbox.snapshot($args)");
	is($rc, 0, "snapshot of $args") or diag($err);
	return ($out, $err);
}

sub table
{
	my ($name, $rows, $options) = @_;
	my $topic = topic($name);
	sql(<<"SQL");
CREATE TABLE app.$name (a int, b text);
INSERT INTO app.$name SELECT i % 700, 'b' FROM generate_series(1, $rows) i;
SELECT outbox.capture('app.$name', format => 'json', topic => '$topic', partitions => 2 @{[ $options // '' ]});
SQL
	return $topic;
}

sub row { return defined $_[0] ? "$_[0]{a}|" . ($_[0]{b} // '') : '?'; }

# A bag as text, from the rows of the newest pass and what lies behind it, in the
# order of WAL: TRUNCATE is in one partition only.
sub bag
{
	my (@seen) = @_;
	my ($at) = sort { $b <=> $a } map { $_->{value}{source}{lsn} } grep { $_->{value}{op} eq 'r' } @seen;
	my %n;
	foreach my $m (sort { $a->{source}{lsn} <=> $b->{source}{lsn} } map { $_->{value} } @seen)
	{
		next if $m->{op} eq 'r' ? $m->{source}{lsn} != $at : $m->{source}{lsn} <= $at;
		%n = () if $m->{op} eq 't';
		$n{ row($m->{before}) }-- if $m->{op} =~ /[ud]/;
		$n{ row($m->{after}) }++ if $m->{op} =~ /[ruc]/;
	}
	return join("\n", map { "$_ $n{$_}" } sort grep { $n{$_} } keys %n);
}

sub bag_of
{
	return sql(qq{SELECT a || '|' || b || ' ' || count(*) FROM app.$_[0] GROUP BY a, b ORDER BY (a || '|' || b) COLLATE "C"});
}

sub passes { return sql("SELECT pass FROM outbox.stat_snapshot WHERE job = $_[0]"); }

sql('CREATE SCHEMA app');

# ---- while it is written between reading and sending ----
my $topic = table('lines', 2000);
hold('on');
my ($job, $said) = snapshot("'app.lines', chunk_rows => 300");
like($said, qr/has neither a primary key nor.*begins again/s, 'it says what that means');
state_of($job, 'running');
sql("INSERT INTO app.lines VALUES (9001, 'new')");
sql("DELETE FROM app.lines WHERE a = 5");
sql("UPDATE app.lines SET b = 'c' WHERE a = 6");
my ($rc, $out, $err) = $node->psql('postgres', "SET lock_timeout = 300; TRUNCATE app.lines");
like($err, qr/lock timeout/, 'TRUNCATE waits for it');
is(sql("SELECT count(*) FROM pg_locks WHERE relation = 'app.lines'::regclass AND mode = 'ShareLock'"), '0', 'writers do not');
ok(wait_published($node), 'changes are published');
hold('off');
state_of($job, 'done');
my @seen = consume($node, $topic);
is(scalar(grep { $_->{value}{op} eq 'r' } @seen), 2000, 'every row, once');
is(scalar(keys %{ { map { $_->{value}{source}{lsn} => 1 } grep { $_->{value}{op} eq 'r' } @seen } }), 1, 'at one place');
is(bag(@seen), bag_of('lines'), 'rows and changes make the table');
is(passes($job), '1', 'in one pass');
sql('TRUNCATE app.lines');
ok(wait_published($node), 'TRUNCATE after it');
is(bag(consume($node, $topic)), '', 'comes behind it');

# ---- a writer that is open ----
$topic = table('open', 100);
sql("BEGIN; INSERT INTO app.open VALUES (1, 'prepared'); PREPARE TRANSACTION 'w'");
($job) = snapshot("'app.open'");
ok(wait_for($node, "SELECT reason ~ 'lock timeout' FROM outbox.stat_snapshot WHERE job = $job"), 'an open writer is waited for');
sql("COMMIT PREPARED 'w'");
state_of($job, 'done');
@seen = consume($node, $topic);
is(bag(@seen), bag_of('open'), 'and its row is among the others');

# ---- filter, pause, the capture is changed ----
$topic = table('some', 1000);
hold('on');
($job) = snapshot("'app.some', row_filter => 'a < 100', chunk_rows => 50");
state_of($job, 'running');
sql("SELECT outbox.pause_snapshot($job)");
state_of($job, 'paused');
sql("SELECT outbox.resume_snapshot($job)");
state_of($job, 'running');
sql("SELECT outbox.alter_capture('app.some', row_filter => 'a <> 50')");
hold('off');
state_of($job, 'done');
@seen = consume($node, $topic);
is(scalar(grep { $_->{value}{op} eq 'r' } @seen), sql('SELECT count(*) FROM app.some WHERE a < 100 AND a <> 50'), 'nothing of a pass that was given up before anything was sent');

# ---- partitions ----
$topic = topic('parts');
sql(<<"SQL");
CREATE TABLE app.parts (a int, b text) PARTITION BY LIST (b);
CREATE TABLE app.parts_x PARTITION OF app.parts FOR VALUES IN ('x');
CREATE TABLE app.parts_y PARTITION OF app.parts FOR VALUES IN ('y');
CREATE UNIQUE INDEX ON app.parts_y (a);
INSERT INTO app.parts SELECT i, CASE i % 2 WHEN 0 THEN 'x' ELSE 'y' END FROM generate_series(1, 200) i;
SELECT outbox.capture('app.parts', format => 'json', topic => '$topic', partitions => 1);
SQL
hold('on');
($job) = snapshot("'app.parts', chunk_rows => 30");
state_of($job, 'running');
sql("UPDATE app.parts SET b = 'y' WHERE a = 100; UPDATE app.parts SET b = 'x' WHERE a = 101");
hold('off');
state_of($job, 'done');
is(bag(consume($node, $topic)), bag_of('parts'), 'rows that move between partitions');

# ---- a key that several rows have ----
$topic = table('shared', 50, ", key => '{b}'");
sql("SELECT outbox.uncapture('app.shared'); DELETE FROM app.shared; INSERT INTO app.shared VALUES (1, 'x'), (2, 'x'), (3, 'y')");
sql("SELECT outbox.capture('app.shared', format => 'json', topic => '$topic', key => '{b}')");
sql("INSERT INTO app.shared VALUES (4, 'z')");
($job) = snapshot("'app.shared'");
state_of($job, 'done');
sql("SELECT outbox.uncapture('app.shared'); DELETE FROM app.shared WHERE b <> 'x'; SELECT outbox.capture('app.shared', format => 'json', topic => '$topic', key => '{b}')");
my $again = sql("SELECT outbox.rebuild_topic('app.shared')");
state_of($again, 'done');
my %last;
$last{ $_->{key} } = $_->{value} foreach consume($node, $topic);
is(join(' ', map { $last{$_} ? "$_+" : "$_-" } sort keys %last), 'x+ y- z-', 'rebuild_topic() of a table without a key');

# ---- writers, and kills ----
$topic = table('load', 20000);
my $stop = PostgreSQL::Test::Utils::tempdir() . '/stop';
my @writers;
for my $w (1 .. 2)
{
	my $parent = $$;
	my $pid = fork() // die;
	if (!$pid)
	{
		until (-e $stop || getppid() != $parent)
		{
			my ($o, $e) = ('', '');
			IPC::Run::run([ 'psql', '-XqAt', '-d', $node->connstr('postgres'), '-c', <<'SQL' ], '>', \$o, '2>', \$e);
DO $$ BEGIN
	FOR i IN 1..50 LOOP
		INSERT INTO app.load VALUES ((random() * 700)::int, 'w' || i);
		UPDATE app.load SET b = b || 'u' WHERE ctid = (SELECT ctid FROM app.load OFFSET (random() * 500)::int LIMIT 1);
		DELETE FROM app.load WHERE ctid = (SELECT ctid FROM app.load OFFSET (random() * 500)::int LIMIT 1);
		COMMIT;
	END LOOP;
END $$
SQL
			sleep($e =~ /connect|terminat|recovery/ ? 0.3 : 0.02);
		}
		POSIX::_exit(0);
	}
	push @writers, $pid;
}
($job) = snapshot("'app.load', chunk_rows => 200, rate_limit => 4000");
my %killed;
foreach my $what (qw(reader child relay))
{
	my $rows = sql("SELECT coalesce(max(rows), 0) FROM outbox.stat_snapshot WHERE job = $job");
	wait_for($node, "SELECT rows > $rows + 400 OR state = 'done' FROM outbox.stat_snapshot WHERE job = $job");
	$killed{$what}++;
	if ($what eq 'child') { kill9(child_pid($node)); }
	elsif ($what eq 'reader')
	{
		sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'outbox snapshot reader'");
	}
	else
	{
		my $pid = relay_pid($node);
		kill9($pid);
		sleep 1;
		wait_for($node, "SELECT pid <> $pid FROM outbox.status()");
	}
	wait_for($node, 'SELECT true');
}
state_of($job, 'done');
append_to_file($stop, '');
waitpid($_, 0) foreach @writers;
ok(wait_published($node), 'all is published');
@seen = consume($node, $topic);
is(bag(@seen), bag_of('load'), 'after kills: rows of the last pass and the changes behind it make the table');
is(passes($job), '4', 'each kill cost a pass');
my %sent;
$sent{ $_->{value}{source}{lsn} }++ foreach grep { $_->{value}{op} eq 'r' } @seen;
is(scalar(keys %sent), 4, 'and each pass has a place of its own');
like(slurp_file($node->logfile), qr/snapshot $job of a table without a key begins again, pass 2: rows are published once more/, 'the log says so');
done_testing();
