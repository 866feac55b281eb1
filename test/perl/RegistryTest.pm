# RegistryTest: schema registries for TAP tests, on top of OutboxTest.
#
#	my $apicurio = RegistryTest::Apicurio->new('--tls');	# a real one
#	$apicurio->url / ->dir / ->call('pause')
#	my $server = RegistryTest::Server->new('--basic', 'me:secret');	# one that lies
#	$server->url / ->fault('status:503', 'POST', 2) / ->calls
#	my @seen = registry_consume($url, 'topic', ...);
#
# Both are stopped at the end of the file.
package RegistryTest;

use strict;
use warnings;

use Exporter 'import';
use JSON::PP;
use OutboxTest;
use Test::More;

our @EXPORT = qw(registry_consume http_json stored_ids);

sub python { return $ENV{OUTBOX_PYTHON} || root_folder() . '/.work/venv/bin/python'; }

# All messages of the topics, decoded by the stock client with the registry at
# $url; the last argument may be { bootstrap => HOST:PORT }.
sub registry_consume
{
	my ($url, @topics) = @_;
	my %opt = ref $topics[-1] ? %{ pop @topics } : ();
	my ($out, $err) = ('', '');
	my $rc = IPC::Run::run([ python(), root_folder() . '/test/consumer/registry_consume.py', '--bootstrap',
			$opt{bootstrap} // bootstrap(), '--registry', $url, @topics ], '>', \$out, '2>', \$err);
	diag("registry_consume.py: $err") unless $rc;
	return map { decode_json($_) } split /\n/, $out;
}

# (status, decoded answer)
sub http_json
{
	my ($method, $url, $body) = @_;
	my ($out, $err) = ('', '');
	IPC::Run::run([ 'curl', '-s', '--noproxy', '*', '-X', $method, '-w', '\n%{http_code}', '-H',
			'Content-Type: application/vnd.schemaregistry.v1+json',
			defined $body ? ('-d', encode_json($body)) : (), $url ], '>', \$out, '2>', \$err)
	  or diag("curl: $err");
	my ($text, $status) = $out =~ /^(.*)\n(\d+)$/s;
	return ($status, $text =~ /^\s*[\[{"\d]/ ? JSON::PP->new->allow_nonref->decode($text) : $text);
}

# Rows of outbox.registry_id as "subject schema external".
sub stored_ids
{
	my ($node) = @_;
	return $node->safe_psql('postgres',
		'SELECT subject, schema_id, external_id FROM outbox.registry_id ORDER BY registered_at');
}

package RegistryTest::Apicurio;

use strict;
use warnings;
use Test::More;

my @running;

sub new
{
	my ($class, @options) = @_;
	my $self = bless { dir => PostgreSQL::Test::Utils::tempdir('apicurio') }, $class;
	push @running, $self;
	$self->call('start', @options) or BAIL_OUT('no Apicurio Registry');
	return $self;
}

sub dir { return $_[0]->{dir}; }

sub url
{
	my ($self, $name) = @_;
	my $text = PostgreSQL::Test::Utils::slurp_file("$self->{dir}/" . ($name // 'url'));
	chomp $text;
	return $text;
}

sub call
{
	my ($self, $verb, @options) = @_;
	my ($out, $err) = ('', '');
	my $rc = IPC::Run::run([ OutboxTest::root_folder() . '/test/support/apicurio', $verb, $self->{dir}, @options ],
		'>', \$out, '2>', \$err);
	diag("apicurio $verb: $err") unless $rc;
	return $rc;
}

END
{
	my $rc = $?;
	$_->call('stop') foreach @running;
	$? = $rc;
}

package RegistryTest::Server;

use strict;
use warnings;
use Test::More;

my @servers;

sub new
{
	my ($class, @options) = @_;
	my $self = bless { in => '', out => '', err => '' }, $class;
	$self->{run} = IPC::Run::start([ RegistryTest::python(), OutboxTest::root_folder() . '/test/kafka/registry_server.py',
			@options ], '<', \$self->{in}, '>', \$self->{out}, '2>', \$self->{err});
	push @servers, $self;
	$self->{run}->pump until $self->{out} =~ /\n/;
	($self->{url}) = $self->{out} =~ /^(.*)\n/;
	($self->{root}) = $self->{url} =~ m{^(https?://[^/]+)};
	return $self;
}

sub url { return $_[0]->{url}; }

# See registry_server.py; none: behave.
sub fault
{
	my ($self, $name, $path, $times) = @_;
	return RegistryTest::http_json('PUT', "$self->{root}/_fault",
		defined $name ? { fault => $name, path => $path // '.', times => $times // 0 } : {});
}

# What it was asked, as "METHOD path".
sub calls
{
	my ($self) = @_;
	my ($status, $calls) = RegistryTest::http_json('GET', "$self->{root}/_calls");
	return map { "$_->{method} $_->{path}" } grep { $_->{method} } @$calls;
}

sub stop
{
	my ($self) = @_;
	$self->{run}->kill_kill if $self->{run};
	$self->{run} = undef;
	return;
}

END
{
	my $rc = $?;
	$_->stop foreach @servers;
	$? = $rc;
}

1;
