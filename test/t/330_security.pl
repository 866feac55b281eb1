# TLS, SASL and ACLs end to end against a real broker, what is said when they
# do not fit, and that no secret is ever told.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../faults/lib";
use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;
use FaultTest;

# --old: SCRAM with librdkafka before 2.6.1, see test/support/kafka
my $broker = OutboxTest::Broker->new('--tls', '--sasl', '--acl', '--old');
my $admin = $broker->bootstrap;
my $tls = "$broker->{dir}/tls";
my $secret = 'outbox-secret';		# of user outbox
my $wrong = 'canary-wrong-password';
my $key_secret = 'canary-key-password';
my $file = PostgreSQL::Test::Utils::tempdir('config') . '/kafka.properties';

sub write_file
{
	my ($text, $mode) = @_;
	unlink $file;
	append_to_file($file, $text);
	chmod($mode // 0600, $file);
	return;
}
sub ssl { return "security.protocol=ssl\nssl.ca.location=$tls/ca.pem\n" . ($_[0] // ''); }

sub sasl
{
	my ($mechanism, $user, $password) = @_;
	return "security.protocol=sasl_ssl\nssl.ca.location=$tls/ca.pem\nsasl.mechanism=$mechanism\n"
	  . "sasl.username=$user\nsasl.password=$password\n";
}

my $node = outbox_node('security', bootstrap => '', conf => "outbox.retry_max = 1s\n");
my ($plain, $typed) = set_up($node);
my $instance = $node->safe_psql('postgres', 'SELECT instance_id FROM outbox.instance');

# Takes these settings at once, whatever the back-off says.
sub connect_to
{
	my ($listener, $text, $mode) = @_;
	write_file($text, $mode);
	reload_with($node, 'outbox.kafka_config_file' => $file, 'outbox.bootstrap_servers' => $listener);
	$node->safe_psql('postgres', 'SELECT outbox.restart()');
	return;
}
sub resumes
{
	my ($title) = @_;
	put($node, 'plain', 2);
	put($node, 'typed', 2);
	return ok_resumed($node, $title);
}

# ---- the file itself
my $at = $broker->file('bootstrap.tls');
connect_to($at, ssl(), 0644);
ok_state($node, 'misconfigured', 'mode must be 0600', 'file that others may read');
connect_to($at, ssl(), 0620);
ok_state($node, 'misconfigured', 'mode must be 0600', 'file that the group may write');
connect_to($at, ssl("plugin.library.paths=/tmp/evil.so\n"));
ok_state($node, 'misconfigured', 'plugin.library.paths', 'property that loads code');
connect_to($at, ssl("enable.idempotence=false\n"));
ok_state($node, 'misconfigured', 'enable.idempotence', 'property that breaks the promise');
connect_to($at, ssl("linger.ms=abc\n"));
ok_state($node, 'misconfigured', 'linger.ms', 'value that librdkafka refuses');
connect_to($at, ssl("this is no property\n"));
ok_state($node, 'misconfigured', 'line 3', 'line that is no property');
connect_to($at, "security.protocol=sasl_plaintext\nsasl.mechanism=PLAIN\nsasl.username=outbox\nsasl.password=$secret\n");
ok_state($node, 'misconfigured', 'unencrypted', 'password over plaintext');
reload_with($node, 'outbox.kafka_config_file' => "$file.missing");
ok_state($node, 'misconfigured', 'No such file', 'file that is not there');
connect_to($at, ssl(), 0000);
ok_state($node, 'misconfigured', 'Permission denied', 'file that cannot be read') if $> != 0;

# ---- TLS
connect_to($at, ssl());
resumes('TLS');
connect_to($at, "security.protocol=ssl\nssl.ca.location=$tls/other-ca.pem\n");
put($node, 'plain', 2);
ok_state($node, 'misconfigured', 'certificate|ssl', 'a CA that did not sign');
connect_to($at, "security.protocol=ssl\nssl.ca.location=$tls/none.pem\n");
ok_state($node, 'misconfigured', 'ssl.ca.location|ca', 'a CA file that is not there');

# The certificate is for localhost and 127.0.0.1.
my ($port) = $at =~ /:(\d+)$/;
my $forward = IPC::Run::start([ python(), '-c', <<'PY', $port ], '<', \undef, '>', \my $listening, '2>', \my $python_said);
import socket, sys, threading
server = socket.create_server(("127.0.0.2", 0))
print(server.getsockname()[1], flush=True)
def pump(a, b):
    try:
        while data := a.recv(65536):
            b.sendall(data)
    except OSError:
        pass
    for s in (a, b):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
while True:
    near = server.accept()[0]
    far = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    for pair in ((near, far), (far, near)):
        threading.Thread(target=pump, args=pair, daemon=True).start()
PY
$forward->pump until $listening =~ /\n/;
chomp $listening;
connect_to("127.0.0.2:$listening", ssl());
ok_state($node, 'misconfigured', 'hostname|certificate|mismatch', 'a certificate for another host');
connect_to("127.0.0.2:$listening", ssl("ssl.endpoint.identification.algorithm=none\n"));
resumes('the same one, if the host is not to be checked');
$forward->kill_kill;

# A client certificate: user CN=client, which has no rights yet.
IPC::Run::run([ 'openssl', 'pkcs8', '-topk8', '-in', "$tls/client.key", '-out', "$tls/client.enc", '-passout',
		"pass:$key_secret" ], '2>', \my $ignored)
  or BAIL_OUT('openssl');
chmod(0600, "$tls/client.enc");
my $with_cert = ssl("ssl.certificate.location=$tls/client.pem\nssl.key.location=$tls/client.enc\n");
connect_to($at, $with_cert . "ssl.key.password=$key_secret\n");
ok_state($node, 'misconfigured', "outbox.position.$instance.*authoriz", 'client certificate without rights');
admin($admin, 'allow', 'CN=client', 'topic', '*', 'all');
admin($admin, 'allow', 'CN=client', 'transactional_id', '*', 'all');
admin($admin, 'allow', 'CN=client', 'cluster', 'kafka-cluster', 'idempotent_write');
resumes('TLS with a client certificate and an encrypted key');
connect_to($at, $with_cert . "ssl.key.password=$wrong\n");
ok_state($node, 'misconfigured', 'key', 'wrong password of the key');

# ---- SASL and rights, one after the other
$at = $broker->file('bootstrap.sasl');
connect_to($at, sasl('PLAIN', 'outbox', $secret));
put($node, 'plain', 2);
ok_state($node, 'misconfigured', "outbox.position.$instance.*authoriz", 'no right to the position topic');
admin($admin, 'allow', 'outbox', 'topic', "outbox.position.$instance", 'all');
admin($admin, 'allow', 'outbox', 'cluster', 'kafka-cluster', 'idempotent_write');
ok_state($node, 'misconfigured', "outbox-$instance-0.*authoriz", 'no right to the transactional id');
admin($admin, 'allow', 'outbox', 'transactional_id', "outbox-$instance-0", 'all');
admin($admin, 'allow', 'outbox', 'transactional_id', "outbox-$instance-1", 'all');
ok_state($node, 'misconfigured', "$plain.*authoriz", 'no right to the topic');
admin($admin, 'allow', 'outbox', 'topic', $plain, 'all');
admin($admin, 'allow', 'outbox', 'topic', $typed, 'all');
resumes('SASL PLAIN, rights granted one by one');

# "all" includes DescribeConfigs, but not on the cluster
like($node->safe_psql('postgres', "SELECT string_agg(severity || ' ' || object || ' ' || problem, E'\n')
	FROM outbox.kafka_findings('30 s')"), qr/^info broker 1 its settings cannot be seen: .*authoriz/im,
	'check: no right to see the settings of a broker');

admin($admin, 'deny', 'outbox', 'topic', $typed, 'all');
put($node, 'typed', 2);
ok_state($node, 'misconfigured', "$typed.*authoriz", 'right to a topic taken while streaming');
admin($admin, 'allow', 'outbox', 'topic', $typed, 'all');
resumes('right given again');

foreach my $mechanism (qw(PLAIN SCRAM-SHA-256 SCRAM-SHA-512))
{
	connect_to($at, sasl($mechanism, 'outbox', $wrong));
	put($node, 'plain', 1);
	ok_state($node, 'misconfigured', 'authentication', "$mechanism: wrong password");
	connect_to($at, sasl($mechanism, 'outbox', $secret));
	resumes("SASL $mechanism");
}

# ---- no secret anywhere
my %seen;
$seen{'settings'} = $node->safe_psql('postgres', 'SELECT * FROM pg_settings; SELECT * FROM pg_file_settings;');
$seen{'pg_stat_activity'} = $node->safe_psql('postgres', 'SELECT * FROM pg_stat_activity');
$seen{'status'} = $node->safe_psql('postgres', 'SELECT * FROM outbox.status(); SELECT * FROM outbox.stat_relay;');
$seen{'process titles and environments'} = join("\n",
	map { my $p = $_; (-r "/proc/$p/cmdline" ? slurp_file("/proc/$p/cmdline") : ''),
	  (-r "/proc/$p/environ" ? slurp_file("/proc/$p/environ") : '') } relay_pid($node), child_pid($node));
$seen{'server log'} = slurp_file($node->logfile);
my ($dump, $dump_err) = run_command([ 'pg_dump', '-d', $node->connstr('postgres') ]);
$seen{'dump'} = $dump;
foreach my $place (sort keys %seen)
{
	ok(length($seen{$place}) > 0 && $seen{$place} !~ /\Q$secret\E|\Q$wrong\E|\Q$key_secret\E/, "no secret in: $place");
}
$node->safe_psql('postgres', 'CREATE ROLE nobody_special LOGIN');
my ($rc, $out, $err) = $node->psql('postgres', 'SHOW outbox.kafka_config_file',
	extra_params => [ '-U', 'nobody_special' ]);
isnt($rc, 0, 'not everybody may see where the file is');

check_all($node, 'over TLS and SASL', $plain, $typed, { bootstrap => $admin });
$node->stop;
done_testing();
