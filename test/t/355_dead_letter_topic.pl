# The dead-letter topic: a copy of each parked event, exactly once, in the Kafka
# transaction that passes it.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../faults/lib";
use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;
use RegistryTest;
use FaultTest;
use Time::HiRes qw(sleep);

my $broker = OutboxTest::Broker->new;
my %at = (bootstrap => $broker->bootstrap);
my $node = outbox_node('copies', %at, conf => "outbox.retry_max = 1s\noutbox.heartbeat_interval = 500\n");
my ($letters, $typed, $dead) = (topic('letters'), topic('typed'), topic('dead'));
admin($broker->bootstrap, 'create', $letters, 2, 'max.message.bytes=2000');
admin($broker->bootstrap, 'create', $typed, 2, 'max.message.bytes=2000');
admin($broker->bootstrap, 'create', $dead, 1, 'max.message.bytes=20000');

sub sql { return $node->safe_psql('postgres', @_); }
sub emit
{
	my ($type, $key, $n, $size) = @_;
	return sprintf(q{SELECT outbox.emit('%s', jsonb_build_object('n', %d, 'f', repeat('x', %d)), key => '%s', headers => '{"mine": "h%d"}');}, $type, $n, $size, $key, $n);
}
sub header { my ($m, $name) = @_; my ($h) = grep { $_->[0] eq $name } @{ $m->{headers} }; return $h ? $h->[1] : undef; }
sub copies { return consume($node, $dead, \%at); }
sub n_of { return join(' ', map { substr(header($_, 'mine') // 'h?', 1) } @_); }

sql(<<"SQL");
SELECT outbox.create_event_type('letters', format => 'json', topic => '$letters', on_error => 'dead_letter');
SELECT outbox.create_event_type('typed', topic => '$typed', on_error => 'dead_letter', schema =>
	'{"type": "record", "name": "L", "fields": [{"name": "n", "type": "long"}, {"name": "f", "type": "string"}]}');
SQL

# ---- none without the setting
sql(emit('letters', 'k', 1, 5000));
ok_resumed($node, 'without a topic');
ok(wait_for($node, 'SELECT r.recorded_lsn >= max(d.commit_lsn) FROM outbox.stat_relay r, outbox.dead_letter d GROUP BY r.recorded_lsn'),
	'and passed by the position: else it would be copied later');
is(scalar(copies()), 0, 'no copy');
my ($rc, undef, $err) = $node->psql('postgres', "ALTER SYSTEM SET outbox.dead_letter_topic = 'a b'");
like($err, qr/character other than letters/, 'a name that is none');

# ---- what was refused, and what follows it
reload_with($node, 'outbox.dead_letter_topic' => $dead);
sql('BEGIN;' . emit('letters', 'k', 2, 10) . emit('letters', 'other', 3, 10) . emit('letters', 'l', 4, 6000) . 'COMMIT');
ok_resumed($node, 'with a topic');
my @copies = copies();
is(n_of(@copies), '2 4', 'a copy of each that is parked');
my %place = map { split /\|/ } split /\n/, sql('SELECT id, commit_lsn || E\' \' || ordinal FROM outbox.dead_letter');
my %id = map { split /\|/ } split /\n/, sql(q{SELECT headers->>'mine', id FROM outbox.dead_letter});
is(header($copies[0], 'outbox.dead_letter.behind'), $id{h1}, 'behind which one');
is(header($copies[0], 'outbox.dead_letter.reason'), undef, 'it was not refused itself');
like(header($copies[1], 'outbox.dead_letter.reason'), qr/too large/, 'the reason');
is(header($copies[1], 'outbox.dead_letter.code'), '10', 'the code');
is(header($copies[1], 'outbox.dead_letter.topic'), $letters, 'the topic');
is(header($copies[1], 'outbox.dead_letter.event_type'), 'letters', 'the event type');
is(header($copies[1], 'outbox.dead_letter.id'), $id{h4}, 'the id');
is(header($copies[1], 'outbox.dead_letter.place'), $place{ $id{h4} }, 'the place');
is($copies[1]{key}, 'l', 'the key');
is($copies[1]{value}{n} . length($copies[1]{value}{f}), '46000', 'the value');
is(header($copies[1], 'id'), sql("SELECT event_id FROM outbox.dead_letter WHERE id = $id{h4}"), 'the event id');

# ---- one that the dead-letter topic does not take either: without its value
sql(emit('letters', 'm', 5, 50000) . emit('letters', 'n', 6, 50000) . emit('letters', 'm', 7, 10));
ok_resumed($node, 'too large for either');
@copies = copies();
is(scalar(grep { !defined header($_, 'mine') } @copies), 2, 'two copies without the own headers');
my ($reduced) = grep { header($_, 'outbox.dead_letter.id') eq $id{h4} + 1 } @copies;
is(header($reduced, 'outbox.dead_letter.value'), 'left out', 'and without the value');
ok(!defined $reduced->{value}, 'it has none');
is($reduced->{key}, 'm', 'but with the key');
is(join(' ', sort { $a <=> $b } map { header($_, 'outbox.dead_letter.id') } @copies), join(' ', 2 .. 6), 'one copy of each');
is(sql('SELECT count(*) FROM outbox.parked_event WHERE copy_reduced'), 2, 'noted');

# ---- Avro: the frame is that of the event
sql(emit('typed', 'k', 8, 5000));
ok_resumed($node, 'Avro');
my ($avro) = grep { (header($_, 'mine') // '') eq 'h8' } copies();
is(header($avro, 'outbox.dead_letter.schema_id'), undef, 'framed');

# ---- killed between parking and Kafka's commit: one copy
foreach my $round (1 .. 3)
{
	my $n = 100 + $round;
	$broker->pause;
	sql(emit('letters', 'k', $n, 10));
	ok(wait_for($node, "SELECT count(*) = 1 FROM outbox.dead_letter WHERE headers->>'mine' = 'h$n'"), "parked, round $round");
	if ($round == 1) { kill9(child_pid($node)); }
	elsif ($round == 2) { $node->stop('immediate'); $node->start; }
	else { my $pid = relay_pid($node); kill9($pid); sleep(1); wait_for($node, "SELECT pid <> $pid FROM outbox.status()"); }
	$broker->cont;
	ok_resumed($node, "killed, round $round");
}
is(n_of(grep { (header($_, 'mine') // '') =~ /^h10/ } copies()), '101 102 103', 'each once');

# ---- retried: not copied again
admin($broker->bootstrap, 'config', $letters, 'max.message.bytes=200000');
my $before = copies();
is(sql(qq{SELECT outbox.retry_dead_letter('$letters', 'k')}), 5, 'retried');
ok_resumed($node, 'retried');
is(join(' ', map { substr(header($_, 'mine'), 1) } grep { $_->{key} eq 'k' } consume($node, $letters, \%at)), '1 2 101 102 103', 'published');
is(scalar(copies()), $before, 'no other copy');

# ---- the registry refuses: the value as it is, and which schema
my $registry = RegistryTest::Server->new;
reload_with($node, 'outbox.schema_registry_url' => $registry->url);
$registry->fault('refuse:409:409:incompatible', '^POST .*typed');
sql(emit('typed', 'z', 9, 10));
ok_resumed($node, 'the registry refuses');
my ($raw) = grep { (header($_, 'mine') // '') eq 'h9' } copies();
is(header($raw, 'outbox.dead_letter.schema_id'), sql(q{SELECT schema_id FROM outbox.dead_letter WHERE key = 'z'}), 'not framed');
like(header($raw, 'outbox.dead_letter.reason'), qr/409/, 'the reason');
$registry->fault(undef);
reload_with($node, 'outbox.schema_registry_url' => '');

$node->stop;
done_testing();
