# When a caught-up relay closes a batch, and when a commit wakes it: at once if
# outbox-kafka can begin another Kafka transaction, else not at all.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use OutboxTest;

my $topic = topic('pacing');
my $broker = OutboxTest::Broker->new();
my $node = outbox_node('pacing', bootstrap => $broker->bootstrap,
	conf => "outbox.heartbeat_interval = '1h'\nsynchronous_commit = off\n");
my $n = 0;

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub counted { return sql("SELECT $_[0] FROM outbox.stat_relay WHERE datname = 'postgres'"); }

# So many transactions of one event, one after another in one session.
sub commits
{
	my ($count) = @_;
	my $from = $n + 1;

	$n += $count;
	sql("DO \$\$ BEGIN FOR i IN $from .. $n LOOP
		PERFORM outbox.emit('pacing', jsonb_build_object('n', i), key => 'k'); COMMIT;
		END LOOP; END \$\$");
	return;
}

# How often the relay has gone to sleep.
sub sleeps
{
	return slurp_file('/proc/' . relay_pid($node) . '/status') =~ /^voluntary_ctxt_switches:\s+(\d+)/m
	  ? $1 : die;
}

sql("SELECT outbox.create_event_type('pacing', format => 'json', topic => '$topic', partitions => 1)");
commits(20);
ok(wait_published($node, timeout => 20), 'publishes');

# --- what is committed while outbox-kafka is busy ------------------------------
# The broker stands still: the first batch is under way, not acknowledged.
foreach my $round (1 .. 3)
{
	my $before = counted('kafka_transactions');

	$broker->pause;
	commits(1);
	usleep(700_000);			# the relay looks by itself within 250 ms
	foreach (1 .. 4)
	{
		commits(10);
		usleep(300_000);
	}
	$broker->cont;
	ok(wait_published($node, timeout => 20), 'the broker goes on: published');
	is(counted('kafka_transactions') - $before, 2,
		'one Kafka transaction, and one of all that was committed meanwhile');
}

# --- who is woken ---------------------------------------------------------------
$broker->pause;
commits(1);
usleep(700_000);
my $slept = sleeps();
commits(2000);
my $woken = sleeps() - $slept;
$broker->cont;
note("2000 commits, woken $woken times");
cmp_ok($woken, '<', 200, 'a relay that cannot begin a batch is not woken by each commit');
ok(wait_published($node, timeout => 20), 'and has missed none');

# One after the other; how long each takes is for people to read.
note('commit to published, ms in the mean of 20: ' . sql(<<"SQL"));
CREATE TABLE took (ms float8);
DO \$\$
DECLARE
	done bigint := (SELECT events FROM outbox.stat_relay WHERE datname = 'postgres');
	began timestamptz := clock_timestamp();
BEGIN
	FOR i IN 1 .. 20 LOOP
		PERFORM outbox.emit('pacing', jsonb_build_object('n', $n + i), key => 'k');
		COMMIT;
		WHILE (SELECT events FROM outbox.stat_relay WHERE datname = 'postgres') < done + i LOOP
			PERFORM pg_sleep(0.002);
		END LOOP;
	END LOOP;
	INSERT INTO took VALUES (extract(epoch FROM clock_timestamp() - began) * 1000 / 20);
END
\$\$;
SELECT round(ms) FROM took;
SQL
$n += 20;

is(join(' ', map { $_->{value}{n} } consume($node, $topic, { bootstrap => $broker->bootstrap })),
	join(' ', 1 .. $n), 'each event once, in order');
$node->stop;
done_testing();
