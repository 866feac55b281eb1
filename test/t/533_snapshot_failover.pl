# A failover in the middle of a snapshot: the new primary goes on behind the last
# row that is in Kafka, and does not begin a finished one again.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;

my $conf = "outbox.host_identity = 'one'\noutbox.heartbeat_interval = 300\noutbox.retry_max = 500\n";
my $old = outbox_node('old', init => [ allows_streaming => 1 ], conf => $conf);
my $topic = topic('rows');
my $ROWS = 400;

$old->safe_psql('postgres', <<"SQL");
CREATE TABLE rows (id int PRIMARY KEY, v int);
INSERT INTO rows SELECT i, 1 FROM generate_series(1, $ROWS) i;
SELECT outbox.capture('rows', format => 'json', topic => '$topic', partitions => 2);
SQL
my $first = $old->safe_psql('postgres', "SELECT outbox.snapshot('rows', row_filter => 'id <= 10')");
ok(wait_for($old, "SELECT state FROM outbox.stat_snapshot WHERE job = $first", want => 'done'), 'one snapshot is done');
my $new = PostgreSQL::Test::Cluster->new('new');
$old->backup('copy');
$new->init_from_backup($old, 'copy', has_streaming => 1);
$new->start;

my $job = $old->safe_psql('postgres', "SELECT outbox.snapshot('rows', chunk_rows => 10, rate_limit => 100)");
ok(wait_for($old, "SELECT rows >= 30 FROM outbox.stat_snapshot WHERE job = $job"), 'another is under way');
$old->safe_psql('postgres', 'UPDATE rows SET v = 2 WHERE id IN (1, 399)');
ok(wait_published($old), 'rows are changed');
$old->safe_psql('postgres', 'SELECT outbox.pause()');
ok(wait_state($old, 'paused'), 'publishing stops');
$old->wait_for_catchup($new);
my ($done) = $old->safe_psql('postgres', "SELECT rows FROM outbox.stat_snapshot WHERE job = $job");
cmp_ok($done, '<', $ROWS, 'in the middle of it');
$old->stop('immediate');
$new->promote;

$new->safe_psql('postgres', "UPDATE outbox.snapshot_job SET rate_limit = NULL WHERE id = $job; DELETE FROM outbox.snapshot_progress WHERE job_id = $first");
$new->safe_psql('postgres', 'SELECT outbox.resume()');
ok(wait_for($new, "SELECT string_agg(state, ' ' ORDER BY job) FROM outbox.stat_snapshot", want => 'done done'), 'both are done on the new primary');
my (%times, %last);
foreach my $m (consume($new, $topic))
{
	my ($id) = map { $_->[1] } grep { $_->[0] eq 'id' } @{ $m->{headers} };
	$times{ substr($id, 0, 18) }{ $m->{key} }++ if $m->{value}{op} eq 'r';
	$last{ $m->{key} } = $m->{value}{after}{v};
}
is(join(' ', sort map { scalar keys %$_ } values %times), "10 $ROWS", 'all rows');
is(scalar(grep { $_ > 1 } map { values %$_ } values %times), 0, 'each once');
is(join(' ', map { $last{$_} } 1, 2, 399), '2 1 2', 'as they are');
$new->stop;
done_testing();
