# kill -9 of the relay, of outbox-kafka, and crashes of the server, while captured tables
# are written: consumers end with the table, each change once and in order.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;
use LogCapture;

# Splits happen too: a transaction of 60 rows, 50 a Kafka transaction.
my $node = log_node('crash', conf => "outbox.max_kafka_txn_events = 50\noutbox.retry_max = 300\n");
my $topic = topic('crash');
my $rounds = 6;

$node->safe_psql('postgres', qq(
SELECT outbox.create_event_type('Said', format => 'json', topic => '$topic', partitions => 1);
CREATE TABLE acct (id int PRIMARY KEY, n int NOT NULL, pad text);
ALTER TABLE acct REPLICA IDENTITY FULL;
CREATE TABLE log_of_commits (n int);
));
capture_log($node, 'public.acct', topic => $topic, format => 'json', toast => 'full', partitions => 1);

# Transactions: each changes rows, and says how often before and after.
my $load = q(
DO $$
DECLARE
	i int;
	last int := coalesce((SELECT max(n) FROM log_of_commits), 0);
BEGIN
	FOR i IN last + 1 .. last + 400 LOOP
		PERFORM outbox.emit('Said', json_build_object('n', i::text)::jsonb, key => 'k');
		INSERT INTO acct VALUES (i % 7, i, 'pad') ON CONFLICT (id) DO UPDATE SET n = excluded.n;
		IF i % 5 = 0 THEN DELETE FROM acct WHERE id = i % 3; END IF;
		IF i % 50 = 0 THEN
			INSERT INTO acct SELECT g, i FROM generate_series(100, 159) g
				ON CONFLICT (id) DO UPDATE SET n = excluded.n;
		END IF;
		INSERT INTO log_of_commits VALUES (i);
		COMMIT;
	END LOOP;
END $$;
);

foreach my $round (1 .. $rounds)
{
	my $before = $node->safe_psql('postgres', 'SELECT count(*) FROM log_of_commits');
	my ($out, $err) = ('', '');
	my $psql = IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-c', $load ],
		'>', \$out, '2>', \$err);

	# In the middle of it.
	wait_for($node, "SELECT count(*) > $before + 100 FROM log_of_commits") or diag($err);
	my $what = (qw(relay child server))[ $round % 3 ];
	if ($what eq 'server')
	{
		$node->stop('immediate');
		$psql->finish;
		$node->start;
	}
	else
	{
		kill9($what eq 'relay' ? relay_pid($node) : child_pid($node));
		$psql->finish;
		$node->poll_query_until('postgres', 'SELECT true');
	}
	ok(wait_state($node, 'streaming'), "round $round: streaming after $what was killed");
}

my @seen = changes($node, $topic);
my %state;
my %ids;
my ($twice, $disorder, $last, $said) = (0, 0, 0, 0);
foreach my $m (@seen)
{
	my ($id) = map { $_->[1] } grep { $_->[0] eq 'id' } @{ $m->{headers} };
	$twice++ if defined $id && $ids{$id}++;
	my $v = $m->{value} or next;
	if (!exists $v->{op})
	{
		$disorder++ if $v->{n} <= $last;
		$last = $v->{n};
		$said++;
		next;
	}
	my $row = $v->{after} // $v->{before};
	my $had = $state{ $row->{id} };
	$disorder++ if $v->{after} && $v->{after}{n} != $last;
	$disorder++ if ($v->{before} ? $v->{before}{n} : 'none') ne ($had // 'none');
	if ($v->{op} eq 'd') { delete $state{ $row->{id} }; }
	else { $state{ $row->{id} } = $row->{n}; }
}
is($twice, 0, 'nothing came twice');
is($disorder, 0, 'every change follows the one before, in its own transaction');
is($said, $node->safe_psql('postgres', 'SELECT count(*) FROM log_of_commits'),
	'every event came');
is(join(' ', map { "$_:$state{$_}" } sort { $a <=> $b } keys %state),
	$node->safe_psql('postgres', q(SELECT string_agg(id || ':' || n, ' ' ORDER BY id) FROM acct)),
	'what a consumer has is the table');
cmp_ok($said, '>', 100 * $rounds, 'under load');
$node->stop;
done_testing();
