# Secrets are in their files and in the memory of outbox-kafka and outbox-http,
# and nowhere else: canaries in every file are looked for in logs at debug5,
# settings, every view as each role, dumps, process titles, environments, and
# the memory of the server's processes.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../faults/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;
use FaultTest;

# In two halves wherever a statement needs one: statements are logged.
my %canary = map { $_ => "canary" . "Bird-$_-77" } qw(sasl wrong registry token httpuser database key);
my $any = 'canary' . 'Bird';

my $broker = OutboxTest::Broker->new('--tls', '--sasl', '--user', "bird $canary{sasl}");
my $dir = PostgreSQL::Test::Utils::tempdir('config');
my $kafka_file = "$dir/kafka.properties";
my $http_file = "$dir/http.properties";

sub write_file
{
	my ($file, $text) = @_;
	unlink $file;
	append_to_file($file, $text);
	chmod(0600, $file);
	return;
}
sub kafka_file
{
	my ($password) = @_;
	write_file($kafka_file, "security.protocol=sasl_ssl\nssl.ca.location=$broker->{dir}/tls/ca.pem\n"
		  . "sasl.mechanism=PLAIN\nsasl.username=bird\nsasl.password=$password\n"
		  . "ssl.key.password=$canary{key}\nschema.registry.basic.auth.user.info=bird:$canary{registry}\n");
	return;
}

kafka_file($canary{wrong});
write_file($http_file, "user.bird=$canary{httpuser}\ndatabase.password=$canary{database}\n");
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $servers = $broker->file('bootstrap.sasl');
my $node = outbox_node('canary', bootstrap => '', conf => <<"CONF");
log_min_messages = debug5
log_min_error_statement = debug5
log_statement = all
log_error_verbosity = verbose
outbox.retry_max = 1s
outbox.kafka_config_file = '$kafka_file'
outbox.http_config_file = '$http_file'
outbox.http_listen = '127.0.0.1:$port'
CONF
my $topic = topic('canary');
my $avro = topic('canary-avro');
$node->safe_psql('postgres', "SELECT outbox.create_event_type('bird', format => 'json', topic => '$topic', on_error => 'dead_letter')");
$node->safe_psql('postgres', "SELECT outbox.create_event_type('typed', topic => '$avro',
	schema => '{\"type\": \"record\", \"name\": \"T\", \"fields\": [{\"name\": \"n\", \"type\": \"long\"}]}')");

# ---- a password that is refused, a registry that is not there, then all is well
reload_with($node, 'outbox.bootstrap_servers' => $servers);
put_event('bird');
ok_state($node, 'misconfigured', 'authentication', 'wrong password');
my $findings = '';
$findings .= $node->safe_psql('postgres', "SELECT * FROM outbox.check('1 s')");
kafka_file($canary{sasl});
$node->safe_psql('postgres', 'SELECT outbox.restart()');
ok(wait_published($node), 'right password');
reload_with($node, 'outbox.schema_registry_url' => 'https://127.0.0.1:1');
put_event('typed');
ok_state($node, 'registry_unavailable', '127.0.0.1:1', 'no registry');
$findings .= $node->safe_psql('postgres', "SELECT * FROM outbox.check('5 s')");
kafka_file($canary{sasl});
reload_with($node, 'outbox.schema_registry_url' => '');
ok(wait_published($node), 'all is well');
ok(wait_for($node, "SELECT count(*) = 1 FROM outbox.check('0 s') WHERE object = 'outbox-http' AND severity = 'ok'"),
	'outbox-http serves');
$findings .= $node->safe_psql('postgres', 'SELECT * FROM outbox.status(); SELECT * FROM outbox.stat_relay');

sub put_event
{
	my ($type) = @_;
	$node->safe_psql('postgres', "SELECT outbox.emit('$type', '{\"n\": 1}'::jsonb)");
	return;
}

# ---- texts
unlike($findings, qr/$any/, 'nothing in findings and states');
my ($dump, $dump_err) = run_command([ 'pg_dump', '-d', $node->connstr('postgres') ]);
my ($all, $all_err) = run_command([ 'pg_dumpall', '-d', $node->connstr('postgres') ]);
like($dump, qr/event_type_def/, 'pg_dump ran');
like($all, qr/CREATE ROLE outbox_admin/, 'pg_dumpall ran');
unlike($dump . $dump_err . $all . $all_err, qr/$any/, 'nothing in dumps');
unlike(slurp_file($node->data_dir . "/$_"), qr/$any/, "nothing in $_") foreach qw(postgresql.conf postgresql.auto.conf);

# The keys of the server itself: not dumped either, and for nobody but the owner.
my @keys = split /\n/, $node->safe_psql('postgres',
	"SELECT encode(key, 'hex') FROM outbox.secret UNION ALL SELECT encode(salt, 'hex') FROM outbox.capture_salt");
is(scalar @keys, 2, 'a signing key and a salt');
foreach my $key (@keys)
{
	unlike("$dump$all$findings", qr/$key/i, 'a key of the server is in no dump and no finding');
}

# ---- every view, as each role
$node->safe_psql('postgres', <<"SQL");
CREATE ROLE bird_nobody LOGIN;
CREATE ROLE bird_emitter LOGIN IN ROLE outbox_emitter;
CREATE ROLE bird_monitor LOGIN IN ROLE outbox_monitor;
CREATE ROLE bird_admin LOGIN IN ROLE outbox_admin;
CREATE ROLE bird_pg_monitor LOGIN IN ROLE pg_monitor;
CREATE FUNCTION public.look(canary text, keys text[], OUT seen boolean, OUT canaries bigint, OUT told_keys bigint)
LANGUAGE plpgsql AS \$\$
DECLARE
	v record;
	n bigint;
	k bigint;
	views bigint := 0;
BEGIN
	canaries := 0;
	told_keys := 0;
	FOR v IN SELECT format('%I.%I', schemaname, viewname) AS name FROM pg_views
		WHERE schemaname IN ('pg_catalog', 'information_schema', 'outbox')
		UNION ALL SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace
		WHERE s.nspname = 'outbox' AND c.relkind = 'r' LOOP
		BEGIN
			EXECUTE format('SELECT count(*) FILTER (WHERE strpos(t, \$1) > 0),
				count(*) FILTER (WHERE EXISTS (SELECT FROM unnest(\$2) k WHERE strpos(t, k) > 0))
				FROM (SELECT v::text FROM %s v) x (t)', v.name) INTO n, k USING canary, keys;
			views := views + 1;
			canaries := canaries + n;
			told_keys := told_keys + k;
			IF n > 0 THEN RAISE NOTICE '% tells', v.name; END IF;
		EXCEPTION WHEN insufficient_privilege OR object_not_in_prerequisite_state THEN NULL;
		END;
	END LOOP;
	seen := views > 100;
END
\$\$;
SQL

# Not at debug5, which has a line for each step of that function.
my @roles = qw(bird_nobody bird_emitter bird_monitor bird_admin bird_pg_monitor);
my $owner = $node->safe_psql('postgres', 'SELECT current_user');
my $halves = sub { join(' || ', map { "'$_'" } @_) };
foreach my $role (@roles, $owner)
{
	$node->safe_psql('postgres', "ALTER ROLE \"$role\" SET log_min_messages = warning");
	my ($rc, $out, $err) = $node->psql('postgres', 'SELECT * FROM public.look(' . $halves->('canary', 'Bird')
		  . ', ARRAY[' . join(', ', map { $halves->(/^(.{8})(.*)$/) } @keys) . '])', extra_params => [ '-U', $role ]);
	is($out, $role eq $owner ? 't|0|2' : 't|0|0', $role eq $owner ? 'the owner sees the two keys, and no canary' :
		"no canary and no key of the server in any view or table, as $role") or diag($err);
	$node->safe_psql('postgres', "ALTER ROLE \"$role\" RESET log_min_messages");
}

# ---- processes: the server's hold none, the two programs hold theirs
my $postmaster = $node->{_pid};
my $kafka = child_pid($node);
my @pids = ($postmaster, split /\n/, $node->safe_psql('postgres', 'SELECT pid FROM pg_stat_activity'));
my ($http) = map { m!^/proc/(\d+)/! } grep { (slurp_proc($_) // '') =~ m!/outbox-http\0serve! && parent($_) ne '1' && ours($_) } glob('/proc/[0-9]*/cmdline');
ok($http, 'outbox-http runs');

sub slurp_proc
{
	my ($file) = @_;
	open(my $fh, '<:raw', $file) or return undef;
	local $/;
	return scalar <$fh>;
}
sub parent { my ($p) = $_[0] =~ m!/proc/(\d+)/!; return (slurp_proc("/proc/$p/stat") // '') =~ /\) \S (\d+)/ ? $1 : '1'; }
sub ours { my $up = parent($_[0]); return parent("/proc/$up/x") eq $postmaster; }

# How often a text is in a process's memory; undef when it cannot be read.
sub in_memory
{
	my ($pid, $text) = @_;
	my $found = 0;
	open(my $mem, '<:raw', "/proc/$pid/mem") or return undef;
	foreach my $line (split /\n/, slurp_proc("/proc/$pid/maps") // '')
	{
		my ($from, $to, $mode) = $line =~ /^([0-9a-f]+)-([0-9a-f]+) (\S+)/ or next;
		next if $mode !~ /^r/ || $line =~ /\[v(var|sys|dso)/;
		no warnings 'portable';
		my ($at, $end) = (hex $from, hex $to);
		my $rest = '';
		while ($at < $end)
		{
			my $n = $end - $at > 4 << 20 ? 4 << 20 : $end - $at;
			sysseek($mem, $at, 0);
			my $got = sysread($mem, my $bytes, $n) or last;
			$found++ if index($rest . $bytes, $text) >= 0;
			$rest = substr($bytes, -64);
			$at += $got;
		}
	}
	return $found;
}

my $read = 0;
foreach my $pid (@pids)
{
	my $found = in_memory($pid, $any) // next;
	$read++;
	is($found, 0, 'nothing in the memory of ' . ((slurp_proc("/proc/$pid/cmdline") // '') =~ s/\0.*//sr));
}
cmp_ok($read, '>=', 5, "read the memory of $read processes");
cmp_ok(in_memory($kafka, $canary{sasl}), '>', 0, 'outbox-kafka has its password: this test would see it');
cmp_ok(in_memory($http, $canary{database}), '>', 0, 'and outbox-http');
foreach my $pid (@pids, $kafka, $http)
{
	unlike((slurp_proc("/proc/$pid/cmdline") // '') . (slurp_proc("/proc/$pid/environ") // ''), qr/$any/,
		"nothing in title and environment of process $pid");
}
foreach (['outbox-kafka', $kafka], ['outbox-http', $http])
{
	my ($name, $pid) = @$_;
	like(slurp_proc("/proc/$pid/coredump_filter"), qr/^0+$/, "$name gives no memory to a core handler");
	like(slurp_proc("/proc/$pid/limits"), qr/^Max core file size\s+0\s+0\s/m, "$name leaves no core file");
}

# ---- the log, of all of that
$node->safe_psql('postgres', 'SELECT outbox.restart()');
$node->stop;
my $log = slurp_file($node->logfile);
like($log, qr/DEBUG/, 'the log is at debug5');
unlike($log, qr/$any/, 'nothing in the log');
unlike($log, qr/$_/i, 'no key of the server in it') foreach @keys;
done_testing();
