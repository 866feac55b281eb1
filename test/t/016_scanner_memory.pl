# Memory stays within the limit: one large transaction, many subtransactions,
# many open transactions, large messages; and is given back.  The process's own
# memory is measured, not only what the scanner says.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../modules/fake_sink/lib";
use FakeSink;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('memory', conf => "wal_keep_size = 8GB\nmax_wal_size = 8GB\nsynchronous_commit = off\n");

cmp_ok($node->safe_psql('postgres', 'SELECT fake_pending_check()'),
	'>', 100000, 'checks in C');

# In a process of its own each time; the first scan warms its caches up
sub bench
{
	my ($from, $memory) = @_;
	my @row = split /\|/,
	  $node->safe_psql(
		'postgres', qq(
SELECT count(*) < 0 FROM fake_bench(pg_current_wal_flush_lsn(), '0/0', 0);
SELECT txns, messages, peak_memory, spilled, grown_kb, left_kb, ms FROM fake_bench('$from', '$from', $memory);
)) =~ s/^f\n//r;
	my %result;

	@result{qw(txns messages peak spilled grown left ms)} = @row;
	note(join ', ', map { "$_ $result{$_}" } sort keys %result);
	return \%result;
}

sub flushed
{
	$node->safe_psql('postgres', 'SELECT pg_switch_wal()');
	return current_lsn($node);
}

# A transaction of a million messages
my $n = 1000000;
my $from = flushed();
$node->safe_psql('postgres',
	"DO \$\$ BEGIN FOR i IN 1..$n LOOP PERFORM pg_logical_emit_message(true, 'outbox', repeat('x', 100)); END LOOP; END \$\$");
flushed();
my $r = bench($from, 4096);
is($r->{messages}, $n, 'all of a large transaction');
is($r->{spilled}, 1, 'spilled');
cmp_ok($r->{peak}, '<', 4096 * 1024 + 4 * $n, 'peak of what is held');
cmp_ok($r->{grown}, '<', 4096 + 4 * $n / 1024 + 2048, 'growth of the process, kB');
cmp_ok($r->{left}, '<', 1000, 'what stays of it');
$r = bench($from, 1000000);
is($r->{spilled}, 0, 'not spilled');
is($r->{messages}, $n, 'all of it, from memory');
cmp_ok($r->{left}, '<', 1000, 'what stays of it');

# Subtransactions
$from = flushed();
$node->safe_psql(
	'postgres', q(
DO $$ BEGIN FOR i IN 1..50000 LOOP
	BEGIN PERFORM pg_logical_emit_message(true, 'outbox', repeat('x', 100));
	EXCEPTION WHEN division_by_zero THEN NULL; END;
END LOOP; END $$));
flushed();
$r = bench($from, 1024);
is("$r->{txns} $r->{messages}", '1 50000', 'all of many subtransactions');
cmp_ok($r->{grown}, '<', 1024 + 50000 * 200 / 1024 + 2048, 'growth of the process, kB');

# Small transactions need next to nothing
$from = flushed();
$node->safe_psql(
	'postgres', q(
DO $$ BEGIN FOR i IN 1..200000 LOOP
	PERFORM pg_logical_emit_message(true, 'outbox', repeat('x', 100)); COMMIT;
END LOOP; END $$));
flushed();
$r = bench($from, 65536);
is("$r->{txns} $r->{messages}", '200000 200000', 'all of many transactions');
cmp_ok($r->{peak}, '<', 10000, 'peak of what is held');
cmp_ok($r->{grown}, '<', 1024, 'growth of the process, kB');

# Large messages pass one at a time
$from = flushed();
$node->safe_psql('postgres',
	"SELECT pg_logical_emit_message(true, 'outbox', repeat('x', 10000000)) FROM generate_series(1, 20)");
flushed();
$r = bench($from, 1024);
is($r->{messages}, 20, 'all of the large messages');
cmp_ok($r->{grown}, '<', 6 * 10000, 'growth of the process, kB');
cmp_ok($r->{left}, '<', 1000, 'what stays of it');

# Many transactions open at a time, far above the limit
my @sessions = map { $node->background_psql('postgres') } 1 .. 20;
$from = current_lsn($node);
for my $round (1 .. 5)
{
	$_->query_safe(($round == 1 ? 'BEGIN;' : '') . "SELECT say(repeat('y', 30000))")
	  foreach @sessions;
}
$_->query_safe('COMMIT') foreach @sessions;
$_->quit foreach @sessions;
flushed();
my @expected = expected($node, $from);
is(scalar @expected, 100, 'there is something to compare');
foreach my $memory (10, 200, 1000, 10000)
{
	compare_scan([ scanned($node, $from, memory => $memory) ],
		\@expected, "many open transactions, $memory kB");
	cmp_ok(bench($from, $memory)->{peak}, '<', ($memory + 10) * 1024,
		"within $memory kB");
}

$node->stop;
done_testing();
