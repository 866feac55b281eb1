# OutboxTest: what TAP tests of outbox have in common, on top of
# PostgreSQL::Test::Cluster.  A test file begins with
#
#	use strict;
#	use warnings;
#	use PostgreSQL::Test::Utils;
#	use Test::More;
#	use OutboxTest;
#
#	my $node = outbox_node('main');			# running, extension created
#	$node->safe_psql('postgres', '...');
#	wait_published($node);
#	my @seen = consume($node, 'some.topic');
#	verify_events($node, \@committed, \@seen);	# four or more tests
#	done_testing();
#
# and is run by ./check.sh tap [PATTERN].  All files share one broker, so
# topics need names of their own: topic('orders').  A file that kills brokers
# starts one: my $broker = OutboxTest::Broker->new(); see below.
package OutboxTest;

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter 'import';
use File::Basename;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep time);

our @EXPORT = qw(
  outbox_node bootstrap topic
  wait_state wait_published wait_for status relay_pid child_pid
  consume events_by_id verify_events kill9 root_folder
);

my $root = abs_path(dirname(__FILE__) . '/../..');
my $work = $ENV{OUTBOX_WORK} || "$root/.work";
my $python = $ENV{OUTBOX_PYTHON} || "$work/venv/bin/python";
my $run_id = sprintf('%x%x', time() & 0xffffff, $$);

# Servers and brokers are stopped in END blocks, which a signal must run.
$SIG{TERM} = $SIG{INT} = $SIG{HUP} = sub { die "stopped by a signal\n" };

sub root_folder { return $root; }

# A topic name that no other test file or run uses.
sub topic
{
	my ($name) = @_;
	return "$name-$run_id";
}

# HOST:PORT of the broker that check.sh started; without one, of an own broker.
my $own_broker;

sub bootstrap
{
	return $ENV{OUTBOX_TEST_BOOTSTRAP} if $ENV{OUTBOX_TEST_BOOTSTRAP};
	$own_broker //= OutboxTest::Broker->new;
	return $own_broker->bootstrap;
}

# A running server with the extension.  Options, all optional:
#	bootstrap	HOST:PORT; '' for no Kafka; default the shared broker
#	conf		lines for postgresql.conf
#	init		arguments of PostgreSQL::Test::Cluster::init
#	extension	0: do not create it (in database postgres)
#	start		0: do not start
#	install_path	another installation
sub outbox_node
{
	my ($name, %opt) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name,
		$opt{install_path} ? (install_path => $opt{install_path}) : ());
	my $servers = $opt{bootstrap} // bootstrap();
	my %init = @{ $opt{init} // [] };

	# From PostgreSQL 18 on the test framework's default is SQL_ASCII.
	$init{extra} = [ '--encoding=UTF8', @{ $init{extra} // [] } ];
	$node->init(%init);
	$node->append_conf('postgresql.conf', <<"CONF");
shared_preload_libraries = 'outbox'
wal_level = replica
max_replication_slots = 16
max_wal_senders = 10
max_worker_processes = 32
max_prepared_transactions = 10
restart_after_crash = on
outbox.bootstrap_servers = '$servers'
CONF
	$node->append_conf('postgresql.conf', $opt{conf}) if defined $opt{conf};
	if ($opt{start} // 1)
	{
		$node->start;
		$node->safe_psql('postgres', 'CREATE EXTENSION outbox') if $opt{extension} // 1;
	}
	return $node;
}

# Asks until the query answers "t" (or $want); a server that is restarting is
# no answer.  Returns whether it came within $timeout seconds.
sub wait_for
{
	my ($node, $query, %opt) = @_;
	my $want = $opt{want} // 't';
	my $deadline = time() + ($opt{timeout} // 60);
	my ($rc, $out, $err);

	while (1)
	{
		($rc, $out, $err) = $node->psql($opt{db} // 'postgres', $query);
		return 1 if $rc == 0 && $out eq $want;
		last if time() > $deadline;
		usleep(50_000);
	}
	diag("no \"$want\" within time from: $query\nlast answer: $out $err");
	return 0;
}

sub wait_state
{
	my ($node, $state, %opt) = @_;
	return 1
	  if wait_for($node, 'SELECT state FROM outbox.status()', want => $state, %opt);
	my ($rc, $out) = $node->psql($opt{db} // 'postgres', 'SELECT * FROM outbox.status()',
		extra_params => ['-x']);
	diag($out);
	return 0;
}

# The one row of outbox.status() as a hash.
sub status
{
	my ($node, $db) = @_;
	return decode_json($node->safe_psql($db // 'postgres',
			'SELECT row_to_json(s) FROM outbox.status() s'));
}

# Waits until all that is committed now is published.
sub wait_published
{
	my ($node, %opt) = @_;
	my $timeout = $opt{timeout} // 60;
	my ($rc, $out, $err) = $node->psql($opt{db} // 'postgres',
		"SELECT pg_current_xact_id();\nSELECT outbox.wait_published('$timeout s');");
	diag("wait_published: $out $err") if $rc != 0;
	return $rc == 0 && $out !~ /\nf$/;
}

sub relay_pid { return running_pid('pid', @_); }

sub child_pid { return running_pid('child_pid', @_); }

# There is none for a moment while one takes over from another.
sub running_pid
{
	my ($which, $node, $db) = @_;
	my $deadline = time() + 60;
	while (1)
	{
		my ($rc, $out) = $node->psql($db // 'postgres', "SELECT $which FROM outbox.status()");
		return $out if $rc == 0 && $out ne '';
		die "no $which\n" if time() > $deadline;
		usleep(50_000);
	}
}

# kill -9, and waits for the end of the process.
sub kill9
{
	my ($pid) = @_;
	kill 'KILL', $pid;
	for (1 .. 200)
	{
		return 1 if !kill(0, $pid);
		open(my $fh, '<', "/proc/$pid/stat") or return 1;
		return 1 if (<$fh> // '') =~ /\) Z/;
		usleep(20_000);
	}
	return 0;
}

# All messages of the topics, read_committed, in order of partition and offset:
# hashes with topic, partition, offset, key, headers, schema, value (decoded
# with the schemas of the node's database).  Last argument: { options }.
sub consume
{
	my ($node, @topics) = @_;
	my %opt = ref $topics[-1] ? %{ pop @topics } : ();
	my $schemas = PostgreSQL::Test::Utils::tempdir() . '/schemas.json';
	my @cmd = ($python, "$root/test/consumer/consume.py",
		'--bootstrap', $opt{bootstrap} // bootstrap());
	my ($out, $err) = ('', '');

	if ($node)
	{
		append_to_file($schemas, $node->safe_psql($opt{db} // 'postgres',
				'SELECT json_object_agg(id, definition) FROM ('
				  . 'SELECT r.external_id AS id, s.definition FROM outbox.registry_id r'
				  . ' JOIN outbox.schema s ON s.id = r.schema_id'
				  . ' UNION ALL SELECT id, definition FROM outbox.schema) s'));
		push @cmd, '--schemas', $schemas;
	}
	push @cmd, '--uncommitted' if $opt{uncommitted};
	push @cmd, '--timeout', $opt{timeout} // 60;
	push @cmd, map { ('-X', $_) } @{ $opt{config} // [] };
	IPC::Run::run([ @cmd, @topics ], '>', \$out, '2>', \$err)
	  or diag("consume.py: $err");
	my @seen = sort {
		     $a->{topic} cmp $b->{topic}
		  || $a->{partition} <=> $b->{partition}
		  || $a->{offset} <=> $b->{offset}
	  }
	  map { decode_json($_) } split /\n/, $out;
	return @seen;
}

# Messages by the value of their header "id".
sub events_by_id
{
	my %by;
	foreach my $m (@_)
	{
		my ($id) = map { $_->[1] } grep { $_->[0] eq 'id' } @{ $m->{headers} };
		push @{ $by{ $id // '' } }, $m;
	}
	return \%by;
}

# The invariants, each a test of the caller's: what was committed (hashes with
# id, key and as known seq, pos, txn, ord, value: see test/consumer/verify.py)
# against what consume() returned.  A query instead of the array is run in the
# node's database and must give those columns.
sub verify_events
{
	my ($node, $committed, $seen, $title) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my ($out, $err) = ('', '');

	$committed = [ map { decode_json($_) } split /\n/,
		$node->safe_psql('postgres', "SELECT row_to_json(q) FROM ($committed) q") ]
	  unless ref $committed;
	my $json = JSON::PP->new->canonical;
	append_to_file("$dir/truth", join('', map { $json->encode($_) . "\n" } @$committed));
	append_to_file("$dir/seen", join('', map { $json->encode($_) . "\n" } @$seen));
	IPC::Run::run([ $python, "$root/test/consumer/verify.py", '--tap', '--truth',
			"$dir/truth", '--seen', "$dir/seen" ], '>', \$out, '2>', \$err);
	my $good = 1;
	my $any = 0;
	foreach my $line (split /\n/, $out)
	{
		if ($line =~ /^(not )?ok \d+ - (.*)/)
		{
			$good &= ok(!$1, ($title ? "$title: " : '') . $2);
			$any = 1;
		}
		else
		{
			note($line) if $line =~ /committed,/;
			diag($line) if $line !~ /committed,/;
		}
	}
	ok(0, "verify.py ran: $err") unless $any;
	return $good;
}

# A broker of the file's own, stopped at its end.
#
#	my $broker = OutboxTest::Broker->new('--sasl', '--acl');
#	$broker->bootstrap / ->file('bootstrap.sasl') / ->dir
#	$broker->kill9 / stop / restart / pause / cont
package OutboxTest::Broker;

use strict;
use warnings;
use Test::More;

my @brokers;

sub new
{
	my ($class, @options) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir('broker');
	my $self = bless { dir => $dir }, $class;

	push @brokers, $self;
	$self->call('start', @options);
	return $self;
}

sub dir { return $_[0]->{dir}; }

# First line of a file of the broker's folder, see test/support/kafka.
sub file
{
	my ($self, $name) = @_;
	my $text = PostgreSQL::Test::Utils::slurp_file("$self->{dir}/$name");
	$text =~ s/\n.*//s;
	return $text;
}
sub bootstrap { return $_[0]->file('bootstrap'); }

sub call
{
	my ($self, $verb, @options) = @_;
	my ($out, $err) = ('', '');
	my $rc = IPC::Run::run([ "$root/test/support/kafka", $verb, $self->{dir}, @options ],
		'>', \$out, '2>', \$err);
	BAIL_OUT("kafka $verb: $err") if !$rc && $verb =~ /start/;
	return $rc;
}
sub kill9 { return $_[0]->call('kill9'); }
sub stop { return $_[0]->call('stop'); }
sub restart { return $_[0]->call('restart'); }
sub pause { return $_[0]->call('pause'); }
sub cont { return $_[0]->call('cont'); }

END
{
	my $rc = $?;
	$_->stop foreach @brokers;
	$? = $rc;
}

1;
