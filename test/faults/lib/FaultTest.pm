# FaultTest: what the tests of faults (test/t/3*.pl) have in common, on top of
# OutboxTest: a truth table beside the events, and an administrator.
#
#	set_up($node);				# types "plain" and "typed"
#	put($node, 'plain', 10);		# ten transactions
#	ok_resumed($node, 'the broker is back');
#	check_all($node, 'title');		# everything ever put against Kafka
package FaultTest;

use strict;
use warnings;

use Exporter 'import';
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(
  set_up put put_sql truth_query ok_resumed ok_state check_all admin python
  log_size log_since reload_with postmaster_start
);

sub python { return $ENV{OUTBOX_PYTHON} || root_folder() . '/.work/venv/bin/python'; }

# test/faults/admin BOOTSTRAP ...
sub admin
{
	my ($bootstrap, @args) = @_;
	my ($out, $err) = ('', '');
	my $rc = IPC::Run::run([ python(), root_folder() . '/test/faults/admin', $bootstrap, @args ],
		'>', \$out, '2>', \$err);
	diag("admin @args: $err") unless $rc;
	return $rc;
}

# Types "plain" (JSON) and "typed" (Avro), each with a topic of its own, and
# app.put(type, key, payload), which emits and notes what it did.
sub set_up
{
	my ($node, %opt) = @_;
	my $plain = $opt{plain} // topic('plain');
	my $typed = $opt{typed} // topic('typed');

	$node->safe_psql('postgres', <<"SQL");
CREATE SCHEMA app;
CREATE TABLE app.truth (
	id uuid PRIMARY KEY, key text, seq bigserial, txn xid8 DEFAULT pg_current_xact_id(),
	ord integer DEFAULT 1, value jsonb);
SELECT outbox.create_event_type('plain', format => 'json', topic => '$plain', partitions => 2);
SELECT outbox.create_event_type('typed', topic => '$typed', partitions => 2,
	schema => '{"type": "record", "name": "T", "fields": [{"name": "n", "type": "long"},
		{"name": "fill", "type": "string", "default": ""}]}');
CREATE FUNCTION app.put(type text, key text, payload jsonb) RETURNS void LANGUAGE sql AS
	'INSERT INTO app.truth (id, key, value) SELECT outbox.emit(type, payload, key => key), key, payload';
SQL
	return ($plain, $typed);
}

# n transactions of one event each, in one session; fails like safe_psql.
sub put
{
	my ($node, $type, $n, $key) = @_;
	$n //= 1;
	$key //= 'k';
	$node->safe_psql('postgres', join("\n",
			map { qq{SELECT app.put('$type', '$key', '{"n": $_, "fill": ""}');} } 1 .. $n));
	return;
}

sub put_sql
{
	my ($node, $sql) = @_;
	$node->safe_psql('postgres', $sql);
	return;
}

# pos is right as long as one session writes at a time.
sub truth_query
{
	return 'SELECT id, key, seq, seq AS pos, txn::text, ord, value FROM app.truth';
}

# Streams again and has published everything; says how long it took, but only
# the outcome is tested.
sub ok_resumed
{
	my ($node, $title) = @_;
	my $began = time();
	my $good = wait_state($node, 'streaming') && wait_published($node);
	ok($good, "published again: $title");
	note(sprintf('%s: after %.1f s', $title, time() - $began));
	tell_about($node) unless $good;
	return $good;
}

# What the relay says of itself, and the end of the server's log.
sub tell_about
{
	my ($node) = @_;
	my ($rc, $out) = $node->psql('postgres', 'SELECT * FROM outbox.status()', extra_params => ['-x']);
	my @lines = split /\n/, slurp_file($node->logfile);

	splice(@lines, 0, -40) if @lines > 40;
	diag(join("\n", $out // '', @lines));
	return;
}

sub ok_state
{
	my ($node, $state, $pattern, $title, %opt) = @_;
	my $began = time();
	my $good = wait_for($node, "SELECT state IN ('" . join("', '", split(/\|/, $state)) . "') AND"
		  . " reason ~* " . quote($pattern) . " FROM outbox.status()", %opt);
	ok($good, $title);
	my ($rc, $out) = $node->psql('postgres',
		"SELECT format('%s: %s', state, reason) FROM outbox.status()");
	note(sprintf('%s: %s, after %.1f s', $title, $out, time() - $began));
	diag($out) unless $good;
	return $good;
}

sub quote
{
	my ($text) = @_;
	$text =~ s/'/''/g;
	return "'$text'";
}

sub check_all
{
	my ($node, $title, @topics) = @_;
	my %opt = ref $topics[-1] ? %{ pop @topics } : ();
	my @seen = consume($node, @topics, \%opt);
	return verify_events($node, truth_query(), \@seen, $title);
}

sub log_size { return -s $_[0]->logfile; }

sub log_since
{
	my ($node, $from) = @_;
	my $text = slurp_file($node->logfile);
	return substr($text, $from);
}

sub reload_with
{
	my ($node, %settings) = @_;
	$node->safe_psql('postgres', join("\n",
			(map { "ALTER SYSTEM SET $_ = " . quote($settings{$_}) . ';' } sort keys %settings),
			'SELECT pg_reload_conf();'));
	return;
}

sub postmaster_start
{
	return $_[0]->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');
}

1;
