# pg_upgrade: the instance goes on by itself where the old server was shut down
# with everything published, each event once across it; else it says why not.
#
# From this release to itself, which changes the system identifier, WAL and slots
# as any pg_upgrade does.  OUTBOX_TEST_SERVERS=DIR:DIR:... (installations with
# bin and lib, oldest first) goes through several: see test/matrix upgrade.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../faults/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;
use FaultTest;

my @servers = split /:/, $ENV{OUTBOX_TEST_SERVERS} // '';
my ($here) = run_command([ 'pg_config', '--bindir' ]);
$here =~ s!/bin$!!;
@servers = ($here) x 3 if !@servers;
my $conf = "outbox.heartbeat_interval = 400\noutbox.retry_max = 1s\n";

# Same settings for all, so that pg_upgrade finds nothing to complain about.
sub init
{
	my ($server) = @_;
	return [ extra => [ '--locale=C', '--locale-provider=libc', $server =~ /18/ ? '--no-data-checksums' : () ] ];
}

my $n = 0;
sub upgrade
{
	my ($old, $to) = @_;
	my $new = outbox_node('server' . ++$n, conf => $conf, start => 0, install_path => $to, init => init($to));
	my $dir = PostgreSQL::Test::Utils::tempdir('upgrade');
	my ($from) = $old->{_install_path} // $here;
	my ($out, $err) = ('', '');
	my $rc = IPC::Run::run([ 'sh', '-c', 'cd "$1" && shift && exec "$@"', 'sh', $dir,
			"$to/bin/pg_upgrade", '--retain', '-b', "$from/bin", '-B', "$to/bin", '-d', $old->data_dir, '-D', $new->data_dir,
			'-p', $old->port, '-P', $new->port, '-s', $new->host ], '>', \$out, '2>', \$err);
	ok($rc, "pg_upgrade $from $to") or diag("$out\n$err");
	my $log = join '', map { slurp_file($_) } glob($new->data_dir . '/pg_upgrade_output.d/*/log/pg_upgrade_server.log');
	like($log, qr/database system is ready/, 'the log of the servers that it started');
	unlike($log, qr/(?:LOG|WARNING|FATAL):  (?:outbox |terminating background worker)/, 'no relay runs meanwhile');
	return $new;
}

sub sql
{
	my ($node, $query, $db) = @_;
	return $node->safe_psql($db // 'postgres', $query);
}
sub log_of { return slurp_file($_[0]->logfile); }

my $old = outbox_node('server0', conf => $conf, install_path => $servers[0], init => init($servers[0]));
my ($plain, $typed) = set_up($old);
my $instance = sql($old, 'SELECT instance_id FROM outbox.instance');
my $shop_topic = topic('shop');
sql($old, 'CREATE DATABASE shop');
sql($old, 'CREATE DATABASE quiet');
sql($old, 'CREATE EXTENSION outbox', $_) foreach qw(shop quiet);
sql($old, "SELECT outbox.create_event_type('shop', format => 'json', topic => '$shop_topic');
	CREATE TABLE item (id int PRIMARY KEY, name text);
	SELECT outbox.capture('item', format => 'json', topic => '$shop_topic-item');
	CREATE SCHEMA whole;
	SELECT outbox.capture_schema('whole', options => '{\"format\": \"json\"}')", 'shop');

# ---- all is published when the server is shut down, so it goes on by itself
my $first = shift @servers;
my $last = pop @servers;
my @items;
foreach my $to (@servers, $last)
{
	put($old, 'plain', 20);
	put($old, 'typed', 20);
	my $item = @items + 1;
	sql($old, "INSERT INTO item VALUES ($item, 'before'); SELECT outbox.emit('shop', '{\"n\": $item}')", 'shop');
	push @items, $item;
	ok(wait_state($old, 'streaming', db => 'quiet'), 'a database without events streams');
	ok(wait_state($old, 'streaming', db => $_), "database $_ streams") foreach qw(postgres shop);
	put($old, 'typed', 3);
	$old->stop('fast');
	my $seen = () = log_of($old) =~ /outbox has published everything/g;
	cmp_ok($seen, '>=', 3, 'its relays publish what is left, and note it');

	my $new = upgrade($old, $to);
	$new->start;
	put($new, 'typed', 5);
	$item = @items + 1;
	sql($new, "INSERT INTO item VALUES ($item, 'after')", 'shop');
	push @items, $item;
	ok_resumed($new, 'events written at once after the upgrade');
	ok(wait_published($new, db => $_), "and in database $_") foreach qw(shop quiet);
	my $known = () = log_of($new) =~ /the one before, system \d+, had published everything/g;
	is($known, 3, 'all of them had published everything');
	is(sql($new, 'SELECT instance_id FROM outbox.instance'), $instance, 'the instance keeps its identity');
	is(sql($new, 'SELECT count(*) FROM outbox.server WHERE former_system IS NULL'), 1, 'what was before is settled');
	isnt($new->safe_psql('postgres', "SELECT outbox.create_event_type('new $item', schema =>
		'{\"type\": \"record\", \"name\": \"N$item\", \"fields\": []}')"), '', 'a new schema has an id of its own');
	sql($new, "CREATE TABLE whole.t$item (id int PRIMARY KEY)", 'shop');
	is(sql($new, 'SELECT count(*) FROM outbox.captures', 'shop'), $item / 2 + 1, 'a captured schema is still captured');
	check_all($new, "over pg_upgrade to $to", $plain, $typed);
	$old = $new;
}
is(join(' ', map { $_->{value}{after}{id} } consume(undef, "$shop_topic-item")), join(' ', @items), 'captured rows, each once');

# ---- not everything is published: it says so, and adopt() begins with what is new
sql($old, 'SELECT outbox.pause()');
ok(wait_state($old, 'paused'), 'paused');
my $lost = sql($old, q{SELECT outbox.emit('plain', '{"lost": true}')});
$old->stop;
my $new = upgrade($old, $last);
$new->start;
sql($new, 'SELECT outbox.resume()');
ok_state($new, 'other_instance', 'before pg_upgrade, by system \d+, which is not known to have published everything',
	'unpublished events were left behind');
put($new, 'plain', 2);
ok(wait_published($new, db => 'shop'), 'the other database is not concerned');
like(sql($new, "SELECT outbox.adopt('they are lost')"), qr/^adopting state "other_instance"/, 'adopt()');
ok_resumed($new, 'adopted');
my @seen = consume($new, $plain, $typed);
ok(!(grep { ($_->{value}{lost} // 0) } @seen), 'what was left behind is not published');
check_all($new, 'after adopt()', $plain, $typed);

# ---- written after the last note: the count tells
$new->stop;
$new->start;
ok(wait_state($new, 'streaming'), 'streams again');
kill9(relay_pid($new));
ok(wait_for($new, 'SELECT 1', want => '1'), 'a crash');
$new->append_conf('postgresql.conf', "outbox.bootstrap_servers = '127.0.0.1:1'");
$new->reload;
ok(wait_state($new, 'kafka_unavailable'), 'Kafka is away');
put($new, 'plain', 1);
$new->stop;
$new->append_conf('postgresql.conf', "outbox.bootstrap_servers = '" . bootstrap() . "'");
my $third = upgrade($new, $last);
$third->start;
ok_state($third, 'other_instance', 'not known to have published everything', 'the note is out of date');

# ---- the old server comes back by mistake: it is quiet
sql($third, "SELECT outbox.adopt('lost')");
ok_resumed($third, 'adopted once more');
$new->start;
ok(wait_for($new, "SELECT state IN ('other_instance', 'clone', 'fenced') FROM outbox.status()"),
	'the server before pg_upgrade, started again, refuses');
is(status($third)->{state}, 'streaming', 'and does not disturb');
$new->stop;
$third->stop;
done_testing();
