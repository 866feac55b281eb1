# Crashes: open transactions leave no abort record and must not be pushed nor
# hold anything back; prepared ones go on; a record of which only a part was
# written is stepped over; and under load, scan and crash in turns give every
# commit once.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../modules/fake_sink/lib";
use FakeSink;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('crash', initdb => ['--wal-segsize=1']);
my $start = current_lsn($node);

sub final_progress
{
	my ($from, $what) = @_;
	return $node->safe_psql('postgres',
		"SELECT count(*) > 0 FROM fake_scan('$from', '$from');
		 SELECT $what FROM fake_progress() ORDER BY n DESC LIMIT 1") =~ s/^[tf]\n//r;
}

# Open and prepared transactions, with and without subtransactions
my @sessions = map { $node->background_psql('postgres') } 0 .. 1;
$sessions[0]->query_safe("BEGIN; SELECT say('lost'); SAVEPOINT a; SELECT say('lost');");
$sessions[1]->query_safe("BEGIN; SAVEPOINT a; SELECT say('lost'); RELEASE a;");
$node->safe_psql(
	'postgres', q(
BEGIN; SELECT say('kept 1'); SAVEPOINT a; SELECT say('kept 2'); RELEASE a; PREPARE TRANSACTION 'kept';
BEGIN; SAVEPOINT a; SELECT say('kept 3'); RELEASE a; PREPARE TRANSACTION 'kept too';
BEGIN; SELECT say('rolled back'); SAVEPOINT a; SELECT say('rolled back'); PREPARE TRANSACTION 'rolled back';
SELECT say('flushes the above');
));
is(final_progress($start, 'open_txns'), 3 + 2 + 1 + 2, 'xids with messages');
my ($restart, $position) = split /\|/, final_progress($start, 'restart, scanned');

$node->stop('immediate');
$_->{run}->kill_kill foreach @sessions;
$node->start;

is(final_progress($start, 'open_txns'),
	2 + 1 + 2, 'after recovery the prepared ones are left');
cmp_ok(
	$node->safe_psql(
		'postgres',
		"SELECT pg_wal_lsn_diff('" . final_progress($start, 'restart') . "', '$restart')"),
	'>', 0, 'crash leftovers hold nothing back');

# An orderly restart does not end them either
$node->restart;
is(final_progress($start, 'open_txns'), 5, 'and after an orderly restart');
$node->safe_psql(
	'postgres', q(
SELECT say('after');
COMMIT PREPARED 'kept too';
ROLLBACK PREPARED 'rolled back';
CHECKPOINT;
SELECT say('after');
COMMIT PREPARED 'kept';
));
my @expected = expected($node, $start);
is(scalar @expected, 6, 'there is something to compare');
foreach my $memory (65536, 0)
{
	compare_scan([ scanned($node, $start, memory => $memory) ],
		\@expected, "over the crash, $memory kB");
	my ($pairs, $wrong) = split /\|/,
	  check_resume($node, $start, memory => $memory);
	is($wrong, 0, "over the crash from $pairs places, $memory kB");
}
is( $node->safe_psql(
		'postgres',
		"SELECT string_agg(payload, ',') FROM fake_scan('$restart', '$position')"),
	'after,kept 3,after,kept 1,kept 2',
	'going on from before the crash');
is(final_progress($start, 'open_txns, memory, restart = scanned'),
	'0|0|t', 'nothing is left over');

# A record of which only the first part got to disk.  The message reaches into
# the next segment, which is removed; recovery ends at the missing part.
$start = current_lsn($node);
$node->safe_psql('postgres', "SELECT say('before the torn record')");
my ($segment, undef, $end) = split /\n/,
  $node->safe_psql(
	'postgres', q(
SELECT pg_walfile_name(pg_current_wal_insert_lsn());
SELECT pg_logical_emit_message(true, 'outbox', repeat('torn', 300000)) IS NULL;
SELECT pg_walfile_name(pg_current_wal_insert_lsn());
));
isnt($segment, $end, 'the record crosses into another segment');
$node->stop('immediate');
unlink $node->data_dir . "/pg_wal/$end" or die "$end: $!";
$node->start;
$node->safe_psql('postgres', "SELECT say('after the torn record')");
@expected = expected($node, $start);
my ($wal, $ignored) = ('', '');
IPC::Run::run [
	'pg_waldump', '-p', $node->data_dir . '/pg_wal', '-s', $start, '-r', 'XLOG'
  ],
  '>', \$wal, '2>', \$ignored;
like($wal, qr/OVERWRITE_CONTRECORD/, 'the record is torn');
is( $node->safe_psql(
		'postgres',
		"SELECT string_agg(payload, ',') FROM fake_scan('$start', '$start')"),
	'before the torn record,after the torn record',
	'a torn record is stepped over');

# Load, scan, crash, in turns
$start = current_lsn($node);
my $script = $node->basedir . '/load.sql';
PostgreSQL::Test::Utils::append_to_file(
	$script, q(
\set r random(1, 8)
\set n random(1, 12000)
\set gid random(1, 1000000000000)
BEGIN;
SELECT say('a :client_id');
SAVEPOINT s;
SELECT say(repeat('y', :n));
\if :r = 1
ROLLBACK TO s;
SELECT say('b');
\endif
\if :r = 2
ROLLBACK;
\elif :r = 3
PREPARE TRANSACTION ':gid';
COMMIT PREPARED ':gid';
\elif :r = 4
PREPARE TRANSACTION ':gid';
ROLLBACK PREPARED ':gid';
\else
COMMIT;
\endif
));
my @got;
($restart, $position) = ($start, $start);
for my $round (1 .. 6)
{
	my ($out, $memory) = ('', $round % 2 ? 65536 : 16);
	my $load = IPC::Run::start(
		[
			'pgbench', '-n', '-h', $node->host, '-p', $node->port, '-c', '4',
			'-T', '60', '-f', $script, 'postgres'
		],
		'>', \$out,
		'2>', \$out);
	my @lines = split /\n/,
	  $node->safe_psql(
		'postgres',
		"SELECT xid || ':' || len || ':' || hash
		   FROM fake_scan('$restart', '$position', $memory, follow_ms => 700);
		 SELECT restart, scanned FROM fake_progress() ORDER BY n DESC LIMIT 1");

	($restart, $position) = split /\|/, pop @lines;
	push @got, @lines;
	$node->stop('immediate');
	$load->finish;
	$node->start;
}
foreach my $gid (split /\n/,
	$node->safe_psql('postgres', 'SELECT gid FROM pg_prepared_xacts'))
{
	$node->safe_psql('postgres', "COMMIT PREPARED '$gid'");
}
push @got, scanned($node, $restart, position => $position);
@expected = expected($node, $start);
cmp_ok(scalar @expected, '>', 500, scalar(@expected) . ' messages');
compare_scan(\@got, \@expected, 'six crashes under load');
compare_scan([ scanned($node, $start) ], \@expected, 'in one go');

$node->stop;
done_testing();
