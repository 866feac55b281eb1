# Faults that other systems had, by the numbers under which they are known:
#
#	publication race	a table is captured while others write to it: no row of a
#				later transaction is missing, none comes of half a transaction
#	dbz#1554		rows of one COPY share an LSN: each is there once, whatever is
#				killed between two of them
#
# In state "gap" after a slot was made again behind the back (DBZ-5739), a missing
# TOAST chunk (bottledwater #113): 462_log_switch.pl and 460_log_capture.pl.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;

my $node = outbox_node('main', conf => "outbox.max_kafka_txn_events = 300\n");
wait_state($node, 'streaming');

# --- publication race -------------------------------------------------------------

my ($race, $copy) = (topic('race'), topic('copy'));
my @writers = 1 .. 3;
my $pairs = 400;

$node->safe_psql('postgres', <<'SQL');
CREATE TABLE race (writer int, n int, PRIMARY KEY (writer, n));
CREATE TABLE begun (writer int);
CREATE PROCEDURE write_pairs(writer int, pairs int) LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO begun VALUES (writer);
	FOR i IN 1 .. pairs LOOP
		INSERT INTO race VALUES (writer, 2 * i - 1);
		INSERT INTO race VALUES (writer, 2 * i);
		COMMIT;
	END LOOP;
END $$;
SQL
my @running = map {
	IPC::Run::start([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-c', "CALL write_pairs($_, $pairs)",
			'-d', $node->connstr('postgres') ], '>', \my $out, '2>', \my $err);
} @writers;
wait_for($node, 'SELECT count(*) = 3 FROM begun');
$node->safe_psql('postgres', "SELECT outbox.capture('race', topic => '$race', format => 'json', partitions => 1)");
# these begin after it has returned
$node->safe_psql('postgres', 'INSERT INTO race VALUES (0, 1), (0, 2)');
is(scalar(grep { !$_->finish } @running), 0, 'nobody was refused while the table was captured');
ok(wait_published($node), 'all is published');

my %seen;
push @{ $seen{ $_->{value}{after}{writer} } }, $_->{value}{after}{n} foreach consume($node, $race);
is(join(' ', @{ $seen{0} }), '1 2', 'what began after capture() is there');
foreach my $writer (@writers)
{
	my @n = @{ $seen{$writer} // [] };
	my $first = @n ? $n[0] : 2 * $pairs + 1;
	is(join(' ', @n), join(' ', $first .. 2 * $pairs), "writer $writer: all rows from $first on, in order");
	is($first % 2, 1, "writer $writer: no half of a transaction");
}

# --- rows of one COPY (dbz#1554) ---------------------------------------------------

my $rows = 3000;
$node->safe_psql('postgres', <<"SQL");
CREATE TABLE copied (id int PRIMARY KEY, t text);
SELECT outbox.capture('copied', topic => '$copy', format => 'json', partitions => 1);
SELECT outbox.pause();
SQL
$node->psql('postgres', "COPY copied FROM STDIN;\n" . join('', map { "$_\trow $_\n" } 1 .. $rows) . "\\.\n");
is($node->safe_psql('postgres', 'SELECT count(*) FROM copied'), $rows, 'copied');
$node->safe_psql('postgres', 'SELECT outbox.resume()');
foreach my $victim (qw(child child relay child))
{
	kill9($victim eq 'child' ? child_pid($node) : relay_pid($node));
	wait_for($node, 'SELECT 1', want => '1');
}
ok(wait_state($node, 'streaming'), 'streaming again');
ok(wait_published($node), 'all is published');
my @ids = map { $_->{value}{after}{id} } consume($node, $copy);
is(scalar @ids, $rows, 'as many rows as were copied');
is(join(' ', @ids), join(' ', 1 .. $rows), 'each once and in order');
$node->stop;
done_testing();
