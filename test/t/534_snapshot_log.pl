# Snapshots of tables that are captured in mode log: the same races as with
# triggers, and images that lack columns.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;

my $node = outbox_node('log', conf => "wal_level = logical\noutbox.heartbeat_interval = 500\noutbox.retry_max = 500\n");

sub sql { return $node->safe_psql('postgres', @_); }

# Older minor versions do not have the setting.
if (sql("SELECT count(*) FROM pg_settings WHERE name = 'output_plugin_libraries'"))
{
	$node->append_conf('postgresql.conf', "output_plugin_libraries = 'pgoutput, test_decoding, outbox'");
	$node->reload;
}

sub finish
{
	my ($job) = @_;
	return ok(wait_for($node, "SELECT state FROM outbox.stat_snapshot WHERE job = $job", want => 'done'),
		"snapshot $job is done")
	  || diag(sql('SELECT row_to_json(s) FROM outbox.stat_snapshot s'));
}

# A snapshot, and what happens between its reading and its sending.
sub race
{
	my ($table, $meanwhile) = @_;
	$node->append_conf('postgresql.conf', 'outbox.snapshot_hold = on');
	$node->reload;
	my $job = sql("SELECT outbox.snapshot('$table')");
	ok(wait_for($node, "SELECT state FROM outbox.stat_snapshot WHERE job = $job", want => 'running'),
		"a chunk of $table is held");
	sql($meanwhile);
	ok(wait_published($node), 'changes are published');
	$node->append_conf('postgresql.conf', 'outbox.snapshot_hold = off');
	$node->reload;
	finish($job);
	return $job;
}

# "r1 u2": a row read with v = 1, then updated to 2.
sub history
{
	my %by;
	foreach my $m (@_)
	{
		my $row = $m->{value} && ($m->{value}{after} // $m->{value}{before});
		push @{ $by{ $m->{key} // '' } }, $m->{value} ? $m->{value}{op} . ($row->{v} // '') : '-';
	}
	return { map { $_ => join(' ', @{ $by{$_} }) } keys %by };
}

my ($full, $part) = (topic('full'), topic('part'));
sql(<<"SQL");
CREATE TABLE full_ (id int PRIMARY KEY, v int);
ALTER TABLE full_ REPLICA IDENTITY FULL;
INSERT INTO full_ SELECT i, 1 FROM generate_series(1, 9) i;
CREATE TABLE part_ (id int PRIMARY KEY, v int, long text);
ALTER TABLE part_ ALTER long SET STORAGE EXTERNAL;
INSERT INTO part_ SELECT i, 1, repeat('x', 5000) FROM generate_series(1, 9) i;
SELECT outbox.capture('full_', mode => 'log', toast => 'full', format => 'json', topic => '$full', partitions => 1);
SELECT outbox.capture('part_', mode => 'log', toast => 'omit', format => 'json', topic => '$part', partitions => 1);
SQL
ok(wait_for($node, q{SELECT bool_and(state = 'active') FROM outbox.captures}), 'both captures are active');
sql("BEGIN; UPDATE full_ SET v = 2 WHERE id = 3; PREPARE TRANSACTION 'a'");
race('full_', "COMMIT PREPARED 'a'; UPDATE full_ SET v = 2 WHERE id = 5; DELETE FROM full_ WHERE id = 7");
my $of = history(consume($node, $full));
is(join(', ', map { $of->{$_} } 1, 3, 5, 7), 'r1, u2, u2, d1 -', 'rows behind newer changes are left out');

race('part_', 'UPDATE part_ SET v = 2 WHERE id = 5');
my @seen = consume($node, $part);
$of = history(@seen);
is(join(', ', map { $of->{$_} } 1, 5, 9), 'r1, u2 r2, r1', 'where images lack columns, the row is read again');
my ($row) = map { $_->{value}{after} } grep { $_->{key} == 5 && $_->{value}{op} eq 'r' } @seen;
is(length $row->{long}, 5000, 'and is whole');
$node->stop;
done_testing();
