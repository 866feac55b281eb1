# Captured rows as they are in Kafka: the end that only the commit decides, keys
# under a schema id (built-in and external registry), transaction metadata, also
# of a transaction that is split and resumed after a kill.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;
use RegistryTest;

my $prefix = topic('tail');
my $node = outbox_node('tail', conf => "outbox.max_kafka_txn_events = 10\noutbox.retry_max = 1s\n"
	  . "outbox.capture_topic_prefix = '$prefix'\n");
my ($one, $two) = ("$prefix.public.one", "$prefix.public.two");
my $about = "$prefix.transaction";

sub sql { return $node->safe_psql('postgres', $_[0]); }

sql(q{
	CREATE TABLE one (id int, part int, note text, PRIMARY KEY (part, id));
	CREATE TABLE two (id int PRIMARY KEY, n numeric(8,2));
	SELECT outbox.capture('one', key_format => 'record', partitions => 1, transaction_metadata => true);
	SELECT outbox.capture('two', envelope => 'flat', partitions => 1);
});

# ---- one transaction of two tables
my $before = time() * 1000 - 5000;
my $xid = sql(q{
	BEGIN;
	INSERT INTO one VALUES (1, 7, 'a');
	INSERT INTO two VALUES (1, 1.5);
	UPDATE one SET note = 'b';
	DELETE FROM one;
	SELECT pg_current_xact_id();
	COMMIT;
});
ok(wait_published($node), 'published');
my @ones = consume($node, $one);
is(scalar(@ones), 4, 'three rows and a tombstone');
is_deeply([ map { $_->{key} } @ones ], [ ({ part => 7, id => 1 }) x 4 ], 'keys are records of the key columns, in their order');
is_deeply([ map { $_->{value} ? $_->{value}{op} : undef } @ones ], [ 'c', 'u', 'd', undef ], 'operations');
my $source = $ones[0]{value}{source};
is($source->{txId}, $xid, 'the transaction');
ok($source->{ts_ms} > $before && $source->{ts_ms} < time() * 1000 + 60000, 'time of the commit');
is($source->{ts_us}, $ones[2]{value}{source}{ts_us}, 'is the same for all of it');
is(int($source->{ts_us} / 1000), $source->{ts_ms}, 'in every unit');
ok($source->{lsn} > 0 && $source->{lsn} < $ones[1]{value}{source}{lsn}, 'places in WAL rise');
is_deeply([ map { $source->{$_} } qw(connector name schema table snapshot) ], [ 'postgresql', $prefix, 'public', 'one', 'false' ], 'where from');
my @blocks = map { $_->{value}{transaction} } @ones[ 0 .. 2 ];
is_deeply([ map { "$_->{total_order} $_->{data_collection_order}" } @blocks ], [ '1 1', '2 2', '3 3' ], 'rows are counted');
like($blocks[0]{id}, qr/^$xid:\d+$/, 'under the name of the transaction');
my ($flat) = consume($node, $two);
is($flat->{key}, '1', 'a plain key');
ok($flat->{value}{__lsn} > $source->{lsn} && $flat->{value}{__ts_ms} == $source->{ts_ms} && $flat->{value}{n} eq '1.50', 'flat: the same end');

my @told = consume($node, $about);
is_deeply([ map { "$_->{value}{status} $_->{key}" } @told ], [ "BEGIN $blocks[0]{id}", "END $blocks[0]{id}" ], 'the transaction topic has beginning and end');
is($told[1]{value}{event_count}, 3, 'with the number of rows');
is_deeply($told[1]{value}{data_collections}, [ { data_collection => 'public.one', event_count => 3 } ], 'of each table');
is_deeply([ map { $_->{value}{ts_ms} } @told ], [ ($source->{ts_ms}) x 2 ], 'and the time of the commit');
is(scalar(keys %{ events_by_id(@told) }), 2, 'under ids of their own');

# ---- a transaction in parts, with a kill in the middle of them
sql('SELECT outbox.pause()');
sql(q{INSERT INTO one SELECT n, 1, 'x' FROM generate_series(1, 1995) n});
my $events = sql('SELECT events FROM outbox.status()');
sql('SELECT outbox.resume()');
ok(wait_for($node, "SELECT events > $events + 50 FROM outbox.status()"), 'parts of it are published');
kill9(child_pid($node));
ok(wait_published($node), 'a large transaction is published, killed in between');
@ones = consume($node, $one);
my @large = @ones[ 4 .. $#ones ];
is(scalar(@large), 1995, 'every row once');
my $wrong = grep { $large[$_]{value}{transaction}{total_order} != $_ + 1 || $large[$_]{key}{id} != $_ + 1 } 0 .. $#large;
is($wrong, 0, 'numbers go on over the parts');
$wrong = grep { $large[$_]{value}{transaction}{data_collection_order} != $_ + 1 } 0 .. $#large;
is($wrong, 0, 'those of the table, too, which begin anew in each transaction');
my %ids = map { $_->{value}{transaction}{id} => 1 } @large;
is(scalar(keys %ids), 1, 'in one transaction');
@told = consume($node, $about);
is_deeply([ map { $_->{value}{status} . ' ' . ($_->{value}{event_count} // '-') } @told[ 2 .. $#told ] ], [ 'BEGIN -', 'END 1995' ], 'which is told of once');

# ---- tables that a transaction does not touch are not told of
sql(q{CREATE TABLE three (id int PRIMARY KEY); SELECT outbox.capture('three', format => 'json', partitions => 1, transaction_metadata => true)});
sql('INSERT INTO three VALUES (1), (2)');
ok(wait_published($node), 'a transaction of another table');
@told = consume($node, $about);
is_deeply($told[-1]{value}{data_collections}, [ { data_collection => 'public.three', event_count => 2 } ], 'names that one only');
is(scalar(keys %{ events_by_id(@told) }), 6, 'all ids differ');

# ---- another registry's ids, for keys and values
my $server = RegistryTest::Server->new;
sql("ALTER SYSTEM SET outbox.schema_registry_url = '" . $server->url . "'");
sql('SELECT pg_reload_conf()');
sql(q{INSERT INTO one VALUES (5000, 2, 'registry')});
ok(wait_published($node), 'with an external registry');
my %external = map { my @f = split /\|/; ($f[0] => $f[1]) } split /\n/, sql('SELECT subject, external_id FROM outbox.registry_id');
is_deeply([ sort keys %external ], [ "$one-key", "$one-value" ], 'key and value have a subject each');
my ($raw) = grep { ref $_->{key} && $_->{key}{id} == 5000 } consume($node, $one);
ok($raw, 'the key carries the id that the registry gave') or diag(explain(\%external));
is($raw->{schema}, $external{"$one-value"}, 'so does the value') if $raw;

done_testing();
