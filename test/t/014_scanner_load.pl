# Reading right behind many writers, against logical decoding (test_decoding)
# as a second opinion; and the same WAL in other steps and memory limits.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../modules/fake_sink/lib";
use FakeSink;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('load', wal_level => 'logical', initdb => ['--wal-segsize=1']);

$node->safe_psql('postgres',
	"SELECT pg_create_logical_replication_slot('opinion', 'test_decoding')");
my $start = current_lsn($node);

my $script = $node->basedir . '/load.sql';
PostgreSQL::Test::Utils::append_to_file(
	$script, q(
\set r random(1, 10)
\set n random(1, 3000)
\set gid random(1, 1000000000000)
BEGIN;
SELECT say('a :client_id :n');
SAVEPOINT s;
SELECT say(repeat('y', :n));
SAVEPOINT t;
SELECT say('c');
\if :r <= 2
ROLLBACK TO s;
\elif :r <= 4
ROLLBACK TO t;
SELECT say('d');
\elif :r <= 5
RELEASE s;
\endif
SELECT say('e');
\if :r = 6
ROLLBACK;
\elif :r = 7
PREPARE TRANSACTION ':gid';
COMMIT PREPARED ':gid';
\elif :r = 8
SET LOCAL synchronous_commit = off;
COMMIT;
\else
COMMIT;
\endif
));

my ($out, $got) = ('', '');
my $load = IPC::Run::start(
	[
		'pgbench', '-n', '-h', $node->host, '-p', $node->port, '-c', '6',
		'-t', '1500', '-f', $script, 'postgres'
	],
	'>', \$out,
	'2>', \$out);

# Two readers behind it; step and memory differ
my @readers = map {
	my $reader = { out => '', err => '' };
	$reader->{run} = IPC::Run::start(
		[
			'psql', '-XAtq', '-h', $node->host, '-p', $node->port,
			'-d', 'postgres', '-c',
			"SELECT xid || ':' || len || ':' || hash FROM fake_scan('$start', '$start', $_, follow_ms => 2500)"
		],
		'>', \$reader->{out},
		'2>', \$reader->{err});
	$reader;
} ('65536, 3', '8, 1000');
$load->finish;
$_->{run}->finish foreach @readers;

my @expected = expected($node, $start);
cmp_ok(scalar @expected, '>', 9000, scalar(@expected) . ' messages');
my @whole = scanned($node, $start);
compare_scan(\@whole, \@expected, 'afterwards');
foreach my $reader (@readers)
{
	my @rows = split /\n/, $reader->{out};

	is($reader->{err}, '', 'no error');
	cmp_ok(scalar @rows, '>', 500, scalar(@rows) . ' while writing');
	compare_scan(\@rows, [ @expected[ 0 .. $#rows ] ], 'reading behind the writers');
}

# test_decoding: xids and contents in commit order
my @decoded;
my $xid;
foreach my $line (
	split /\n/,
	$node->safe_psql(
		'postgres',
		"SELECT data FROM pg_logical_slot_get_changes('opinion', NULL, NULL)
		  WHERE data !~ '^table'"))
{
	$xid = $1 if $line =~ /^BEGIN (\d+)/;
	push @decoded, "$xid:$1:$2"
	  if $line =~ /^message: transactional: 1 prefix: outbox, sz: (\d+) content:(.*)$/;
}
compare_scan(
	[
		split /\n/,
		$node->safe_psql(
			'postgres',
			"SELECT xid || ':' || len || ':' || payload
			   FROM fake_scan('$start', '$start', 8, keep => 100000)")
	],
	\@decoded,
	'logical decoding agrees');

$node->stop;
done_testing();
