# A schema registry that misbehaves: slow, lying, changing its ids, demanding
# secrets; and processes that die while they wait for it.  Whatever it does,
# events with known schemas flow, the rest waits in a named state, and nothing is
# lost or doubled.
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

my $server = RegistryTest::Server->new;
my $url = $server->url;
my $node = outbox_node('regfaults', conf => "outbox.retry_max = 1s\noutbox.schema_registry_url = 'http://127.0.0.1:1, $url/'\n");
my ($plain, $typed) = set_up($node);
my @topics = ($plain, $typed);

# An event type with a schema of its own, which no registry has seen.
my $types = 0;
sub new_type
{
	my $name = 'type' . ++$types;
	my $topic = topic($name);
	push @topics, $topic;
	$node->safe_psql('postgres', <<"SQL");
SELECT outbox.create_event_type('$name', topic => '$topic', schema => '{"type": "record", "name": "R$types",
	"fields": [{"name": "n", "type": "long"}, {"name": "fill", "type": "string"}]}')
SQL
	return $name;
}

# ---- failover, and a slash at the end of an address
put($node, 'typed', 2);
ok_resumed($node, 'the second server answers');
my $subject = $node->safe_psql('postgres', 'SELECT subject FROM outbox.route WHERE subject IS NOT NULL');
is_deeply([ $server->calls ], [ "POST /subjects/$subject/versions", 'GET /schemas/ids/1' ], 'two requests, none doubled');
is($node->safe_psql('postgres', 'SELECT registry FROM outbox.registry_id'), 'http://127.0.0.1:1', 'kept under the first address');
reload_with($node, 'outbox.schema_registry_url' => $url, 'outbox.schema_registry_name' => 'main');
put($node, 'typed', 2);
ok_resumed($node, 'with a name');

# ---- each lie about a new schema: a state, then on
my @lies = (
	[ 'status:500', 'registry_unavailable', 'status 500' ],
	[ 'status:429', 'registry_unavailable', 'status 429' ],
	[ 'html:200', 'registry_unavailable', 'none of a schema registry' ],
	[ 'json:{"id": -1}', 'registry_unavailable', 'none of a schema registry' ],
	[ 'json:{"id": 4711}', 'registry_unavailable', '4711 not found' ],
	[ 'huge', 'registry_unavailable', 'larger than' ],
	[ 'early', 'registry_unavailable', 'schema registry' ],
	[ 'redirect', 'misconfigured', 'redirect' ],
	[ 'status:401', 'misconfigured', 'status 401' ],
	[ 'refuse:409:409:Schema being registered is incompatible with an earlier schema', 'blocked', '409.*incompatible with an earlier' ],
	[ 'refuse:422:42201:Input is not a valid schema', 'blocked', '422.*not a valid schema' ]);
foreach my $lie (@lies)
{
	my ($fault, $state, $reason) = @$lie;
	my $type = new_type();
	$server->fault($fault, 'POST');
	put($node, 'typed', 1);
	put($node, $type, 1);
	put($node, 'plain', 1);
	ok_state($node, $state, $reason, "a new schema: $fault");
	$server->fault;
	ok_resumed($node, $fault);
}

# ---- slow: the relay and its child stay what they are
my $type = new_type();
my ($relay, $child) = (relay_pid($node), child_pid($node));
$server->fault('slow:30', 'POST');
put($node, 'typed', 1);
put($node, $type, 1);
ok_state($node, 'registry_unavailable', 'no answer yet|imed out', 'a slow registry');
sleep(8);
is(relay_pid($node) . ' ' . child_pid($node), "$relay $child", 'neither process was replaced');
my $lag = $node->safe_psql('postgres', 'SELECT events FROM outbox.status()');
is($lag, $node->safe_psql('postgres', 'SELECT count(*) - 1 FROM app.truth'), 'what came before it is published');
$server->fault;
ok_resumed($node, 'a registry that was slow');

# ---- a backlog: what was committed before a new schema is sent, not held with it
$type = new_type();
$server->fault('status:503', 'POST');
$node->safe_psql('postgres', 'SELECT outbox.pause()');
wait_state($node, 'paused');
$relay = relay_pid($node);
my $published = $node->safe_psql('postgres', 'SELECT events FROM outbox.status()');
put($node, 'typed', 5);
put($node, $type, 1);
put($node, 'typed', 5);
$node->safe_psql('postgres', 'SELECT outbox.resume()');
ok_state($node, 'registry_unavailable', '503', 'a new schema in a backlog');
ok(wait_for($node, 'SELECT events FROM outbox.status()', want => $published + 5), 'what was committed before it is published');
is(relay_pid($node), $relay, 'by the same process');
$server->fault;
ok_resumed($node, 'the backlog');
is(relay_pid($node), $relay, 'all of it');

# ---- processes die while it is asked
foreach my $who (qw(child relay))
{
	$type = new_type();
	$server->fault('slow:30', 'POST');
	put($node, 'typed', 1);
	put($node, $type, 2);
	ok_state($node, 'registry_unavailable', '.', "waiting, then kill -9: $who");
	kill9($who eq 'child' ? child_pid($node) : relay_pid($node));
	$server->fault;
	ok_resumed($node, "$who killed while the registry was asked");
}
$type = new_type();
$server->fault('slow:2', 'GET /schemas');
put($node, $type, 1);
sleep(1);
kill9(child_pid($node));
$server->fault;
ok_resumed($node, 'killed between registering and storing the id');
$server->fault('status:503');
$type = new_type();
put($node, $type, 1);
ok_state($node, 'registry_unavailable', '503', 'waiting, then terminated');
$node->safe_psql('postgres', 'SELECT pg_terminate_backend(pid) FROM outbox.status()');
ok_state($node, 'registry_unavailable', '503', 'and again');
$node->safe_psql('postgres', 'SELECT outbox.restart()');
ok_state($node, 'registry_unavailable', '503', 'restart() is obeyed meanwhile');
$server->fault;
ok_resumed($node, 'and it goes on');

# ---- ids that change
put($node, 'typed', 1);
ok(wait_published($node), 'an id is checked');
$server->fault('json:' . JSON::PP::encode_json({ schema => '"string"' }), 'GET /schemas/ids/1$');
put($node, 'typed', 1);
ok(wait_published($node), 'a process that has checked an id does not ask again');
$node->safe_psql('postgres', 'SELECT outbox.restart()');
put($node, 'plain', 1);
put($node, 'typed', 1);
ok_state($node, 'registry_changed', qq{subject "$subject" was published with id 1.*another schema}, 'an id means something else');
sleep(2);
is(status($node)->{state}, 'registry_changed', 'and stays so');
$server->fault;
ok_resumed($node, 'it means the same again');

$type = new_type();
my $number = $node->safe_psql('postgres', "SELECT schema_id FROM outbox.event_type_def WHERE name = '$type'");
my $theirs = $node->safe_psql('postgres', "SELECT r.subject FROM outbox.event_type_def t JOIN outbox.route r ON r.id = t.route_id WHERE t.name = '$type'");
$server->fault('slow:3', 'POST');
put($node, $type, 1);
sleep(1);
$node->safe_psql('postgres', "INSERT INTO outbox.registry_id VALUES ('main', '$theirs', $number, 4711)");
ok_state($node, 'registry_changed', 'published with id 4711', 'somebody stored another id meanwhile: it is kept');
is($node->safe_psql('postgres', "SELECT external_id FROM outbox.registry_id WHERE schema_id = $number"), 4711, 'indeed');
reload_with($node, 'outbox.schema_registry_name' => 'main-2');
ok_resumed($node, 'under another name');
isnt($node->safe_psql('postgres', "SELECT external_id FROM outbox.registry_id WHERE schema_id = $number AND registry = 'main-2'"),
	4711, 'with the id of the registry');
$server->fault;

# ---- somebody holds the table
$type = new_type();
my $holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN; LOCK TABLE outbox.registry_id') if $holder->can('query_safe');
SKIP:
{
	skip 'no background sessions here', 2 unless $holder->can('query_safe');
	put($node, $type, 1);
	ok_state($node, 'registry_unavailable', 'could not read or store.*lock', 'the table is locked');
	$holder->query_safe('COMMIT');
	ok_resumed($node, 'it is not');
}
$holder->quit if $holder->can('query_safe');

# ---- addresses that are never connected to
reload_with($node, 'outbox.schema_registry_url' => 'http://169.254.169.254/latest', 'outbox.schema_registry_name' => 'meta');
put($node, 'typed', 1);
ok_state($node, 'misconfigured', '169.254.169.254.*never connected to', 'the address of a cloud\'s metadata');
reload_with($node, 'outbox.schema_registry_url' => 'http://me:canary-in-url@127.0.0.1/', 'outbox.schema_registry_name' => 'main-2');
ok_state($node, 'misconfigured', 'holds credentials', 'a password in the address');

# ---- secrets: TLS, a client certificate, Basic
my $tls = PostgreSQL::Test::Utils::tempdir('tls');
my $secret = 'canary-registry-password';
sub openssl
{
	my ($said, $wrong) = ('', '');
	IPC::Run::run([ 'openssl', @_ ], '>', \$said, '2>', \$wrong) or BAIL_OUT("openssl: $wrong");
	return;
}
openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=ca', '-keyout', "$tls/ca.key", '-out', "$tls/ca.pem");
append_to_file("$tls/ext", 'subjectAltName=IP:127.0.0.1');
foreach my $name (qw(server client))
{
	openssl('req', '-newkey', 'rsa:2048', '-nodes', '-subj', "/CN=$name", '-keyout', "$tls/$name.key", '-out', "$tls/$name.csr");
	openssl('x509', '-req', '-in', "$tls/$name.csr", '-CA', "$tls/ca.pem", '-CAkey', "$tls/ca.key", '-CAcreateserial',
		'-out', "$tls/$name.pem", '-extfile', "$tls/ext");
}
my $safe = RegistryTest::Server->new('--tls', $tls, '--mtls', '--basic', "me:$secret");
my $file = "$tls/kafka.properties";
sub properties
{
	my (@lines) = @_;
	unlink $file;
	append_to_file($file, join('', map { "schema.registry.$_\n" } @lines));
	chmod(0600, $file);
	$node->safe_psql('postgres', 'SELECT outbox.restart()');
	return;
}
my @tls = ("ssl.ca.location=$tls/ca.pem", "ssl.certificate.location=$tls/client.pem", "ssl.key.location=$tls/client.key");
properties(@tls, "basic.auth.user.info=me:$secret-wrong");
reload_with($node, 'outbox.kafka_config_file' => $file, 'outbox.schema_registry_url' => $safe->url,
	'outbox.schema_registry_name' => 'safe');
ok_state($node, 'misconfigured', 'status 401', 'a wrong password');
properties(@tls[ 1, 2 ], "basic.auth.user.info=me:$secret");
ok_state($node, 'misconfigured', 'certificate', 'an authority that nobody knows');
properties($tls[0], "basic.auth.user.info=me:$secret");
ok_state($node, 'registry_unavailable|misconfigured', 'certificate|alert|SSL|TLS|eof', 'no certificate of ours');
properties(@tls, "basic.auth.user.info=me:$secret");
ok_resumed($node, 'TLS, client certificate and password');
my %seen = (
	'server log' => slurp_file($node->logfile),
	'settings' => $node->safe_psql('postgres', 'SELECT * FROM pg_settings; SELECT * FROM pg_file_settings'),
	'status' => $node->safe_psql('postgres', 'SELECT * FROM outbox.status(); SELECT * FROM outbox.stat_relay'),
	'process titles' => join("\n", map { slurp_file("/proc/$_/cmdline") } relay_pid($node), child_pid($node)));
ok(length $seen{$_} && $seen{$_} !~ /\Q$secret\E/, "no secret in: $_") foreach sort keys %seen;

# ---- keeping ids
my $keeper = RegistryTest::Server->new;
reload_with($node, 'outbox.kafka_config_file' => '', 'outbox.schema_registry_url' => $keeper->url, 'outbox.schema_registry_name' => 'keeper',
	'outbox.registry_keep_ids' => 'on');
put($node, 'typed', 1);
put($node, new_type(), 1);
ok_resumed($node, 'with ids of our own');
is($node->safe_psql('postgres', "SELECT count(*), bool_and(external_id = schema_id) FROM outbox.registry_id WHERE registry = 'keeper'"),
	'2|t', 'schemas are there under their own ids');

# ---- contexts
my $context = RegistryTest::Server->new;
reload_with($node, 'outbox.schema_registry_url' => $context->url, 'outbox.schema_registry_name' => 'context',
	'outbox.registry_keep_ids' => 'off', 'outbox.registry_context' => 'east');
put($node, 'typed', 1);
ok_resumed($node, 'in a context');
is($node->safe_psql('postgres', "SELECT subject FROM outbox.registry_id WHERE registry = 'context'"), ":.east:$subject", 'its subject');
my ($rc, $out, $err) = $node->psql('postgres', "ALTER SYSTEM SET outbox.registry_context = 'a:b'");
isnt($rc, 0, 'a context that would end early is refused');

check_all($node, 'after all of that', @topics);
$node->stop;
done_testing();
