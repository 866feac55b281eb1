# What the relay finds in Kafka and in its own WAL at takeover, when that does
# not fit: a named state with a reason, nothing published, writers unaffected,
# and outbox.adopt() or a mended position to go on.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;
use OutboxPosition;

# No heartbeats: what the tests write stays the newest record.
my $topic = topic('states');
my $node = outbox_node('states', conf => <<'CONF');
outbox.heartbeat_interval = 3600000
outbox.event_log = off
min_wal_size = 32MB
max_wal_size = 64MB
log_min_messages = log
CONF
$node->safe_psql('postgres', "SELECT outbox.create_event_type('states', format => 'json',
	topic => '$topic', partitions => 1)");
my $position = position_topic($node);
my $written = 0;

sub sql { return $node->safe_psql('postgres', @_); }
sub emit
{
	$written++;
	sql("SELECT outbox.emit('states', '{\"n\": $written}', key => 'k')");
	return;
}
sub restart { sql('SELECT outbox.restart()'); return; }

# The values in the topic; consecutive repetitions (published again from an
# earlier place, as documented) are taken out and counted.
sub published
{
	my @n = map { $_->{value}{n} } consume($node, $topic);
	my ($top, $again) = (0, 0);
	foreach my $n (@n)
	{
		if ($n == $top + 1) { $top++; }
		elsif ($n <= $top) { $again++; }
		else { return "$n after $top"; }
	}
	return "$top, $again again";
}

# After whatever led to it: the relay refuses, is quiet, and hurts nobody.
sub refuses
{
	my ($state, $reason, $title) = @_;
	my $before = high_watermark($topic);

	restart();
	ok(wait_state($node, $state, timeout => 20), "$title: $state") or return;
	my $status = status($node);
	like($status->{reason}, $reason, '  with the reason');
	is($status->{pid}, undef, '  no process');
	emit();
	is(sql("SELECT outbox.wait_published('200 ms')"), 'f', '  writers write on');
	is(high_watermark($topic), $before, '  nothing is published');
	return;
}

sub adopts
{
	my ($title) = @_;
	my $answer = sql("SELECT outbox.adopt('$title')");
	like($answer, qr/^adopting state/, '  adopt() says what it accepts');
	ok(wait_published($node, timeout => 20), '  and publishing goes on');
	is(sql("SELECT adopt_pending, adopt_reason LIKE '$title (%', adopted_at > now() - interval '1 min'
		FROM outbox.instance"), 'f|t|t', '  who and when is recorded');
	return;
}

# The operator puts the right record back: no adopt(), no repetition.
sub mended
{
	my (%good) = @_;
	write_position($position, %good);
	restart();
	ok(wait_published($node, timeout => 20), '  goes on once the position is mended');
	return;
}

emit();
ok(wait_published($node, timeout => 20), 'publishes');
my ($rc, $out, $err) = $node->psql('postgres', "SELECT outbox.adopt('why not')");
like($err, qr/nothing to adopt in state "streaming"/, 'nothing to adopt while streaming');
($rc, $out, $err) = $node->psql('postgres', "SELECT outbox.adopt('')");
like($err, qr/a reason must be given/, 'and never without a reason');

# --- the record itself ---------------------------------------------------
my %good = read_position($position);
is($good{magic}, 0x5058424f, 'the position record is read');
my $bytes = position_bytes(%good);
foreach my $damage ([ 'cut off', substr($bytes, 0, -1) ],
	[ 'empty', '' ], [ 'one bit flipped', substr($bytes, 0, 50) . ~substr($bytes, 50, 1) . substr($bytes, 51) ])
{
	my $now = sql('SELECT clock_timestamp()');
	write_position_bytes($position, $damage->[1]);
	restart();
	ok(wait_for($node, "SELECT state = 'position_unreadable' AND state_since > '$now'
		FROM outbox.status()", timeout => 20), "$damage->[0]: position_unreadable");
}
refuses('position_unreadable', qr/damaged/, 'damaged');
mended(%good);
write_position($position, %good = read_position($position), version => 3);
refuses('position_unreadable', qr/later version/, 'of a later version');
mended(%good);

%good = read_position($position);
write_position($position, %good, instance => 'x' x 16);
refuses('other_instance', qr/another outbox instance/, 'of another instance');
mended(%good);
%good = read_position($position);
write_position($position, %good, system_id => 42);
refuses('other_instance', qr/system 42, this is system \d+/, 'of another system');
mended(%good);

%good = read_position($position);
write_position($position, %good, scanned => $good{scanned} + (1 << 32));
refuses('diverged', qr/ahead of this server's WAL, which ends at/, 'ahead of WAL');
mended(%good);
%good = read_position($position);
write_position($position, %good, timeline => 7);
refuses('diverged', qr/timeline 7, which is not in the history of timeline 1/, 'of a timeline of the future');
mended(%good);
%good = read_position($position);
write_position($position, %good, commit_crc => $good{commit_crc} ^ 1);
refuses('diverged', qr/commit record at .* is not the one/, 'another commit record at C');
mended(%good);
%good = read_position($position);
write_position($position, %good, commit_start => $good{commit_start} + 8);
refuses('diverged', qr/commit record at .* is not the one/, 'no commit record at C');
mended(%good);
is(published(), "$written, 0 again", 'a mended position repeats nothing');

# --- the slot ------------------------------------------------------------
my $slot = sql("SELECT slot_name FROM pg_replication_slots");
%good = read_position($position);
write_position($position, %good, system_id => 42);
refuses('other_instance', qr/system 42/, 'again of another system');
sql("SELECT pg_drop_replication_slot('$slot')");
emit();
mended(%good);
is(sql("SELECT slot_name FROM pg_replication_slots WHERE active"), $slot,
	'a missing slot is made again while its WAL is here');
%good = read_position($position);
write_position($position, %good, system_id => 42);
refuses('other_instance', qr/system 42/, 'once more');
emit();
sql("SELECT pg_replication_slot_advance('$slot', pg_current_wal_lsn())");
mended(%good);
is(published(), "$written, 0 again", 'a slot dropped, or moved ahead, loses nothing');

# --- adopt ---------------------------------------------------------------
write_position_bytes($position, 'damaged');
refuses('position_unreadable', qr/damaged/, 'damaged for good');
adopts('damaged for good');
like(published(), qr/^$written, /, 'nothing is lost');

%good = read_position($position);
sql("SELECT pg_logical_emit_message(true, 'other', repeat('x', 1000))") for 1 .. 3;
write_position($position, %good, scanned => $good{scanned} + (1 << 32));
refuses('diverged', qr/ahead/, 'ahead for good');
adopts('ahead for good');
like(published(), qr/^$written, /, 'nothing is lost');

# Behind what was published before: the floor knows.
%good = read_position($position);
write_position($position, %good, scanned => $good{scanned} - 0x100000,
	restart => $good{scanned} - 0x100000, commit_start => 0);
refuses('kafka_lost', qr/is behind .* published before/, 'behind the floor');
mended(%good);

delete_topic($position);
refuses('kafka_lost', qr/Kafka has no position, but events up to/, 'topic deleted');
adopts('topic deleted');
like(published(), qr/^$written, /, 'nothing is lost');

# --- slot and WAL gone ---------------------------------------------------
%good = read_position($position);
write_position($position, %good, system_id => 42);
refuses('other_instance', qr/system 42/, 'and again');
$node->append_conf('postgresql.conf', 'max_slot_wal_keep_size = 1');
$node->reload;
sql("SELECT pg_logical_emit_message(false, 'other', 'x'), pg_switch_wal()") for 1 .. 4;
sql('CHECKPOINT');
is(sql("SELECT wal_status FROM pg_replication_slots"), 'lost', 'the slot lost its WAL');
my $gone = $written;
write_position($position, %good);
refuses('gap', qr/WAL from [0-9A-F]+\/[0-9A-F]+ to [0-9A-F]+\/[0-9A-F]+, which may hold unpublished events, is gone/,
	'slot and WAL gone');
my $kept = $written;
adopts('slot and WAL gone');
my @last = map { $_->{value}{n} } consume($node, $topic);
is($last[-1], $kept, 'what is still in WAL goes out');
isnt($last[-2], $gone, 'what was in the gap is gone');
is(sql("SELECT wal_status FROM pg_replication_slots"), 'reserved', 'the slot is new');
$node->stop;
done_testing();
