# Copies of the data: clones, moved volumes, and servers that left a timeline.
# Exactly one publishes; what was published and is not in our history is said.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);
use OutboxTest;
use OutboxPosition;

my $topic = topic('copies');
my $node = outbox_node('original', conf => "outbox.heartbeat_interval = 400\n");
$node->safe_psql('postgres', "SELECT outbox.create_event_type('copies', format => 'json',
	topic => '$topic', partitions => 1)");

sub emit
{
	my ($server, $n) = @_;
	$server->safe_psql('postgres', "SELECT outbox.emit('copies', '{\"n\": \"$n\"}', key => 'k')");
	return;
}
sub published
{
	return join ' ', map { $_->{value}{n} } consume(undef, $topic);
}

# --- a volume that moved -------------------------------------------------
emit($node, 'a');
ok(wait_published($node, timeout => 20), 'publishes');
$node->stop;
$node->append_conf('postgresql.conf', "outbox.host_identity = 'elsewhere'");
my $began = time();
$node->start;
emit($node, 'b');
ok(wait_published($node, timeout => 20), 'under another identity it goes on by itself');
cmp_ok(time() - $began, '>', 1.2, 'after watching for three heartbeats');

# --- a clone -------------------------------------------------------------
$node->stop;
$node->backup_fs_cold('cold');
my $clone = PostgreSQL::Test::Cluster->new('clone');
$clone->init_from_backup($node, 'cold');
$clone->append_conf('postgresql.conf', "outbox.host_identity = 'clone'");
$node->start;
ok(wait_state($node, 'streaming', timeout => 20), 'the original streams');
$clone->start;
ok(wait_state($clone, 'clone', timeout => 20), 'its copy sees that, and says so');
like(status($clone)->{reason}, qr/another server with the same data is publishing/, 'with a reason');
emit($clone, 'clone-' . $_) for 1 .. 3;
emit($node, 'c');
ok(wait_published($node, timeout => 20), 'the original publishes');
is($clone->safe_psql('postgres', "SELECT outbox.wait_published('500 ms')"), 'f', 'the copy is quiet');
is(status($node)->{state}, 'streaming', 'the original is not disturbed');
is(published(), 'a b c', 'nothing of the copy, nothing twice');

# The original is stopped: what it published is not in the copy's history.
$node->stop;
$clone->safe_psql('postgres', 'CREATE TABLE filler AS SELECT i FROM generate_series(1, 20000) i');
$clone->safe_psql('postgres', 'SELECT outbox.restart()');
ok(wait_state($clone, 'diverged', timeout => 20),
	'nobody else publishes any more, but the histories parted');
like(status($clone)->{reason}, qr/commit record at/, 'which the commit record at C tells');

# Somebody decides for the copy; the original, when it comes back, is quiet.
$clone->safe_psql('postgres', "SELECT outbox.adopt('the copy is the truth now')");
ok(wait_published($clone, timeout => 20), 'adopt() lets the copy publish');
like(published(), qr/ clone-1 clone-2 clone-3$/, 'its own events, in order');
$node->start;
ok(wait_for($node, "SELECT state IN ('clone', 'fenced', 'diverged') FROM outbox.status()", timeout => 20),
	'the original refuses now: ' . status($node)->{state});
my $before = high_watermark($topic);
emit($node, 'lost-1');
emit($clone, 'd');
ok(wait_published($clone, timeout => 20), 'the copy goes on');
unlike(published(), qr/lost/, 'the original is quiet');

# Two alive, one adopts: the other is fenced while it streams.
$node->safe_psql('postgres', "SELECT outbox.adopt('back again')");
ok(wait_published($node, timeout => 20), 'the original adopts');
ok(wait_state($clone, 'fenced', timeout => 20), 'the one it fences says so');
like(status($clone)->{reason}, qr/another server claimed this instance/, 'with a reason');
emit($clone, 'clone-lost');
usleep(500_000);
is(status($clone)->{pid}, undef, 'and has no process');
is(status($node)->{state}, 'streaming', 'no fight');
$clone->stop;
unlike(published(), qr/clone-lost/, 'it published nothing more');

# --- leaving the timeline ------------------------------------------------
# A standby under the same identity (a server restored in its own place).
sub standby_of
{
	my ($primary, $name) = @_;
	my $standby = PostgreSQL::Test::Cluster->new($name);

	$primary->backup($name);
	$standby->init_from_backup($primary, $name, has_streaming => 1);
	$standby->start;
	$primary->wait_for_catchup($standby, 'replay');
	$standby->stop;
	return $standby;
}

emit($node, 'e');
ok(wait_published($node, timeout => 20), 'published');
my $second = standby_of($node, 'second');
$node->safe_psql('postgres', 'CREATE TABLE of_no_interest ()');
my $lsn = $node->safe_psql('postgres', 'SELECT pg_current_wal_lsn()');
ok(wait_for($node, "SELECT recorded_lsn >= '$lsn' FROM outbox.stat_relay", timeout => 10),
	'the position went on without events');
$node->stop;
$second->start;
$second->promote;
emit($second, 'f');
ok(wait_published($second, timeout => 20),
	'left the timeline where only event-free WAL was lost: goes on by itself');
like(published(), qr/ e f$/, 'each event once');

my $third = standby_of($second, 'third');
emit($second, 'unknown to the third');
ok(wait_published($second, timeout => 20), 'published before the failover');
$second->stop;
$third->start;
$third->promote;
ok(wait_state($third, 'diverged', timeout => 20), 'published events were lost: diverged');
like(status($third)->{reason},
	qr/events up to [0-9A-F\/]+ of timeline 2 were published, but this server left that timeline at/,
	'the reason tells how far');
emit($third, 'g');
is($third->safe_psql('postgres', "SELECT outbox.wait_published('300 ms')"), 'f', 'nothing is published');
$third->safe_psql('postgres', "SELECT outbox.adopt('the failover stands')");
ok(wait_published($third, timeout => 20), 'adopted');
like(published(), qr/ e f unknown to the third g$/, 'goes on where it left, nothing twice');

# --- adopting while the relay looks again -------------------------------------
$third->stop;
$third->backup_fs_cold('cold');
my $fourth = PostgreSQL::Test::Cluster->new('fourth');
$fourth->init_from_backup($third, 'cold');
$fourth->append_conf('postgresql.conf', "outbox.host_identity = 'fourth'");
$third->start;
ok(wait_state($third, 'streaming', timeout => 20), 'a copy once more: the original streams');
$fourth->start;
ok(wait_state($fourth, 'clone', timeout => 20), 'the copy does not');

# Now nobody else lives, but it would take three hours to be sure of that.
$third->stop;
$fourth->safe_psql('postgres', 'CREATE TABLE filler2 AS SELECT i FROM generate_series(1, 20000) i');
$fourth->append_conf('postgresql.conf', "outbox.heartbeat_interval = '1h'");
$fourth->reload;
$fourth->safe_psql('postgres', 'SELECT outbox.resume()');
ok(wait_state($fourth, 'connecting', timeout => 20), 'after resume() it looks again');
emit($fourth, 'h');
is($fourth->safe_psql('postgres', "SELECT outbox.wait_published('2 s')"), 'f', 'for long');
like($fourth->safe_psql('postgres', "SELECT outbox.adopt('now, not then')"),
	qr/^adopting state "clone": another server with the same data is publishing/,
	'adopt() knows what it had refused');
ok(wait_published($fourth, timeout => 20), 'and ends the watch');
like(published(), qr/ g h$/, 'nothing twice');
my ($rc, $out, $err) = $fourth->psql('postgres', "SELECT outbox.adopt('again')");
like($err, qr/nothing to adopt in state "streaming"/, 'and that is done with');

# One that came a moment too late is not kept for the next refusal.
$fourth->safe_psql('postgres', 'UPDATE outbox.instance SET adopt_pending = true;
	SELECT outbox.notify_relay()');
ok(wait_for($fourth, 'SELECT NOT adopt_pending FROM outbox.instance', timeout => 20),
	'an adoption that nothing needed is given up');
$fourth->safe_psql('postgres', 'SELECT outbox.restart()');
($rc, $out, $err) = $fourth->psql('postgres', "SELECT outbox.adopt('and again')");
like($err, qr/nothing to adopt/, 'also while it starts once more');
$fourth->stop;
done_testing();
