# outbox.delivery = at_least_once: nothing is lost, also when outbox-kafka or
# the relay is killed; what is published again keeps its order.  The setting
# can be changed at any time by a reload.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../faults/lib";
use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;
use FaultTest;
use Time::HiRes qw(sleep);

my $broker = OutboxTest::Broker->new();
my %at = (bootstrap => $broker->bootstrap);
my $node = outbox_node('delivery', %at, conf => "outbox.delivery = 'at_least_once'\n");
my ($plain, $typed) = set_up($node);

# Batches of the partitions of these topics: "transactional plain".
sub batches
{
	my ($out, $err) = ('', '');
	IPC::Run::run([ FaultTest::python(), '-B', '-c', <<'PY', root_folder() . '/test/faults', $broker->{dir}, @_ ], '>', \$out, '2>', \$err)
import glob, sys
sys.path.insert(0, sys.argv[1])
import kafka_log
found = [b for t in sys.argv[3:] for f in glob.glob(f"{sys.argv[2]}/data/{t}-*") for b in kafka_log.batches(f)]
print(sum(b.transactional for b in found), sum(not b.transactional for b in found))
PY
	  or diag($err);
	chomp $out;
	return $out;
}

# No loss, no phantom; first appearances in order.  Returns the number of
# events that were seen more than once.
sub check_at_least_once
{
	my ($title) = @_;
	my @seen = consume($node, $plain, $typed, \%at);
	my $by = events_by_id(@seen);
	my %truth = map { my ($id, $key, $seq) = split /\|/; ($id => [ $key, $seq ]) }
	  split /\n/, $node->safe_psql('postgres', 'SELECT id, key, seq FROM app.truth');
	is(scalar(grep { !$by->{$_} } keys %truth), 0, "$title: no loss");
	is(scalar(grep { !$truth{$_} } keys %$by), 0, "$title: no phantom");
	my (%last, %had);
	my $disorder = 0;
	foreach my $m (@seen)
	{
		my ($id) = map { $_->[1] } grep { $_->[0] eq 'id' } @{ $m->{headers} };
		next if $had{$id}++ || !$truth{$id};
		my $place = "$m->{topic} $m->{partition} $truth{$id}[0]";
		$disorder++ if ($last{$place} // 0) > $truth{$id}[1];
		$last{$place} = $truth{$id}[1];
	}
	is($disorder, 0, "$title: first appearances in order");
	my $twice = grep { @{ $by->{$_} } > 1 } keys %$by;
	note(scalar(@seen) . " messages of " . scalar(keys %truth) . " events, $twice more than once");
	return $twice;
}

# One session that writes while other things happen.
my $count = 0;
sub in_background
{
	my ($n) = @_;
	$count++;
	my $sql = "SELECT app.put('plain', 'w$count', '{\"n\": 1}');\n" x $n;
	my $file = PostgreSQL::Test::Utils::tempdir() . '/writer.sql';
	append_to_file($file, $sql);
	my $h = IPC::Run::start([ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-f', $file ],
		'<', \undef, '>', "$file.out", '2>&1');
	wait_for($node, "SELECT count(*) > 50 FROM app.truth WHERE key = 'w$count'", timeout => 20)
	  or BAIL_OUT('the writer does not write');
	return $h;
}

# ---- plain work
put($node, 'plain', 50);
put($node, 'typed', 50);
ok_resumed($node, 'at_least_once');
is(check_at_least_once('at work'), 0, 'no event twice when nothing happens');
like(batches($plain, $typed), qr/^0 [1-9]/, 'no transactions at the broker');

# ---- killed
for my $round (1 .. 4)
{
	my $writer = in_background(1500);
	sleep(0.1 * $round);
	kill9(child_pid($node));
	$writer->finish;
	ok_resumed($node, "outbox-kafka killed, round $round");
}
check_at_least_once('outbox-kafka killed');
put($node, 'plain', 50);
kill9(relay_pid($node));
wait_for($node, 'SELECT true');
ok_resumed($node, 'relay killed');
put($node, 'plain', 50);
$node->stop('immediate');
$node->start;
ok_resumed($node, 'server stopped at once');
$broker->kill9;
put($node, 'typed', 50);
$broker->call('start');
ok_resumed($node, 'broker killed');
check_at_least_once('relay, server, broker killed');

# ---- killed in the first moments, when the position is still on its way: what
# the database remembers as published must never be ahead of Kafka
foreach my $round (1 .. 4)
{
	my $db = "first_$round";
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	$node->safe_psql($db, 'CREATE EXTENSION outbox');
	wait_for($node, q{SELECT state = 'streaming' AND child_pid IS NOT NULL FROM outbox.status()}, db => $db);
	kill9(child_pid($node, $db));
	ok(wait_for($node, q{SELECT s.state = 'streaming' AND s.child_pid IS NOT NULL AND r.failures > 0
			FROM outbox.status() s, outbox.relay_rows() r, pg_database d
			WHERE d.oid = r.datid AND d.datname = current_database()}, db => $db, timeout => 20),
		"killed in the first moments, round $round")
	  or diag($node->safe_psql($db, 'SELECT state, reason FROM outbox.status()'));
	$node->safe_psql('postgres', "DROP DATABASE $db");
}

# ---- the other mode, and back, under load
foreach my $mode (qw(exactly_once at_least_once exactly_once))
{
	my $writer = in_background(1500);
	my $old = relay_pid($node);
	reload_with($node, 'outbox.delivery' => $mode);
	ok(wait_for($node, "SELECT pid <> $old AND state = 'streaming' FROM outbox.status()"),
		"another relay for $mode");
	$writer->finish;
	ok_resumed($node, "switched to $mode");
}
check_at_least_once('switched');

# ---- from here on exactly once
$node->safe_psql('postgres', 'TRUNCATE app.truth');
for my $round (1 .. 3)
{
	my $writer = in_background(1500);
	sleep(0.1);
	kill9(child_pid($node));
	$writer->finish;
}
ok_resumed($node, 'exactly_once, outbox-kafka killed');
my %since = map { $_ => 1 } split /\n/, $node->safe_psql('postgres', 'SELECT id FROM app.truth');
my @seen = grep { my ($id) = map { $_->[1] } grep { $_->[0] eq 'id' } @{ $_->{headers} }; $since{$id} }
  consume($node, $plain, $typed, \%at);
verify_events($node, truth_query(), \@seen, 'exactly_once again');

$node->stop;
done_testing();
