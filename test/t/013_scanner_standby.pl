# On a standby: what is replayed comes out, the same as on the primary; across
# the promotion, in one scan that is under way and in scans begun later on the
# new timeline, also when the old timeline's segment is renamed by archiving.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../modules/fake_sink/lib";
use FakeSink;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = new_node(
	'primary',
	streaming => 1,
	initdb => ['--wal-segsize=1']);

$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf',
	"archive_mode = always\narchive_command = 'false'\nhot_standby = on\n");
$standby->start;

my $start = current_lsn($primary);
$primary->safe_psql(
	'postgres', q(
SELECT say('ordinary ' || n) FROM generate_series(1, 50) n;
BEGIN; SELECT say('a'); SAVEPOINT a; SELECT say(repeat('b', 1500000)); RELEASE a; COMMIT;
BEGIN; SELECT say('prepared'); SAVEPOINT a; SELECT say('prepared'); PREPARE TRANSACTION 'across';
DO $$ BEGIN FOR n IN 1..100 LOOP PERFORM say(repeat('q', n * 10)); COMMIT; END LOOP; END $$;
));
my $running = $primary->background_psql('postgres');
$running->query_safe("BEGIN; SELECT say('lost'); SAVEPOINT a; SELECT say('lost');");
$primary->safe_psql('postgres', "SELECT say('last')");
$primary->wait_for_catchup($standby);

my @expected = expected($primary, $start);
compare_scan([ scanned($primary, $start) ], \@expected, 'primary');
foreach my $memory (65536, 0)
{
	compare_scan([ scanned($standby, $start, memory => $memory) ],
		\@expected, "standby, $memory kB");
}
is( $standby->safe_psql('postgres', 'SELECT timeline FROM fake_flushed()'),
	1, 'old timeline');
is( $standby->safe_psql(
		'postgres', 'SELECT lsn = pg_last_wal_replay_lsn() FROM fake_flushed()'),
	't', 'a standby reads up to the replay pointer');

# Places reported by the standby before the promotion
my ($restart, $position) = split /\|/,
  $standby->safe_psql(
	'postgres', qq(
SELECT count(*) > 0 FROM fake_scan('$start', '$start');
SELECT restart, scanned FROM fake_progress() ORDER BY n DESC LIMIT 1;
)) =~ s/^t\n//r;

# One scan stays at it while the primary dies and the standby takes over
my ($out, $err) = ('', '');
my $scan = IPC::Run::start(
	[
		'psql', '-XAtq', '-h', $standby->host, '-p', $standby->port,
		'-d', 'postgres', '-c',
		"SELECT xid || ':' || len || ':' || hash FROM fake_scan('$start', '$start', 16, follow_ms => 5000);"
		  . "SELECT 'open ' || open_txns FROM fake_progress() ORDER BY n DESC LIMIT 1"
	],
	'>', \$out,
	'2>', \$err);
$standby->poll_query_until('postgres',
	"SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%follow_ms%' AND pid <> pg_backend_pid()"
);
$primary->stop('immediate');
$running->{run}->kill_kill;
$standby->promote;
$standby->safe_psql(
	'postgres', q(
SELECT say('new timeline');
COMMIT PREPARED 'across';
DO $$ BEGIN FOR n IN 1..200 LOOP PERFORM say(repeat('z', n * 50)); COMMIT; END LOOP; END $$;
SELECT say('end');
));
$scan->finish;
is($err, '', 'the scan under way did not fail');
my @following = split /\n/, $out;
is(pop @following, 'open 0', 'nothing is left over');

is($standby->safe_psql('postgres', 'SELECT timeline FROM fake_flushed()'),
	2, 'new timeline');

# pg_waldump follows one timeline: before the switch the order is the
# primary's, after it what is new on the standby.
my %before = map { $_ => 1 } @expected;
push @expected, grep { !$before{$_} } expected($standby, $standby->safe_psql(
	'postgres', "SELECT lsn FROM fake_scan('$start', '$start') WHERE payload = 'new timeline'"
  ) =~ s/^(.*)$/segment_start($1)/er, timeline => 2);
cmp_ok(scalar @expected, '>', 354, 'there is something to compare');

sub segment_start
{
	my ($lsn) = @_;
	my ($high, $low) = split '/', $lsn;
	return sprintf '%s/%X', $high, hex($low) & ~0xFFFFF;
}

compare_scan(\@following, \@expected, 'a scan under way');
foreach my $memory (65536, 0)
{
	compare_scan([ scanned($standby, $start, memory => $memory) ],
		\@expected, "from the old timeline, $memory kB");
}
my @rest = scanned($standby, $restart, position => $position);
compare_scan(\@rest, [ @expected[ -@rest .. -1 ] ],
	'going on from before the promotion');
is(scalar @rest, 1 + 2 + 200 + 1, 'all of the rest');
my ($pairs, $wrong) = split /\|/, check_resume($standby, $start, memory => 64);
is($wrong, 0, "from $pairs places on both timelines");

$standby->stop;
done_testing();
