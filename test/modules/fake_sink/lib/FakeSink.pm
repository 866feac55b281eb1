# Shared by test/t/01*_scanner*.pl: a server with the module fake_sink, tables
# that hold the truth, and the comparison of the two.
#
# What a transaction says with say() goes into WAL and, in the same
# (sub)transaction, into the table truth; the order of commits comes from
# pg_waldump.  So neither side of a comparison uses the code under test.
package FakeSink;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(new_node prepare_db expected scanned compare_scan
  check_resume current_lsn);

# A running server; fsync is off, WAL is kept.
sub new_node
{
	my ($name, %params) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(
		allows_streaming => $params{streaming} // 0,
		extra => $params{initdb} // []);
	$node->append_conf(
		'postgresql.conf', qq(
wal_level = @{[ $params{wal_level} // 'replica' ]}
max_prepared_transactions = 20
wal_keep_size = 2GB
max_wal_size = 2GB
autovacuum = off
shared_buffers = 32MB
));
	$node->append_conf('postgresql.conf', $params{conf}) if $params{conf};
	$node->start;
	prepare_db($node, 'postgres');
	return $node;
}

sub prepare_db
{
	my ($node, $db) = @_;

	$node->safe_psql(
		$db, q(
CREATE EXTENSION fake_sink;
CREATE TABLE truth (id bigserial PRIMARY KEY, x xid8, h bigint, l bigint);
CREATE FUNCTION say(p text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_logical_emit_message(true, 'outbox', p);
	INSERT INTO truth (x, h, l) VALUES (pg_current_xact_id(),
		fake_hash(convert_to(p, 'UTF8')), octet_length(p));
END $$;
));
	return;
}

# Where the next record begins.  What is flushed may end inside a record.
sub current_lsn
{
	my ($node) = @_;
	return $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
}

# Top-level xids in the order of their commit records in [from, end of WAL).
sub commit_order
{
	my ($node, $from, $timeline) = @_;
	my ($out, $err) = ('', '');
	my @order;

	# It complains at the end of WAL; that is how it ends.
	IPC::Run::run [
		'pg_waldump', '-p', $node->data_dir . '/pg_wal', '-s', $from,
		'-t', $timeline // 1, '-r', 'Transaction'
	  ],
	  '>', \$out, '2>', \$err;
	foreach my $line (split /\n/, $out)
	{
		push @order, $1 if $line =~ /tx:\s+(\d+),.* desc: COMMIT /;
		push @order, $1 if $line =~ /desc: COMMIT_PREPARED (\d+)/;
	}
	return @order;
}

# What must come out of a scan from there: "xid:length:hash" in order.
sub expected
{
	my ($node, $from, %params) = @_;
	my %said;
	my @rows;

	foreach my $line (
		split /\n/,
		$node->safe_psql(
			$params{db} // 'postgres',
			'SELECT x, l, h FROM truth ORDER BY id'))
	{
		my ($x, $l, $h) = split /\|/, $line;
		push @{ $said{$x} }, "$x:$l:$h";
	}
	foreach my $xid (commit_order($node, $from, $params{timeline}))
	{
		push @rows, @{ $said{$xid} } if $said{$xid};
	}
	return @rows;
}

# What does come out.
sub scanned
{
	my ($node, $from, %params) = @_;
	my $position = $params{position} // $from;
	my $memory = $params{memory} // 65536;
	my $step = $params{step} // 1000;

	return split /\n/,
	  $node->safe_psql(
		$params{db} // 'postgres',
		"SELECT xid || ':' || len || ':' || hash
		   FROM fake_scan('$from', '$position', $memory, $step)");
}

# From every (restart, position) that a scan from (from, position) reports, record by
# record, begin again: exactly the commits after the position must come out.
# Reads to the same end each time.  Returns "pairs|wrong pairs|rows".
sub check_resume
{
	my ($node, $from, %params) = @_;
	my $memory = $params{memory} // 65536;
	my $again = $params{again} // $memory;
	my $position = $params{position} // $from;

	return $node->safe_psql(
		'postgres', qq(
SET client_min_messages = warning;
CREATE TEMP TABLE whole AS
SELECT row_number() OVER () AS n, s.* FROM fake_scan('$from', '$position', $memory, 1) s;
CREATE TEMP TABLE pair AS
SELECT DISTINCT restart, scanned FROM fake_progress();
CREATE TEMP TABLE result AS
SELECT p.restart, p.scanned,
	(SELECT string_agg(concat_ws(',', commit_end, ordinal, xid, lsn, prepared, len, hash), ';' ORDER BY n)
	   FROM whole WHERE commit_end > p.scanned)
	IS DISTINCT FROM
	(SELECT string_agg(concat_ws(',', commit_end, ordinal, xid, lsn, prepared, len, hash), ';' ORDER BY n)
	   FROM (SELECT row_number() OVER () AS n, s.*
			   FROM fake_scan(p.restart, p.scanned, $again) s) s
	  WHERE commit_end <= (SELECT max(commit_end) FROM whole)) AS wrong
  FROM pair p;
SELECT count(*), count(*) FILTER (WHERE wrong), (SELECT count(*) FROM whole) FROM result;
));
}

# Compare long lists without printing them.
sub compare_scan
{
	my ($got, $expected, $name) = @_;
	my $same = @$got == @$expected;

	for (my $i = 0; $same && $i < @$got; $i++)
	{
		next if $got->[$i] eq $expected->[$i];
		diag("message $i: got $got->[$i], expected $expected->[$i]");
		$same = 0;
	}
	diag('got ' . @$got . ' messages, expected ' . @$expected)
	  if @$got != @$expected;
	return ok($same, $name);
}

1;
