# An external schema registry, a real one: what the relay publishes is decoded
# by the stock client; the registry away, refusing, empty; from the built-in one
# and back.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../faults/lib";
use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;
use RegistryTest;
use FaultTest;

my $apicurio = RegistryTest::Apicurio->new('--keep');
my $url = $apicurio->url;
my $node = outbox_node('registry', conf => "outbox.retry_max = 1s\n");
my ($plain, $typed) = set_up($node);

# Values that the stock client decoded, against what was committed.
sub check_decoded
{
	my ($title, $registry, @topics) = @_;
	my @seen = registry_consume($registry, @topics);
	my %truth = map { my @f = split /\|/, $_, 2; ($f[0] => $f[1]) }
	  split /\n/, $node->safe_psql('postgres', q{SELECT id || '|' || (value->>'n') FROM app.truth});
	my @bad = grep { !defined $truth{ $_->{id} } || $truth{ $_->{id} } ne $_->{value}{n} } @seen;
	ok(@seen > 0 && !@bad, "$title: the stock client decodes all of " . @seen)
	  or diag(map { JSON::PP::encode_json($_) . "\n" } @bad);
	return @seen;
}

# ---- the built-in registry first: its ids are what events carry
put($node, 'typed', 3);
put($node, 'plain', 2);
ok(wait_published($node), 'published with the built-in registry');
my $own = $node->safe_psql('postgres', 'SELECT schema_id FROM outbox.event_type_def WHERE schema_id IS NOT NULL');
my @seen = consume($node, $typed);
is(scalar(grep { $_->{schema} == $own } @seen), 3, 'events carry the id of the built-in registry');

# ---- the external one
reload_with($node, 'outbox.schema_registry_url' => $url);
put($node, 'typed', 3);
put($node, 'plain', 2);
ok_resumed($node, 'with an external registry');
my $subject = $node->safe_psql('postgres', 'SELECT subject FROM outbox.route WHERE subject IS NOT NULL');
is($subject, "$typed-T", 'the subject of the route');
my ($status, $found) = http_json('GET', "$url/subjects/$subject/versions/latest");
is($status, 200, 'the registry has it');
my $external = $found->{id};
is(stored_ids($node), "$subject|$own|$external", 'and its id is kept');
is($node->safe_psql('postgres', 'SELECT registry FROM outbox.registry_id'), $url, 'under the name of the registry');
my $later = topic('later');
$node->safe_psql('postgres', <<"SQL");
SELECT outbox.create_event_type('later', topic => '$later', partitions => 2,
	schema => '{"type": "record", "name": "L", "fields": [{"name": "n", "type": "long"}, {"name": "fill", "type": "string"}]}')
SQL
put($node, 'later', 4);
ok_resumed($node, 'a schema that comes later');
check_decoded('external ids', $url, $later);

my $rich = topic('rich');
$node->safe_psql('postgres', <<"SQL");
SELECT outbox.create_event_type('rich', topic => '$rich',
	schema => '{"type": "record", "name": "R", "doc": "kept", "fields": [
		{"name": "s", "type": "string", "default": "", "aliases": ["f"]},
		{"name": "b", "type": "bytes", "default": "\\u0000\\u00ff"},
		{"name": "d", "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}], "default": null}]}');
SELECT outbox.emit('rich', '{"s": "\\u00e9", "d": 12.34}'::jsonb);
SQL
ok(wait_published($node), 'a schema with everything');
@seen = registry_consume($url, $rich);
is_deeply($seen[0]{value}, { s => "\x{e9}", b => { base64 => 'AP8=' }, d => '12.34' }, 'its values');
($status, $found) = http_json('GET', "$url/subjects/$rich-R/versions/latest");
my $text = $node->safe_psql('postgres', q{SELECT definition FROM outbox.schema WHERE definition LIKE '%"R"%'});
is_deeply(JSON::PP::decode_json($found->{schema}), JSON::PP::decode_json($text),
	'docs, aliases, defaults and logical types are registered with it');

# ---- the registry away: known schemas flow, a new one waits
$apicurio->call('stop');
put($node, 'typed', 3);
put($node, 'later', 3);
ok_resumed($node, 'the registry is away, the schemas are known');
kill9(child_pid($node));
put($node, 'typed', 3);
ok_resumed($node, 'also to another process');
my $third = topic('third');
$node->safe_psql('postgres', <<"SQL");
SELECT outbox.create_event_type('third', topic => '$third',
	schema => '{"type": "record", "name": "H", "fields": [{"name": "n", "type": "long"}, {"name": "fill", "type": "string"}]}')
SQL
put($node, 'typed', 2);
put($node, 'third', 2);
put($node, 'typed', 2);
ok_state($node, 'registry_unavailable', 'schema registry.*127.0.0.1', 'a new schema while the registry is away');
my $before = $node->safe_psql('postgres', 'SELECT count(*) FROM app.truth');
# one event more, that of type rich, is not in app.truth; four wait
ok(wait_for($node, 'SELECT events FROM outbox.status()', want => $before + 1 - 4), 'what was committed before it is published');
is($node->safe_psql('postgres', 'SELECT outbox.pause(); SELECT 1'), "\n1", 'pause is obeyed meanwhile');
ok(wait_state($node, 'paused'), 'and shown');
$node->safe_psql('postgres', 'SELECT outbox.resume()');
ok_state($node, 'registry_unavailable', 'schema registry', 'and over');
$apicurio->call('start');
ok_resumed($node, 'the registry is back');
is(status($node)->{reason}, undef, 'no reason while streaming');
check_decoded('after all that', $url, $later, $third);

# ---- a new schema in the middle of a transaction, the registry away
$apicurio->call('stop');
my $fourth = topic('fourth');
$node->safe_psql('postgres', <<"SQL");
SELECT outbox.create_event_type('fourth', topic => '$fourth',
	schema => '{"type": "record", "name": "F", "fields": [{"name": "n", "type": "long"}, {"name": "fill", "type": "string"}]}')
SQL
put($node, 'typed', 2);
$node->safe_psql('postgres', <<'SQL');
BEGIN;
SELECT app.put('typed', 'k', '{"n": 100, "fill": ""}');
SELECT app.put('fourth', 'k', '{"n": 101, "fill": ""}');
UPDATE app.truth SET ord = 2 WHERE value->>'n' = '101';
COMMIT;
SQL
ok_state($node, 'registry_unavailable', 'schema registry', 'a new schema in the middle of a transaction');
$before = $node->safe_psql('postgres', 'SELECT count(*) FROM app.truth');
ok(wait_for($node, "SELECT count(*) FROM outbox.stat_topic WHERE topic = '$fourth'", want => 0), 'nothing of it is published');
my $waiting = relay_pid($node);
ok(wait_for($node, "SELECT pid <> $waiting FROM outbox.status()"), 'its Kafka transaction is given up before it grows old');
ok_state($node, 'registry_unavailable', 'schema registry', 'the next process');
ok(wait_for($node, 'SELECT events FROM outbox.status()', want => $before + 1 - 2), 'what was committed before it is published');
$apicurio->call('start');
ok_resumed($node, 'that registry is back');

# ---- incompatible with what others have registered there
my $taken = topic('taken');
http_json('PUT', "$url/config/$taken-X", { compatibility => 'BACKWARD' });
http_json('POST', "$url/subjects/$taken-X/versions",
	{ schema => '{"type": "record", "name": "X", "fields": [{"name": "n", "type": "string"}]}' });
$node->safe_psql('postgres', <<"SQL");
SELECT outbox.create_event_type('taken', topic => '$taken',
	schema => '{"type": "record", "name": "X", "fields": [{"name": "n", "type": "long"}, {"name": "fill", "type": "string"}]}')
SQL
put($node, 'typed', 1);
put($node, 'taken', 1);
put($node, 'typed', 1);
ok_state($node, 'blocked', qq{status 409.*[Ii]ncompatible.*event [-0-9a-f]{36} of type "taken".*$taken-X},
	'409: the registry\'s reason, event, type and subject are named');
http_json('PUT', "$url/config/$taken-X", { compatibility => 'NONE' });
ok_resumed($node, 'the registry takes it now');

# ---- auto.register off
reload_with($node, 'outbox.registry_auto_register' => 'off');
my $off = topic('off');
$node->safe_psql('postgres', <<"SQL");
SELECT outbox.create_event_type('off', topic => '$off',
	schema => '{"type": "record", "name": "O", "fields": [{"name": "n", "type": "long"}, {"name": "fill", "type": "string"}]}')
SQL
put($node, 'off', 1);
ok_state($node, 'blocked', 'not registered under subject.*auto_register', 'a schema that nobody has registered');
($status) = http_json('GET', "$url/subjects/$off-O/versions");
is($status, 404, 'and the relay did not');
$text = $node->safe_psql('postgres', q{SELECT definition FROM outbox.schema WHERE definition LIKE '%"O"%'});
http_json('POST', "$url/subjects/$off-O/versions", { schema => $text });
ok_resumed($node, 'somebody has');
reload_with($node, 'outbox.registry_auto_register' => 'on');

# ---- the latest version, if it describes the same values
reload_with($node, 'outbox.registry_use_latest' => 'on');
my $late = topic('late');
http_json('POST', "$url/subjects/$late-Y/versions",
	{ schema => '{"type": "record", "name": "Y", "doc": "of the registry", "fields": [{"name": "n", "type": "long"}, {"name": "fill", "type": "string"}]}' });
$node->safe_psql('postgres', <<"SQL");
SELECT outbox.create_event_type('late', topic => '$late',
	schema => '{"type": "record", "name": "Y", "fields": [{"name": "n", "type": "long"}, {"name": "fill", "type": "string"}]}')
SQL
put($node, 'late', 2);
ok_resumed($node, 'with the latest version');
($status, $found) = http_json('GET', "$url/subjects/$late-Y/versions");
is_deeply($found, [1], 'nothing was registered');
check_decoded('latest version', $url, $late);
reload_with($node, 'outbox.registry_use_latest' => 'off');

# ---- a registry that lost everything: its ids are not to be trusted
my $other = RegistryTest::Apicurio->new;
reload_with($node, 'outbox.schema_registry_name' => $url, 'outbox.schema_registry_url' => $other->url);
put($node, 'typed', 1);
ok_state($node, 'registry_changed', "schema $own of subject \"$subject\" was published with id $external",
	'an empty registry under the old name');
reload_with($node, 'outbox.schema_registry_name' => 'second');
ok_resumed($node, 'it is another one');
is($node->safe_psql('postgres', "SELECT count(*) FROM outbox.registry_id WHERE registry = 'second'"), 1, 'with ids of its own');

# ---- back to the built-in registry
reload_with($node, 'outbox.schema_registry_url' => '', 'outbox.schema_registry_name' => '');
put($node, 'typed', 2);
ok_resumed($node, 'with the built-in registry again');
@seen = consume($node, $typed);
is($seen[-1]{schema}, $own, 'the same id as at first');
my ($small, $large) = (scalar(grep { $_->{schema} < 1000 } @seen), scalar(grep { $_->{schema} > 1000 } @seen));
ok($small > 10 && $large == 5, "both kinds of ids are there ($small and $large)");
# Whoever asks the database's own HTTP server finds both kinds, too.
my $port = PostgreSQL::Test::Cluster::get_free_port();
$node->safe_psql('postgres', q{CREATE ROLE outbox_http LOGIN; SELECT outbox.grant_registry('outbox_http')});
reload_with($node, 'outbox.http_listen' => "127.0.0.1:$port");
my $built_in = "http://127.0.0.1:$port";
for (1 .. 100)
{
	($status) = eval { http_json('GET', "$built_in/subjects") };
	last if ($status // 0) == 200;
	select(undef, undef, undef, 0.1);
}
my @all = check_decoded('built-in registry, all ids there ever were', $built_in, $typed, $later, $third, $fourth, $taken, $off, $late);
is(scalar(@all), $node->safe_psql('postgres', q{SELECT count(*) FROM app.truth WHERE value->>'n' IS NOT NULL}) - 4, 'none is missing');
($status, $found) = http_json('GET', "$built_in/schemas/ids/$external/versions");
is_deeply($found, [ { subject => $subject, version => 1 } ], 'an external id says where it is used');
$node->safe_psql('postgres', "INSERT INTO outbox.registry_id SELECT 'third', 'x', max(id), 424242 FROM outbox.schema"
	  . " UNION ALL SELECT 'fourth', 'x', min(id), 424242 FROM outbox.schema");
($status) = http_json('GET', "$built_in/schemas/ids/424242");
is($status, 404, 'an id that two registries gave to different schemas is not guessed');
check_all($node, 'every id resolved by the database', $plain, $typed, $later, $third, $fourth, $taken, $off, $late);

$node->stop;
done_testing();
