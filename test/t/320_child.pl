# outbox-kafka and the relay die, hang, are asked to leave; also below a
# postmaster that is PID 1, as in a container.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../faults/lib";
use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;
use FaultTest;
use Time::HiRes qw(sleep time);

my $server;						# the one that is PID 1, while it runs
END
{
	my $rc = $?;
	$server->kill_kill(grace => 2) if $server;
	$? = $rc;
}

my $broker = OutboxTest::Broker->new();
my %at = (bootstrap => $broker->bootstrap);
my $node = outbox_node('child', %at);
my @topics = (set_up($node), \%at);
wait_state($node, 'streaming');

# A session that would be lost if the server restarted its sessions.
my $session = IPC::Run::start([ 'psql', '-X', '-d', $node->connstr('postgres'), '-c', 'SELECT pg_sleep(600)' ],
	'<', \undef, '>', \my $ignored, '2>', \my $ignored_too);
my $sleeper = q{SELECT pid FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'};
wait_for($node, "SELECT count(*) = 1 FROM ($sleeper) s");
my $started = postmaster_start($node);
my $sleeping = $node->safe_psql('postgres', $sleeper);

sub unharmed
{
	my ($title) = @_;
	my $good = postmaster_start($node) eq $started && $node->safe_psql('postgres', $sleeper) eq $sleeping;
	ok($good, "server and sessions did not notice: $title");
	return;
}

# Waits for another process than this one; undef if none comes.
sub successor
{
	my ($what, $old) = @_;
	my $column = $what eq 'relay' ? 'pid' : 'child_pid';
	wait_for($node, "SELECT $column <> $old AND state = 'streaming' FROM outbox.status()") or return;
	return $node->safe_psql('postgres', "SELECT $column FROM outbox.status()");
}

# ---- outbox-kafka killed
for my $round (1 .. 3)
{
	put($node, 'plain', 20);
	my $child = child_pid($node);
	my $began = time();
	kill9($child);
	put($node, 'typed', 20);
	ok(successor('child', $child), "outbox-kafka replaced after kill -9, round $round");
	ok_resumed($node, 'outbox-kafka was killed');
	note(sprintf('kill -9: %.1f s until published', time() - $began));
}
unharmed('kill -9 of outbox-kafka');
like(status($node)->{last_error}, qr/outbox-kafka \(PID \d+\) (ended|closed)/, 'the reason is kept');

# ---- stopped
my $child = child_pid($node);
kill 'STOP', $child;
my $began = time();
put($node, 'plain', 20);
ok(successor('child', $child), 'outbox-kafka replaced after kill -STOP');
ok_resumed($node, 'outbox-kafka was stopped');
note(sprintf('kill -STOP: %.1f s until published', time() - $began));
ok(!kill(0, $child) || slurp_file("/proc/$child/stat") =~ /\) Z/, 'the stopped process is gone');
unharmed('kill -STOP of outbox-kafka');

# ---- signals a program may get
foreach my $signal (qw(TERM INT HUP PIPE))
{
	$child = child_pid($node);
	kill $signal, $child;
	put($node, 'plain', 3);
	ok_resumed($node, "outbox-kafka got SIG$signal");
}
unharmed('signals to outbox-kafka');

# ---- the relay asked to leave
foreach my $function (qw(pg_terminate_backend pg_cancel_backend))
{
	my $relay = relay_pid($node);
	put($node, 'plain', 5);
	$node->safe_psql('postgres', "SELECT $function($relay)");
	ok(successor('relay', $relay), "another relay after $function");
	put($node, 'typed', 5);
	ok_resumed($node, $function);
}
my $relay = relay_pid($node);
$child = child_pid($node);
kill 'TERM', $relay;
ok(successor('relay', $relay), 'another relay after SIGTERM');
ok(!kill(0, $child), 'its outbox-kafka went with it');
unharmed('a relay that was asked to leave');

$node->safe_psql('postgres', 'CREATE ROLE signaller LOGIN; GRANT pg_signal_backend TO signaller');
my ($rc, $out, $err) = $node->psql('postgres', 'SELECT pg_terminate_backend(' . relay_pid($node) . ')',
	extra_params => [ '-U', 'signaller' ]);
isnt($rc, 0, 'a member of pg_signal_backend may not end the relay');

# ---- the relay killed while outbox-kafka commits: the broker stands still,
# so the outcome is open until it goes on
$broker->pause;
put($node, 'plain', 20);
sleep(0.5);
$relay = relay_pid($node);
$child = child_pid($node);
kill9($relay);
$session->finish;
$broker->cont;
wait_for($node, 'SELECT true');
ok(!kill(0, $child) || slurp_file("/proc/$child/stat") =~ /\) Z/, 'no orphan after kill -9 of the relay');
put($node, 'typed', 5);
ok_resumed($node, 'the relay was killed in a commit');

# A stopped orphan is continued by the kernel, and then ends like any other.
$relay = relay_pid($node);
$child = child_pid($node);
kill 'STOP', $child;
sleep(0.01) while slurp_file("/proc/$child/stat") !~ /\) T/;
sleep(0.3);			# all its threads
kill9($relay);
wait_for($node, 'SELECT true');
my $gone = 0;
for (1 .. 100)
{
	last if $gone = !kill(0, $child) || slurp_file("/proc/$child/stat") =~ /\) Z/;
	sleep(0.1);
}
ok($gone, 'no stopped orphan after kill -9 of the relay');
ok_resumed($node, 'outbox-kafka stopped, relay killed');
is($node->safe_psql('postgres', q{SELECT string_agg(regexp_replace(slot_name, '[0-9]+', 'N'), ' ' ORDER BY slot_name) FROM pg_replication_slots}), 'outbox_N outbox_events_N', 'one slot, and one of the event log');
check_all($node, 'after all this', @topics);
$node->stop;

# ---- PID 1.  In a PID namespace where the kernel lets us make one; else as
# the reaper of its descendants' orphans, which is what matters of being PID 1.
my $init = outbox_node('init', %at, start => 0);
my @unshare = qw(unshare --user --map-current-user --pid --fork --kill-child --mount-proc);
my $namespace = IPC::Run::run([ @unshare, 'true' ], '>', \my $o, '2>', \my $e);
my @as_init = $namespace ? @unshare : (FaultTest::python(), '-c',
	'import ctypes, os, sys; ctypes.CDLL(None).prctl(36, 1, 0, 0, 0); os.execvp(sys.argv[1], sys.argv[1:])');
my $log = $init->logfile;
$server = IPC::Run::start([ @as_init, 'postgres', '-D', $init->data_dir ], '<', \undef, '>>', $log, '2>>', $log);
note($namespace ? 'in a PID namespace' : 'as subreaper');
wait_for($init, 'SELECT true') or BAIL_OUT('the server as PID 1 did not start');
$init->safe_psql('postgres', 'CREATE EXTENSION outbox');
is(($init->safe_psql('postgres', q{SELECT pg_read_file('postmaster.pid')}) =~ /^1\n/) ? 1 : 0, $namespace ? 1 : 0,
	'the postmaster is PID 1 where it can be');
my @init_topics = (set_up($init, plain => topic('init-plain'), typed => topic('init-typed')), \%at);
wait_state($init, 'streaming');
$started = postmaster_start($init);

# Pids are those of the namespace: let the server send the signals.
sub inside
{
	my ($signal, $column) = @_;
	my ($pid) = $init->safe_psql('postgres', "SELECT $column FROM outbox.status()");
	$init->psql('postgres', qq{COPY (SELECT 1) TO PROGRAM 'cat >/dev/null; kill -$signal $pid'});
	return $pid;
}
sub restarts { return scalar(() = slurp_file($log) =~ /all server processes terminated; reinitializing/g); }

for my $round (1 .. 3)
{
	put($init, 'plain', 10);
	my $pid = inside('KILL', 'child_pid');
	put($init, 'typed', 10);
	wait_for($init, "SELECT child_pid <> $pid AND state = 'streaming' FROM outbox.status()");
}
$broker->pause;
put($init, 'plain', 10);
sleep(0.3);
my $old = inside('TERM', 'pid');
$broker->cont;
wait_for($init, "SELECT pid <> $old AND state = 'streaming' FROM outbox.status()");
ok_resumed($init, 'PID 1: outbox-kafka killed, relay ended in a commit');
is(restarts(), 0, 'no restart of the sessions by a reaped process');

$broker->pause;
put($init, 'plain', 10);
sleep(0.3);
$old = inside('KILL', 'pid');
$broker->cont;
wait_for($init, "SELECT pid <> $old AND state = 'streaming' FROM outbox.status()");
ok_resumed($init, 'PID 1: the relay killed in a commit');
sleep(1);
is(restarts(), 1, 'kill -9 of the relay restarts the sessions once, its orphan not again');
check_all($init, 'PID 1', @init_topics);

# SIGINT is a fast stop; the server is our child, or the only child of it.
my ($below) = $namespace ? grep { m{^\d+$} } split(/\s+/, `pgrep -P $server->{KIDS}[0]{PID}`) : ();
kill 'INT', $below // $server->{KIDS}[0]{PID};
$server->finish;
undef $server;
like(slurp_file($log), qr/database system is shut down/, 'PID 1: stopped in order');

done_testing();
