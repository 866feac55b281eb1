# Opened again at any (restart, position) that it ever reported, the scanner
# pushes exactly the commits after the position, once and in order: with
# transactions of several sessions crossing each other, prepared ones lasting
# long, messages that span pages and segments, and with messages spilled.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../modules/fake_sink/lib";
use FakeSink;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('resume', initdb => ['--wal-segsize=1']);

$node->safe_psql('postgres', 'CHECKPOINT; SELECT pg_switch_wal();');
my $start = current_lsn($node);
my @sessions = map { $node->background_psql('postgres') } 0 .. 4;
my @open = (0) x 5;
my @saved = (0) x 5;

srand(20240501);
for my $i (1 .. 260)
{
	my $n = int rand 5;
	my $s = $sessions[$n];
	my $what = int rand 10;

	if (!$open[$n])
	{
		$s->query_safe('BEGIN');
		$open[$n] = 1;
		$saved[$n] = 0;
	}
	if ($what < 5)
	{
		my $len = (1, 30, 200, 8000, 17000)[ int rand 5 ];
		$s->query_safe("SELECT say(repeat('x', $len) || '$i')");
	}
	elsif ($what == 5)
	{
		$s->query_safe('SAVEPOINT s');
		$saved[$n]++;
	}
	elsif ($what == 6 && $saved[$n])
	{
		$s->query_safe(rand() < 0.5 ? 'ROLLBACK TO s' : 'RELEASE s');
		$saved[$n] = 0;
	}
	elsif ($what == 7)
	{
		$s->query_safe('ROLLBACK');
		$open[$n] = 0;
	}
	elsif ($what == 8)
	{
		$s->query_safe("PREPARE TRANSACTION 'p$i'");
		$open[$n] = 0;
	}
	elsif ($what == 9)
	{
		$s->query_safe('COMMIT');
		$open[$n] = 0;
	}
	# some prepared transactions end here and there, others at the end
	if ($i % 20 == 0)
	{
		my $gid = $node->safe_psql('postgres',
			'SELECT min(gid) FROM pg_prepared_xacts');
		$node->safe_psql('postgres',
			($i % 40 ? 'COMMIT' : 'ROLLBACK') . " PREPARED '$gid'")
		  if $gid ne '';
	}
	$node->safe_psql('postgres', 'CHECKPOINT') if $i == 130;
	$node->safe_psql('postgres', 'SELECT pg_switch_wal()') if $i == 190;
}
for my $n (0 .. $#sessions)
{
	$sessions[$n]->query_safe('COMMIT') if $open[$n];
	$sessions[$n]->quit;
}
foreach my $gid (split /\n/,
	$node->safe_psql('postgres', 'SELECT gid FROM pg_prepared_xacts'))
{
	$node->safe_psql('postgres', "COMMIT PREPARED '$gid'");
}

my @expected = expected($node, $start);
compare_scan([ scanned($node, $start) ], \@expected, 'the whole is right');

foreach my $memory ([ 65536, 65536 ], [ 0, 65536 ], [ 65536, 16 ])
{
	my ($pairs, $wrong, $rows) = split /\|/,
	  check_resume($node, $start, memory => $memory->[0], again => $memory->[1]);

	is($rows, scalar @expected, "$rows messages");
	cmp_ok($pairs, '>', 300, "$pairs places to begin again");
	is($wrong, 0, "each of them gives the rest ($memory->[0] kB, then $memory->[1] kB)");
}

# Restart does move on: what is held back is at most what is open
is( $node->safe_psql(
		'postgres', qq(
SELECT count(*) > 0 FROM fake_scan('$start', '$start', max_records => 1);
SELECT bool_and(restart = scanned) FROM fake_progress() WHERE open_txns = 0;
SELECT bool_and(restart < scanned) FROM fake_progress() WHERE open_txns > 0;
)),
	"t\nt\nt",
	'restart is the first message of what is open, else where the scan is');

# While it reads again what is before the position, the position stands
my ($restart, $position) = split /\|/,
  $node->safe_psql(
	'postgres', qq(
SELECT count(*) > 0 FROM fake_scan('$start', '$start', max_records => 1);
SELECT restart, scanned FROM fake_progress() ORDER BY scanned::pg_lsn - restart DESC LIMIT 1;
)) =~ s/^t\n//r;
is( $node->safe_psql(
		'postgres', qq(
SELECT count(*) >= 0 FROM fake_scan('$restart', '$position', max_records => 1);
SELECT min(scanned) = '$position', min(restart) >= '$restart', count(*) FILTER (WHERE scanned = '$position') > 10
  FROM fake_progress();
)),
	"t\nt|t|t",
	'progress during catching up');

# and what it reports then is a place to begin again, too: a second crash while
# catching up after the first
my @places = split /\n/,
  $node->safe_psql(
	'postgres', qq(
SELECT count(*) > 0 FROM fake_scan('$start', '$start', max_records => 1);
SELECT min(restart), scanned FROM fake_progress()
 WHERE scanned > restart + 100000 GROUP BY 2 ORDER BY 2;
)) =~ s/^t\n//r;
my ($tried, $bad) = (0, 0);
for (my $i = 0; $i < @places; $i += int(@places / 7) + 1)
{
	my ($from, $to) = split /\|/, $places[$i];
	# the restart may also be lower than it needs to be
	foreach my $restart ($from, $start)
	{
		my ($pairs, $wrong) = split /\|/,
		  check_resume($node, $restart, position => $to);

		$tried += $pairs;
		$bad += $wrong;
	}
}
cmp_ok($tried, '>', 1000, "$tried places reported while catching up");
is($bad, 0, 'each of them gives the rest');

$node->stop;
done_testing();
