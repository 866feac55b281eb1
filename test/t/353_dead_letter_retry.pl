# Dead letters that are sent again: by id, key and all, while events of the same
# key come; refused again; with relay, child and server killed between noting the
# place, sending, Kafka's commit, and noting that it was so.
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

my $broker = OutboxTest::Broker->new('--set', 'message.max.bytes=400000');
my %at = (bootstrap => $broker->bootstrap);
my $node = outbox_node('again', %at, conf => "outbox.retry_max = 1s\noutbox.heartbeat_interval = 500\n");
my $shared = topic('shared');
my $LARGE = 20000;		# times 32 bytes, more than the broker takes

sub sql { return $node->safe_psql('postgres', @_); }

sql(<<"SQL");
CREATE SCHEMA app;
CREATE TABLE app.truth (seq bigserial PRIMARY KEY, id uuid, key text, n bigint);
CREATE SEQUENCE app.n;
SELECT outbox.create_event_type('parks', format => 'json', topic => '$shared', partitions => 2, on_error => 'dead_letter');
SELECT outbox.create_event_type('mate', format => 'json', topic => '$shared', partitions => 2);
CREATE FUNCTION app.one(type text, key text, size int DEFAULT 0, part int DEFAULT NULL) RETURNS void LANGUAGE sql AS \$\$
	WITH p AS (SELECT jsonb_build_object('n', nextval('app.n'), 'fill', repeat(md5(size::text), size)) AS payload),
	e AS (INSERT INTO outbox.event (type, aggregateid, payload, partition) SELECT type, key, payload, part FROM p RETURNING id)
	INSERT INTO app.truth (id, key, n) SELECT e.id, key, currval('app.n') FROM e
\$\$;
SQL

sub limit { admin($broker->bootstrap, 'config', $shared, "max.message.bytes=$_[0]"); }

# Everything is in Kafka or parked or given up, once, and each key in its order.
sub check_books
{
	my ($title) = @_;
	my @seen = consume($node, $shared, \%at);
	my $by = events_by_id(@seen);
	my @truth = map { [ split /\|/ ] } split /\n/, sql("SELECT id, coalesce(key, ''), seq FROM app.truth ORDER BY seq");
	my %state = map { split /\|/ } split /\n/, sql('SELECT event_id, state FROM outbox.dead_letter');
	my %seq = map { $_->[0] => $_->[2] } @truth;
	my $out = sub { my $s = $state{ $_[0] } // 'published'; return $s eq 'published'; };
	is(join(' ', map { $seq{$_} } grep { !$by->{$_} && $out->($_) } map { $_->[0] } @truth), '', "$title: nothing is lost");
	is(join(' ', map { $seq{$_} } grep { $by->{$_} && !$out->($_) } keys %state), '', "$title: nothing is published and parked");
	is(join(' ', map { $seq{$_} } grep { @{ $by->{$_} } > 1 } keys %$by), '', "$title: nothing is published twice");
	is(scalar(grep { !$seq{$_} } keys %$by), 0, "$title: no phantom");
	my (%last, @disorder);
	foreach my $m (@seen)
	{
		my ($id) = map { $_->[1] } grep { $_->[0] eq 'id' } @{ $m->{headers} };
		next if !defined $m->{key};
		push @disorder, "$m->{key} $last{$m->{key}} $seq{$id}" if ($last{ $m->{key} } // 0) > $seq{$id};
		$last{ $m->{key} } = $seq{$id};
	}
	is(join(', ', @disorder), '', "$title: keys are in order");
	return scalar(@seen);
}

sub parked { return sql("SELECT count(*) FROM outbox.dead_letter WHERE state = 'parked' AND " . ($_[0] // 'true')); }

sub settled
{
	my ($title) = @_;
	ok_resumed($node, $title);
	ok(wait_for($node, q{SELECT count(*) = 0 FROM outbox.dead_letter WHERE state = 'retrying'}), "$title: nothing is left half-way");
}

sub kill_relay
{
	my $pid = relay_pid($node);
	kill9($pid);
	sleep(1);
	return wait_for($node, "SELECT pid <> $pid FROM outbox.status()");
}

# ---- by id: with all of its key, in order
sql("SELECT app.one('parks', 'a', $LARGE); SELECT app.one('mate', 'a'); SELECT app.one('parks', 'b', $LARGE); SELECT app.one('parks', 'a')");
settled('parked');
is(parked(), 4, 'two and their followers');
limit(2000000);
is(sql(q{SELECT outbox.retry_dead_letter(max(id)) FROM outbox.dead_letter WHERE key = 'a'}), 3, 'a follower is retried with its key');
sql("SELECT app.one('mate', 'a')");
settled('retried by id');
is(sql(q{SELECT key, state, retries, published_at IS NOT NULL FROM outbox.dead_letter ORDER BY id}), "a|published|0|t\na|published|0|t\nb|parked|0|f\na|published|0|t",
	'that key is published, the other waits');
is(sql('SELECT dead_letters FROM outbox.status()'), 1, 'status() counts what waits');
is(sql(q{SELECT parked, retried FROM outbox.stat_relay WHERE datname = 'postgres'}), '4|3', 'stat_relay what was published after all');
check_books('by id');

# ---- refused again
limit(400000);
is(sql(qq{SELECT outbox.retry_dead_letter('$shared', 'b')}), 1, 'retried too early');
sql("SELECT app.one('mate', 'b'); SELECT app.one('mate', 'c')");
settled('refused again');
is(sql(q{SELECT state, retries, coalesce(reason, '') ~ 'too large', blocked_by IS NULL FROM outbox.dead_letter WHERE key = 'b' ORDER BY id}),
	"parked|1|t|t\nparked|0|f|f", 'it is parked still, its key waits');
check_books('refused again');
like(($node->psql('postgres', qq{SELECT outbox.retry_dead_letter('$shared', 'none')}))[2], qr/nothing is parked of topic/, 'a key of which nothing is parked');

# ---- one of many is refused again: those before it go
limit(2000000);
sql(q{SELECT outbox.pause()});
wait_state($node, 'paused');
sql("SELECT app.one('parks', 'd', 200); SELECT app.one('parks', 'd', 30000); SELECT app.one('parks', 'd'); SELECT app.one('parks', 'e')");
limit(3000);
sql(q{SELECT outbox.resume()});
settled('a lower limit');
limit(500000);
is(sql(qq{SELECT outbox.retry_dead_letter('$shared', 'd')}), 3, 'three of a key');
settled('the second one is still too large');
is(sql(q{SELECT state, retries FROM outbox.dead_letter WHERE key = 'd' ORDER BY id}), "published|0\nparked|1\nparked|0", 'the first one went');
check_books('up to the refused one');

# ---- all, and those without a key
sql("SELECT app.one('parks', NULL, 30000); SELECT app.one('parks', NULL, 30000, 1); SELECT app.one('parks', NULL, 0, 1); SELECT app.one('parks', NULL)");
settled('without a key');
is(parked('key IS NULL'), 3, 'without a key');
limit(3000000);
is(sql(qq{SELECT outbox.retry_dead_letter('$shared', NULL)}), 3, 'retried together');
settled('without a key');
is(parked('key IS NULL'), 0, 'published');
is(sql(q{SELECT outbox.retry_dead_letters()}), 4, 'all');	# b and d
is(sql(q{BEGIN; SELECT app.one('mate', 'b'); SELECT app.one('mate', 'd'); COMMIT; SELECT outbox.retry_dead_letters('no such topic')}) =~ s/\s//gr, 0, 'all of another topic');
settled('all');
is(parked(), 0, 'nothing waits');
check_books('all');

# ---- a rollback; discarded in between
limit(3000);
sql("SELECT app.one('parks', 'f', 200); SELECT app.one('parks', 'f')");
settled('parked again');
limit(3000000);
is(sql(qq{BEGIN; SELECT outbox.retry_dead_letter('$shared', 'f'); ROLLBACK}), 2, 'rolled back');
settled('rolled back');
is(parked(), 2, 'nothing came of it');
sql(q{SELECT outbox.pause()});
wait_state($node, 'paused');
sql(qq{SELECT outbox.retry_dead_letter('$shared', 'f')});
sql(q{SELECT outbox.discard_dead_letter(min(id), 'test') FROM outbox.dead_letter WHERE key = 'f'});
sql(q{SELECT outbox.resume()});
settled('discarded in between');
is(sql(q{SELECT state FROM outbox.dead_letter WHERE key = 'f' ORDER BY id}), "discarded\npublished", 'what was given up is not sent');
check_books('discarded in between');

# ---- an open transaction that gives one up holds neither relay nor others
limit(3000);
sql("SELECT app.one('parks', 'g', 200); SELECT app.one('parks', 'h', 200)");
settled('two keys');
limit(3000000);
my $open = $node->background_psql('postgres', on_error_stop => 0);
$open->query(q{BEGIN; SELECT outbox.discard_dead_letter(min(id), 'test') FROM outbox.dead_letter WHERE key = 'g'});
is(sql(q{SELECT outbox.retry_dead_letters()}), 2, 'both');
sql("SELECT app.one('parks', 'g'); SELECT app.one('parks', 'h')");
settled('one is held');
is(sql(q{SELECT key, state FROM outbox.dead_letter WHERE key ~ '[gh]' ORDER BY id}), "g|parked\nh|published\ng|parked", 'the other one goes');
$open->query('ROLLBACK');
$open->quit;
is(sql(q{SELECT outbox.retry_dead_letter(min(id)) FROM outbox.dead_letter WHERE key = 'g'}), 2, 'once more');
settled('let go');
is(parked(), 0, 'nothing waits');

# ---- while events of the same keys come, and all is killed
my $loop = <<'SQL';
DO $$
BEGIN
	FOR i IN 1 .. 300 LOOP
		PERFORM app.one('parks', 'k' || (i % 5), CASE WHEN i % 40 = 7 THEN 200 ELSE 0 END);
		COMMIT;
		PERFORM pg_sleep(0.01);
	END LOOP;
END $$
SQL
limit(3000);
foreach my $round (1 .. 6)
{
	my $traffic = $node->background_psql('postgres', on_error_stop => 0);
	limit(3000);
	$traffic->query_until(qr/go/, "\\echo go\n$loop;\n");
	sleep(1.2);
	limit(3000000);
	eval { sql(q{SELECT outbox.retry_dead_letters()}); };
	sleep(0.05 * $round);
	$round % 3 == 0 ? kill_relay() : $round % 3 == 1 ? kill9(child_pid($node)) : $node->safe_psql('postgres', 'SELECT outbox.restart()');
	eval { sql(q{SELECT outbox.retry_dead_letters()}); };
	sleep(0.5);
	eval { $traffic->quit; };
	wait_for($node, 'SELECT true');
	eval { sql(q{SELECT outbox.retry_dead_letters()}); };
	settled("traffic and kills, round $round");
	check_books("traffic and kills, round $round");
}
ok(sql(q{SELECT count(*) FROM outbox.dead_letter WHERE state = 'published' AND key ~ '^k'}) > 50, 'many were retried');

# ---- killed at each step
# Kafka takes nothing more: noted, perhaps sent, not committed.
foreach my $victim (qw(relay child crash))
{
	limit(3000);
	sql("SELECT app.one('parks', '$victim', 200); SELECT app.one('parks', '$victim')");
	settled("$victim: parked");
	limit(3000000);
	$broker->pause;
	sql(qq{SELECT outbox.retry_dead_letter('$shared', '$victim'); SELECT app.one('parks', '$victim')});
	ok(wait_for($node, qq{SELECT count(*) = 2 FROM outbox.dead_letter WHERE key = '$victim' AND state = 'retrying'}), "$victim: noted, not committed");
	like(($node->psql('postgres', qq{SELECT outbox.discard_dead_letter(min(id), 'late') FROM outbox.dead_letter WHERE key = '$victim'}))[2],
		qr/being sent again/, 'it cannot be given up now');
	if ($victim eq 'relay') { kill_relay(); }
	elsif ($victim eq 'child') { kill9(child_pid($node)); }
	else { $node->stop('immediate'); $node->start; }
	$broker->cont;
	settled("$victim killed before Kafka's commit");
	is(sql(qq{SELECT count(*) FROM outbox.dead_letter WHERE key = '$victim' AND state = 'published'}), 2, "$victim: published");
	check_books("$victim killed before Kafka's commit");
}

# Kafka has them, the table does not know yet: who holds the table holds that.
limit(3000);
sql("SELECT app.one('parks', 'late', 200)");
settled('to be confirmed late');
limit(3000000);
my $lock = $node->background_psql('postgres');
$broker->pause;
sql(qq{SELECT outbox.retry_dead_letter('$shared', 'late')});
ok(wait_for($node, q{SELECT count(*) = 1 FROM outbox.dead_letter WHERE key = 'late' AND state = 'retrying'}), 'noted');
$lock->query('BEGIN; LOCK TABLE outbox.parked_event IN SHARE MODE');
$broker->cont;
ok(wait_for($node, q{SELECT recorded_lsn >= (SELECT max(retry_lsn) FROM outbox.parked_event) FROM outbox.stat_relay WHERE datname = 'postgres'}), 'Kafka has it');
is(sql(q{SELECT state FROM outbox.dead_letter WHERE key = 'late'}), 'retrying', 'the table does not know');
eval { $lock->quit; };
$node->stop('immediate');
$node->start;
settled("crashed after Kafka's commit");
is(sql(q{SELECT state FROM outbox.dead_letter WHERE key = 'late'}), 'published', 'found out from the position');
sql("SELECT app.one('parks', 'late')");
settled('its key');
check_books("crashed after Kafka's commit");

# ---- more than fits into a Kafka transaction
limit(3000);
reload_with($node, 'outbox.max_kafka_txn_events' => 1000);
sql(q{SELECT app.one('parks', 's' || i % 3, 200) FROM generate_series(1, 3) i});
settled('three heads');
sql(q{SELECT app.one('parks', 's' || i % 3) FROM generate_series(1, 4500) i});
settled('followers');
is(parked(), 4503, 'many');
limit(3000000);
my $splits = sql(q{SELECT split_transactions FROM outbox.stat_relay WHERE datname = 'postgres'});
is(sql(q{SELECT outbox.retry_dead_letters()}), 4503, 'all of them');
sleep(0.3);
kill9(child_pid($node));
settled('many');
is(parked(), 0, 'none is left');
cmp_ok(sql(q{SELECT split_transactions FROM outbox.stat_relay WHERE datname = 'postgres'}), '>', $splits, 'in several Kafka transactions');
check_books('many');

# ---- refused in the middle of a split one: the process ends, what went stays
limit(3000);
sql(q{SELECT app.one('parks', 't', 200)});
settled('a head');
sql(q{SELECT app.one('parks', 't') FROM generate_series(1, 1500) i; SELECT app.one('parks', 't', 400); SELECT app.one('parks', 't') FROM generate_series(1, 100) i});
settled('its followers');
limit(10000);
is(sql(q{SELECT outbox.retry_dead_letters()}), 1602, 'all, too early for one');
settled('one of them');
is(sql(q{SELECT state, count(*), sum(retries) FROM outbox.dead_letter WHERE key = 't' GROUP BY state ORDER BY state}), "parked|101|1\npublished|1501|0", 'those in front went');
limit(3000000);
sql(q{SELECT outbox.retry_dead_letters()});
settled('the rest');
is(parked(), 0, 'none is left');
check_books('refused in a split');

# ---- forgotten
my $newest = sql('SELECT id FROM outbox.dead_letter ORDER BY commit_lsn DESC, ordinal DESC LIMIT 1');
cmp_ok(sql('SELECT outbox.purge_dead_letters(now())'), '>', 6000, 'purged');
ok(sql(qq{SELECT count(*) BETWEEN 1 AND 2 AND bool_or(id = $newest) FROM outbox.dead_letter}) eq 't', 'but the newest');

$node->stop;
done_testing();
