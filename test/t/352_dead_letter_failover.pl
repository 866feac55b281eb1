# A failover that loses the row of a dead letter, but not the event's own
# transaction: neither Kafka nor the new primary has it, and that is said.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../faults/lib";
use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;
use FaultTest;

my $letters = topic('letters');
admin(bootstrap(), 'create', $letters, 1, 'max.message.bytes=2000');
my $conf = "outbox.host_identity = 'one'\noutbox.heartbeat_interval = 300\noutbox.retry_max = 1s\n";
my $old = outbox_node('old', init => [ allows_streaming => 1 ], conf => $conf);
$old->safe_psql('postgres',
	"SELECT outbox.create_event_type('letters', format => 'json', topic => '$letters', on_error => 'dead_letter')");
$old->safe_psql('postgres', q{SELECT outbox.emit('letters', '{"n": 1}', key => 'k')});
ok(wait_published($old), 'published');
my $new = PostgreSQL::Test::Cluster->new('new');
$old->backup('copy');
$new->init_from_backup($old, 'copy', has_streaming => 1);
$new->start;

# The event reaches the standby, its row does not.
sub large { return sprintf(q{SELECT outbox.emit('letters', jsonb_build_object('n', %d, 'f', (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 300) i)), key => '%s')}, @_); }
$old->safe_psql('postgres', 'SELECT outbox.pause()');
wait_state($old, 'paused');
$old->safe_psql('postgres', large(2, 'k'));
$old->wait_for_catchup($new);
$new->stop;
$old->safe_psql('postgres', 'SELECT outbox.resume()');
ok(wait_state($old, 'streaming') && wait_published($old), 'passed');
my $place = $old->safe_psql('postgres', 'SELECT commit_lsn FROM outbox.dead_letter');
ok(wait_for($old, "SELECT recorded_lsn > '$place' FROM outbox.stat_relay"), 'also by the position in Kafka');
$old->stop;

$new->start;
$new->promote;
ok_state($new, 'diverged', "committed at $place was parked on timeline 1", 'the new primary misses a dead letter');
is($new->safe_psql('postgres', 'SELECT dead_letters FROM outbox.status()'), 0, 'it has none');
$new->safe_psql('postgres', q{SELECT outbox.resume(); SELECT outbox.adopt('test')});
ok_resumed($new, 'adopted');

# With a synchronous standby the row is there before the position passes it: a
# standby that takes no WAL holds the relay, not the event's own transaction.
my $third = PostgreSQL::Test::Cluster->new('third');
$new->backup('copy');
$third->init_from_backup($new, 'copy', has_streaming => 1);
$third->start;
$new->append_conf('postgresql.conf', "synchronous_standby_names = 'third'\n");
$new->reload;
ok(wait_for($new, q{SELECT sync_state = 'sync' FROM pg_stat_replication}), 'a synchronous standby');
$new->safe_psql('postgres', 'SELECT outbox.pause()');
wait_state($new, 'paused');
$new->safe_psql('postgres', large(3, 'k'));
my $receiver = $third->safe_psql('postgres', 'SELECT pid FROM pg_stat_wal_receiver');
kill('STOP', $receiver);
$new->safe_psql('postgres', 'SET synchronous_commit = local; SELECT outbox.resume()');
ok(wait_state($new, 'waiting_for_standby'), 'its row waits for the standby');
$place = $new->safe_psql('postgres', 'SELECT max(commit_lsn) FROM outbox.dead_letter');
is($new->safe_psql('postgres', "SELECT recorded_lsn < '$place' FROM outbox.stat_relay"), 't', 'and the position for the row');
kill('CONT', $receiver);
ok_resumed($new, 'the standby takes it');
$new->safe_psql('postgres', q{SELECT outbox.emit('letters', '{"n": 4}', key => 'k')});
ok(wait_published($new), 'parked on the new primary');
$new->wait_for_catchup($third);
my $parked = $new->safe_psql('postgres', 'SELECT id, commit_lsn, blocked_by IS NULL FROM outbox.dead_letter ORDER BY id');
$new->stop;
$third->promote;
ok_resumed($third, 'the next failover');
is($third->safe_psql('postgres', 'SELECT id, commit_lsn, blocked_by IS NULL FROM outbox.dead_letter ORDER BY id'), $parked, 'nothing is missing');
is(scalar(split /\n/, $parked), 2, 'both are there');
$third->safe_psql('postgres', q{SELECT outbox.emit('letters', '{"n": 5}', key => 'k'); SELECT outbox.emit('letters', '{"n": 6}', key => 'l')});
ok(wait_published($third), 'published by the third');
is($third->safe_psql('postgres', 'SELECT count(*) FROM outbox.dead_letter'), 3, 'the key is held there, too');
my @seen = consume($third, $letters);
is(join(' ', map { $_->{value}{n} } @seen), '1 6', 'all else is published, once');
$third->stop;
done_testing();
