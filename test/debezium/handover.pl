# The hand-over of docs/debezium.md with the real connector: it publishes a table
# that is being written, is stopped, and outbox goes on in the same topic where
# it has stopped.  Every row is in that topic once.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename;
use File::Temp;

BEGIN
{
	my $bin = dirname($ENV{OUTBOX_KAFKA} // '/usr/bin/outbox-kafka');
	my $perl = abs_path(dirname(__FILE__) . '/../perl');
	my $pgxs = `$bin/pg_config --pgxs`;
	chomp $pgxs;
	$pgxs =~ s{/src/makefiles/pgxs\.mk$}{};
	$ENV{OUTBOX_ROOT} //= abs_path(dirname(__FILE__) . '/../..');
	$ENV{PATH} = "$bin:$ENV{PATH}";
	$ENV{PG_REGRESS} = "$pgxs/src/test/regress/pg_regress";
	my $dir = File::Temp->newdir(CLEANUP => 0)->dirname;
	$ENV{TESTDIR} = $dir;
	$ENV{TESTDATADIR} = "$dir/tmp_check";
	$ENV{TESTLOGDIR} = "$dir/tmp_check/log";
	delete @ENV{qw(PGHOST PGPORT PGUSER)};
	unshift @INC, $perl, "$pgxs/src/test/perl";
	chdir $dir;
}

use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;
use LogCapture;
use POSIX ();
use Time::HiRes qw(sleep);

my $node = log_node('main', conf => "outbox.retry_max = 500\nlisten_addresses = '127.0.0.1'\n");
my $worker = "$ENV{TESTDIR}/connect";
my $prefix = topic('dbz');
my $topic = "$prefix.public.orders";

sub sql { return $node->safe_psql('postgres', @_); }

sub program
{
	my ($out, $err) = ('', '');
	IPC::Run::run([@_], '>', \$out, '2>', \$err) or diag("@_: $err$out");
	return $out;
}
sub debezium { my ($verb, @args) = @_; return program(root_folder() . '/test/support/debezium', $verb, $worker, @args); }

# Of the connector: place of its last event (a number), that one's transaction, and
# the last commit in front of it.
sub offsets
{
	my $answer = program('curl', '-sS', '--noproxy', '*', slurp_file("$worker/url") =~ s/\s+$//r . '/connectors/dbz/offsets');
	my $offsets = eval { decode_json($answer)->{offsets}[0]{offset} } // {};
	return map { $offsets->{$_} // 0 } qw(lsn txId lsn_commit);
}

sub ask { return program('curl', '-sS', '--noproxy', '*', '-X', 'PUT', slurp_file("$worker/url") =~ s/\s+$//r . "/connectors/dbz/$_[0]"); }

sub wait_until
{
	my ($what, $title) = @_;
	for (1 .. 600) { return pass($title) if $what->(); sleep 0.2; }
	return fail($title);
}

sql("DO \$\$ BEGIN CREATE ROLE postgres SUPERUSER LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END \$\$");
sql('CREATE TABLE orders (id bigserial PRIMARY KEY, v text); CREATE PUBLICATION dbz FOR TABLE orders; CREATE EXTENSION pg_walinspect');
debezium('start', bootstrap());
append_to_file("$ENV{TESTDIR}/dbz.json", encode_json({
	'connector.class' => 'io.debezium.connector.postgresql.PostgresConnector', 'tasks.max' => '1',
	'database.hostname' => '127.0.0.1', 'database.port' => '' . $node->port, 'database.user' => 'postgres',
	'database.password' => 'none', 'database.dbname' => 'postgres', 'topic.prefix' => $prefix,
	'plugin.name' => 'pgoutput', 'slot.name' => 'dbz', 'publication.name' => 'dbz',
	'publication.autocreate.mode' => 'disabled', 'snapshot.mode' => 'no_data',
	'exactly.once.support' => 'required', 'transaction.boundary' => 'poll', 'poll.interval.ms' => '20' }));
debezium('connector', 'dbz', "$ENV{TESTDIR}/dbz.json");
ok(wait_for($node, "SELECT active FROM pg_replication_slots WHERE slot_name = 'dbz'"), 'the connector reads');

my $stop = "$ENV{TESTDIR}/stop";
my @writers;
for my $w (1 .. 2)
{
	my $parent = $$;
	my $pid = fork() // die;
	if (!$pid)
	{
		until (-e $stop || getppid() != $parent)
		{
			program('psql', '-XqAt', '-d', $node->connstr('postgres'), '-c', <<"SQL");
DO \$\$ BEGIN
	FOR i IN 1..20 LOOP INSERT INTO orders (v) SELECT 'w$w' FROM generate_series(1, 1 + i % 5); COMMIT; END LOOP;
END \$\$
SQL
			sleep 0.02;
		}
		POSIX::_exit(0);
	}
	push @writers, $pid;
}
wait_until(sub { (offsets())[2] > 0 }, 'and publishes');

sql('SELECT outbox.pause()');
ok(wait_state($node, 'paused'), 'publishing is paused');
sql("SELECT outbox.capture('orders', topic => '$topic', format => 'json', key_format => 'record')");
my $captured = sql("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')");
wait_until(sub { (offsets())[2] >= $captured }, 'the connector has passed the capture');
my ($from, $left);
for (1 .. 20)
{
	ask('stop');
	wait_for($node, "SELECT NOT active FROM pg_replication_slots WHERE slot_name = 'dbz'");
	sleep 1;
	my ($lsn, $xid) = offsets();
	($from, $left) = split /\|/, sql(<<"SQL");
SELECT max(end_lsn) FILTER (WHERE record_type LIKE 'COMMIT%'),
	count(*) FILTER (WHERE resource_manager LIKE 'Heap%' AND start_lsn > '0/0'::pg_lsn + $lsn)
FROM pg_get_wal_records_info('0/0'::pg_lsn + $lsn, pg_current_wal_flush_lsn()) WHERE xid::text = '$xid'
SQL
	last if $from && !$left;
	ask('resume');
	sleep 2;
}
ok($from && !$left, "it has stopped between two transactions, at $from");
sleep 1;
sql("SELECT outbox.alter_capture('orders', from_lsn => '$from')");
sql('SELECT outbox.resume()');
sleep 1;
append_to_file($stop, '');
waitpid($_, 0) foreach @writers;
ok(wait_published($node), 'outbox goes on');

my @seen = grep { $_->{value} } consume($node, $topic);
my %times;
$times{ $_->{value}{after}{id} }++ foreach @seen;
my $ours = grep { $_->{value}{source}{version} !~ /Final/ } @seen;
cmp_ok(scalar(@seen) - $ours, '>', 10, 'rows by Debezium: ' . (scalar(@seen) - $ours));
cmp_ok($ours, '>', 10, "rows by outbox: $ours");
is(scalar(grep { $_ > 1 } values %times), 0, 'no row twice');
is(scalar(keys %times), sql('SELECT count(*) FROM orders'), 'none is missing');
debezium('stop');
$node->stop;
system('rm', '-rf', $ENV{TESTDIR});
done_testing();
