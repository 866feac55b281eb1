# Snapshots in small chunks of a table that is written all the time (updates,
# deletes, changes of the key, savepoints, prepared transactions), while reader,
# outbox-kafka, relay and server are killed.  A consumer that applies the events
# to nothing ends with the table; no key's version ever goes back; no snapshot
# sends a key twice.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;
use POSIX ();
use Time::HiRes qw(sleep time);

my $node = outbox_node('main', conf => "outbox.heartbeat_interval = 500\noutbox.retry_max = 500\nlog_min_messages = warning\n");
my $topic = topic('items');
my $seed = $ENV{OUTBOX_TEST_SEED} // 7;
my $ROWS = 900;

sub sql { return $node->safe_psql('postgres', @_); }

# Ids are never used again and versions come from a sequence, so that versions
# of an id only grow, and nothing follows its delete.  Ids that are 0 modulo 3
# are left alone: snapshots alone bring them.
sql(<<"SQL");
CREATE SCHEMA app;
CREATE SEQUENCE app.id START 100001;
CREATE SEQUENCE app.ver;
CREATE TABLE app.items (id int PRIMARY KEY, ver bigint, fill text);
INSERT INTO app.items SELECT i, nextval('app.ver'), repeat('x', i % 50) FROM generate_series(1, $ROWS) i;
CREATE FUNCTION app.pick() RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 3 * (random() * $ROWS / 3)::int + 1 + (random() < 0.5)::int';
CREATE FUNCTION app.one() RETURNS void LANGUAGE plpgsql AS \$\$
DECLARE dice float := random(); which int := app.pick();
BEGIN
	IF dice < 0.6 THEN UPDATE app.items SET ver = nextval('app.ver') WHERE id = which;
	ELSIF dice < 0.75 THEN INSERT INTO app.items VALUES (nextval('app.id'), nextval('app.ver'), 'new');
	ELSIF dice < 0.8 THEN DELETE FROM app.items WHERE id = which;
	ELSIF dice < 0.85 THEN UPDATE app.items SET id = nextval('app.id'), ver = nextval('app.ver') WHERE id = which;
	ELSIF dice < 0.95 THEN UPDATE app.items SET ver = nextval('app.ver') WHERE id BETWEEN which AND which + 8 AND id % 3 > 0;
	ELSE
		BEGIN
			UPDATE app.items SET ver = nextval('app.ver') WHERE id = which;
			RAISE division_by_zero;
		EXCEPTION WHEN division_by_zero THEN NULL;
		END;
	END IF;
EXCEPTION WHEN deadlock_detected THEN NULL;
END \$\$;
CREATE PROCEDURE app.work(n int, seed float) LANGUAGE plpgsql AS \$\$
BEGIN
	PERFORM setseed(seed);
	FOR i IN 1..n LOOP
		PERFORM app.one();
		IF random() < 0.7 THEN COMMIT; END IF;
		IF random() < 0.4 THEN PERFORM pg_sleep(0.004); END IF;
	END LOOP;
END \$\$;
SELECT outbox.capture('app.items', format => 'json', topic => '$topic', partitions => 3);
SQL

my $stop = PostgreSQL::Test::Utils::tempdir() . '/stop';
my @writers;
for my $w (1 .. 3)
{
	my $pid = fork() // die;
	if (!$pid)
	{
		my $n = 0;
		until (-e $stop)
		{
			$n++;
			my $number = (($seed * 37 + $w * 101 + $n * 7) % 1000) / 1000;
			my $script = $w < 3 ? "CALL app.work(60, $number)"
			  : "BEGIN; SELECT setseed($number); SELECT app.one() FROM generate_series(1, 3); PREPARE TRANSACTION 'p$n';"
			  . " SELECT pg_sleep(0.02); COMMIT PREPARED 'p$n'";
			my ($out, $err) = ('', '');
			IPC::Run::run([ 'psql', '-XqAt', '-d', $node->connstr('postgres'), '-c', 'SET statement_timeout = 0' ,
					map { ('-c', $_) } split /;\s*/, $script ], '>', \$out, '2>', \$err);
			sleep 0.2 if $err =~ /connect|terminat|recovery/;
		}
		POSIX::_exit(0);
	}
	push @writers, $pid;
}

my @jobs = (sql("SELECT outbox.snapshot('app.items', chunk_rows => 12)"));
my $finished = sub { return sql("SELECT count(*) FROM outbox.stat_snapshot WHERE state <> 'done'") eq '0'; };

# Waits until the running snapshot has moved, so that kills come in the middle.
sub moved
{
	my $rows = sql('SELECT coalesce(max(rows), 0) FROM outbox.stat_snapshot WHERE job = (SELECT max(job) FROM outbox.stat_snapshot)');
	wait_for($node, "SELECT rows > $rows OR state = 'done' FROM outbox.stat_snapshot ORDER BY job DESC LIMIT 1");
	return;
}

srand $seed;
my %killed;
foreach my $round (1 .. 8)
{
	if ($finished->())
	{
		push @jobs, sql("SELECT outbox.snapshot('app.items', chunk_rows => @{[ 5 + int rand 300 ]})");
	}
	moved() if $round > 1;
	my $what = (qw(child reader restart child relay child reader server))[ $round - 1 ];
	$killed{$what}++;
	if ($what eq 'child') { kill9(child_pid($node)); }
	elsif ($what eq 'reader')
	{
		sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'outbox snapshot reader'");
	}
	elsif ($what eq 'restart') { sql('SELECT outbox.restart()'); }
	elsif ($what eq 'relay')
	{
		# The server restarts; a session of before would be cut off.
		my $pid = relay_pid($node);
		kill9($pid);
		sleep 1;
		wait_for($node, "SELECT pid <> $pid FROM outbox.status()");
	}
	else { $node->stop('immediate'); $node->start; }
	wait_for($node, 'SELECT true') or last;
}
ok(wait_for($node, "SELECT count(*) FROM outbox.stat_snapshot WHERE state <> 'done'", want => '0', timeout => 90), 'the snapshots end')
  or diag(sql('SELECT row_to_json(s) FROM outbox.stat_snapshot s'));
append_to_file($stop, '');
waitpid($_, 0) foreach @writers;
sql($_) foreach map { "COMMIT PREPARED '$_'" } split /\n/, sql('SELECT gid FROM pg_prepared_xacts');
ok(wait_published($node), 'and all is published');

my @seen = consume($node, $topic);
my (%row, %version, %gone, %sent);
my ($stale, $risen, $twice, $reads) = (0, 0, 0, 0);
foreach my $m (@seen)
{
	my $key = $m->{key};
	if (!$m->{value}) { delete $row{$key}; next; }
	my ($op, $after, $before) = @{ $m->{value} }{qw(op after before)};
	my ($id) = map { $_->[1] } grep { $_->[0] eq 'id' } @{ $m->{headers} };
	if ($op eq 'd') { delete $row{$key}; $gone{$key} = 1; next; }
	$risen++ if $gone{$key};
	$stale++ if $after->{ver} < ($version{$key} // 0);
	if ($op eq 'r')
	{
		$reads++;
		$twice++ if $sent{ substr($id, 0, 18) }{$key}++;
	}
	$version{$key} = $after->{ver};
	$row{$key} = "$after->{id}|$after->{ver}|$after->{fill}";
}
is($stale, 0, 'no key goes back to an older version');
is($risen, 0, 'no row comes back after its delete');
is($twice, 0, 'no snapshot sends a key twice');
cmp_ok(scalar(keys %sent), '>=', 1, 'snapshots: ' . scalar(keys %sent));
is(join("\n", map { $row{$_} } sort { $a <=> $b } keys %row), sql('SELECT * FROM app.items ORDER BY id'),
	'who applies the events has the table');
diag(scalar(@seen) . " events, $reads of snapshots; " . sql("SELECT string_agg(format('%s rows %s superseded %s reread', rows, superseded, reread), ', ' ORDER BY job) FROM outbox.stat_snapshot")
	  . '; killed: ' . join(', ', map { "$_ $killed{$_}" } sort keys %killed));
done_testing();
