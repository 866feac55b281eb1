# What the scanner pushes, against what was committed: ordinary transactions,
# subtransactions, prepared transactions, several databases, messages that are
# not ours, sizes across pages and segments, any memory limit and step.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../modules/fake_sink/lib";
use FakeSink;
use PostgreSQL::Test::Utils;
use Test::More;

# Small segments: every run crosses several.
my $node = new_node('scanner', initdb => ['--wal-segsize=1']);
my $start = current_lsn($node);

# Ordinary, and one after the other in one session
$node->safe_psql(
	'postgres', q(
SELECT say('one');
BEGIN; SELECT say('two'), say('three'); COMMIT;
BEGIN; SELECT say('gone'); ROLLBACK;
SELECT say('');
SELECT say('four') FROM generate_series(1, 300);
));

# Savepoints
$node->safe_psql(
	'postgres', q(
BEGIN;
SELECT say('s1');
SAVEPOINT a; SELECT say('gone'); ROLLBACK TO a;
SELECT say('s2');
SAVEPOINT b; SELECT say('s3'); RELEASE b;
SELECT say('s4');
SAVEPOINT c; SELECT say('gone');
SAVEPOINT d; SELECT say('gone'); RELEASE d;
ROLLBACK TO c;
SAVEPOINT e; SELECT say('s5'); SAVEPOINT f; SELECT say('s6'); RELEASE f;
SELECT say('s7'); RELEASE e;
SELECT say('s8');
COMMIT;
BEGIN; SAVEPOINT a; SELECT say('only in a subtransaction'); RELEASE a; COMMIT;
BEGIN; SAVEPOINT a; SELECT say('gone'); ROLLBACK TO a; SELECT 1; COMMIT;
BEGIN; SAVEPOINT a; SELECT say('gone'); RELEASE a; ROLLBACK;
));

# Exception blocks: hundreds of subtransactions, every third rolled back
$node->safe_psql(
	'postgres', q(
DO $$
BEGIN
	FOR i IN 1..400 LOOP
		BEGIN
			PERFORM say('loop ' || i);
			IF i % 3 = 0 THEN RAISE division_by_zero; END IF;
		EXCEPTION WHEN division_by_zero THEN
			IF i % 2 = 0 THEN PERFORM say('caught ' || i); END IF;
		END;
	END LOOP;
END $$;
));

# Deep nesting
$node->safe_psql('postgres',
	    "BEGIN;\n"
	  . join('', map { "SELECT say('down $_'); SAVEPOINT s$_;\n" } 1 .. 100)
	  . join('', map { "RELEASE s$_; SELECT say('up $_');\n" } reverse 1 .. 100)
	  . "COMMIT;\n");

# Prepared
$node->safe_psql(
	'postgres', q(
BEGIN; SELECT say('p1'); SAVEPOINT a; SELECT say('p2'); RELEASE a;
SAVEPOINT b; SELECT say('gone'); ROLLBACK TO b; PREPARE TRANSACTION 'one';
BEGIN; SELECT say('gone'); SAVEPOINT a; SELECT say('gone'); PREPARE TRANSACTION 'two';
BEGIN; SAVEPOINT a; SELECT say('p3'); RELEASE a; PREPARE TRANSACTION 'three';
SELECT say('between');
COMMIT PREPARED 'three';
ROLLBACK PREPARED 'two';
SELECT say('between');
COMMIT PREPARED 'one';
));

# Not ours: another prefix, not transactional, another database
$node->safe_psql('postgres', 'CREATE DATABASE other');
prepare_db($node, 'other');
$node->safe_psql(
	'postgres', q(
BEGIN;
SELECT pg_logical_emit_message(true, 'outbo', 'x');
SELECT pg_logical_emit_message(true, 'outbox2', 'x');
SELECT pg_logical_emit_message(true, '', 'x');
SELECT pg_logical_emit_message(true, 'OUTBOX', 'x');
SELECT pg_logical_emit_message(false, 'outbox', 'x');
COMMIT;
SELECT pg_logical_emit_message(false, 'outbox', 'not transactional');
));
$node->safe_psql('other', q(SELECT say('in the other one');));
$node->safe_psql('postgres', q(SELECT say('in this one');));
$node->safe_psql('other', q(BEGIN; SELECT say('x'); SAVEPOINT a; SELECT say('y'); COMMIT;));

# DDL has commit records with everything in them
$node->safe_psql(
	'postgres', q(
BEGIN; CREATE TABLE t (a int); SELECT say('ddl'); COMMIT;
));
$node->safe_psql('postgres',
	q(BEGIN; SELECT say('ddl'); SAVEPOINT a; DROP TABLE t; SELECT say('drop'); RELEASE a; COMMIT;));

# Sizes: around a page, a few pages, larger than a segment
$node->safe_psql(
	'postgres', q(
SELECT say(repeat('p', n)) FROM generate_series(7900, 8300, 13) n;
DO $$ BEGIN FOR n IN 8000..8250 LOOP PERFORM say(repeat('q', n)); COMMIT; END LOOP; END $$;
DO $$ BEGIN FOR n IN 0..20 LOOP PERFORM say(repeat('r', (2 ^ n)::int)); COMMIT; END LOOP; END $$;
BEGIN; SELECT say(repeat('s', 3000000)); SELECT say('small'); SELECT say(repeat('t', 1500000)); COMMIT;
BEGIN; SELECT say(repeat('s', 3000000)); ROLLBACK;
));

# Interleaved sessions, also with savepoints and an end in another order
{
	my @sessions = map { $node->background_psql('postgres') } 0 .. 3;

	$_->query_safe('BEGIN') foreach @sessions;
	for my $round (1 .. 20)
	{
		for my $i (0 .. $#sessions)
		{
			$sessions[$i]->query_safe("SAVEPOINT a$round") if $round % 4 == $i;
			$sessions[$i]->query_safe("SELECT say('session $i round $round')");
			$sessions[$i]->query_safe("ROLLBACK TO a" . ($round - 1))
			  if $round > 1 && ($round - 1) % 4 == $i && $round % 3 == 0;
		}
	}
	$sessions[2]->query_safe('COMMIT');
	$sessions[3]->query_safe('ROLLBACK');
	$sessions[1]->query_safe("SELECT say('late')");
	$sessions[0]->query_safe('COMMIT');
	$sessions[1]->query_safe('COMMIT');
	$_->quit foreach @sessions;
}

# Synchronous commit off is flushed a little later, in order
$node->safe_psql(
	'postgres', q(
SET synchronous_commit = off;
DO $$ BEGIN FOR n IN 1..500 LOOP PERFORM say('async ' || n); COMMIT; END LOOP; END $$;
SET synchronous_commit = on;
SELECT say('end');
));

my @expected = expected($node, $start);
cmp_ok(scalar @expected, '>', 1500, 'there is something to compare');

foreach my $memory (65536, 64, 4, 1, 0)
{
	foreach my $step ($memory == 4 ? (1, 7, 100000) : 1000)
	{
		my @got = scanned($node, $start, memory => $memory, step => $step);
		compare_scan(\@got, \@expected, "$memory kB, $step records a step");
	}
}

my @other = expected($node, $start, db => 'other');
is(scalar @other, 3, 'the other database said something');
compare_scan([ scanned($node, $start, db => 'other') ],
	\@other, 'the other database');

# Contents, not only their hashes
is( $node->safe_psql(
		'postgres',
		"SELECT string_agg(payload, ' ' ORDER BY n)
		   FROM (SELECT payload, row_number() OVER () n
				   FROM fake_scan('$start', '$start', 0)) s
		  WHERE payload ~ '^s[0-9]'"),
	's1 s2 s3 s4 s5 s6 s7 s8',
	'contents read back from WAL');
is( $node->safe_psql(
		'postgres',
		"SELECT string_agg(payload || ' ' || prepared, ', ')
		   FROM fake_scan('$start', '$start') WHERE payload ~ '^p[0-9]'"),
	'p3 true, p1 true, p2 true',
	'prepared transactions come when and as they are committed');
is( $node->safe_psql(
		'postgres', "SELECT count(*) FROM fake_scan('$start', '$start')
		  WHERE payload = 'gone'"),
	0, 'nothing that was rolled back');
is( $node->safe_psql(
		'postgres',
		"SELECT string_agg(payload, ',') FROM fake_scan('$start', '$start', prefix => 'outbox2')"),
	'x', 'another prefix');

# Once caught up nothing is held, and all memory is given back
is( $node->safe_psql(
		'postgres', qq(
SET client_min_messages = error;
SELECT count(*) > 0 FROM fake_scan('$start', '$start', 4);
SELECT open_txns, memory, restart = scanned, spilled > 0
  FROM fake_progress() ORDER BY n DESC LIMIT 1;
SELECT count(*) FROM pg_backend_memory_contexts WHERE name LIKE 'outbox%';
)),
	"t\n0|0|t|t\n0",
	'nothing is left over');

# C names real commit records
is( $node->safe_psql(
		'postgres', qq(
SELECT count(*) > 0 FROM fake_scan('$start', '$start');
SELECT count(*) > 100, bool_and(fake_commit_crc(commit_start) = commit_crc)
  FROM (SELECT DISTINCT commit_start, commit_crc FROM fake_progress()
		 WHERE commit_start > '0/0') s;
SELECT count(fake_commit_crc(commit_start + d))
  FROM (SELECT commit_start FROM fake_progress() ORDER BY n DESC LIMIT 1) s,
	   unnest('{-24,-8,-1,1,4,8,16,24,8192,1048576,100000000}'::int[]) d;
SELECT fake_commit_crc('0/0'), fake_commit_crc('0/28'), fake_commit_crc('0/1000028'), fake_commit_crc('FFFFFFFF/0');
)),
	"t\nt|t\n0\n|||",
	'checks of commit records');

# An error in the sink: everything is released, the session goes on
{
	my ($stdout, $stderr) = ('', '');
	my $fails = join "\n",
	  map { "SELECT count(*) FROM fake_scan('$start', '$start', $_, fail_at => 1000);" } (0, 65536) x 20;

	$node->psql(
		'postgres',
		"SELECT count(*) > 0 FROM fake_scan('$start', '$start', 0);
		 SELECT fake_descriptors() AS before \\gset
		 $fails
		 SELECT fake_descriptors() - :before;
		 SELECT count(*) FROM pg_backend_memory_contexts WHERE name LIKE 'outbox%';",
		stdout => \$stdout,
		stderr => \$stderr,
		on_error_stop => 0);
	is($stdout, "t\n0\n0", 'no descriptor and no memory leaks on errors');
	is(() = $stderr =~ /fake sink fails at message 1000/g, 40,
		'it did fail');
}

# Interrupted
my ($ret, $out, $err) = $node->psql('postgres',
	"SET statement_timeout = '300ms'; SELECT count(*) FROM fake_scan('$start', '$start', follow_ms => 60000)");
like($err, qr/canceling statement due to statement timeout/,
	'a scan can be interrupted');

$node->stop;
done_testing();
