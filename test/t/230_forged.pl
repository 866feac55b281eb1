# WAL messages with our prefix that outbox did not write: anybody may write
# them, with pg_logical_emit_message().  Ignored, counted, said once a minute;
# the real events of the same transaction go out.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;

my $topic = topic('forged');
my $node = outbox_node('forged', conf => "max_wal_size = '1GB'\n");

$node->safe_psql('postgres', "CREATE ROLE attacker LOGIN;
	SELECT outbox.create_event_type('forged', format => 'json', topic => '$topic',
		partitions => 1);
	SELECT outbox.grant_emit('forged', 'attacker')");

sub emit { return "SELECT outbox.emit('forged', '{\"n\": \"$_[0]\"}', key => 'k');\n"; }
sub as_attacker { return $node->safe_psql('postgres', "SET ROLE attacker;\n" . join('', @_)); }
sub forge
{
	my ($hex, $transactional) = @_;
	$transactional //= 'true';
	return "SELECT pg_logical_emit_message($transactional, 'outbox', '\\x$hex'::bytea);\n";
}
sub counted
{
	return $node->safe_psql('postgres', 'SELECT forged_messages FROM outbox.stat_relay');
}
sub published
{
	ok(wait_published($node, timeout => 20), 'published');
	return join ' ', map { $_->{value}{n} } consume($node, $topic);
}

# The bytes of a real message, as somebody who can read WAL finds them.
sub message_of
{
	my ($sql) = @_;
	my $start = $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
	as_attacker($sql);
	my $end = $node->safe_psql('postgres', 'SELECT pg_current_wal_flush_lsn()');
	my $log = '';
	IPC::Run::run([ 'pg_waldump', '-p', $node->data_dir . '/pg_wal', '-r', 'LogicalMessage',
			'-s', $start, '-e', $end ], '>', \$log);
	my ($bytes) = $log =~ /payload \(\d+ bytes\): ([0-9A-F ]+)/;
	$bytes =~ tr/ //d;
	return lc $bytes;
}

# Inside a transaction the message must be known beforehand: its bytes are
# those of the first one, whose place in the transaction it pretends.
my $real = message_of(emit('real'));
ok(length($real) > 100, 'a real message was found in WAL');
is(published(), 'real', 'and was published');
is(counted(), 0, 'nothing is forged so far');

# Garbage of every length up to a record's.
as_attacker(emit('before'), forge(''), (map { forge('00' x $_) } 1 .. 20),
	forge('ff' x 200), forge(unpack('H*', 'hello')), emit('after'));
is(published(), 'real before after', 'garbage between events');
is(counted(), 23, 'is counted');

# A copy in another transaction, alone and beside a real event.
as_attacker(forge($real));
as_attacker("BEGIN;\n", forge($real), emit('with a copy'), forge($real), "COMMIT;\n");
is(published(), 'real before after with a copy', 'copies of a message of another transaction');
is(counted(), 26, 'are counted');

# A copy in the same transaction.  The transaction is prepared, so that its
# message can be read before the copy is made ... and that is too late: what
# can be copied has ended.  A superuser's walsender sees more, so copy within
# the session, from WAL, before the commit.
my $session = $node->background_psql('postgres', on_error_stop => 0);
my $start = $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
$session->query_safe('BEGIN');
$session->query_safe(emit('copied at once'));
$node->safe_psql('postgres', 'CREATE TABLE flush_wal (); DROP TABLE flush_wal');
my $log = '';
IPC::Run::run([ 'pg_waldump', '-p', $node->data_dir . '/pg_wal', '-r', 'LogicalMessage',
		'-s', $start, '-e', $node->safe_psql('postgres', 'SELECT pg_current_wal_flush_lsn()') ],
	'>', \$log);
my ($own) = $log =~ /payload \(\d+ bytes\): ([0-9A-F ]+)/;
$own =~ tr/ //d;
$session->query_safe(forge($own));
$session->query_safe('SAVEPOINT s');
$session->query_safe(forge($own));
$session->query_safe('RELEASE s');
$session->query_safe(emit('once'));
$session->query_safe(forge($own));
$session->query_safe('COMMIT');
$session->quit;
is(published(), 'real before after with a copy copied at once once',
	'copies in the same transaction');
is(counted(), 29, 'are counted');

# A key nobody has, a later version, one byte changed anywhere.
my $unknown = substr($real, 0, 8) . '63000000' . substr($real, 16);
as_attacker(forge($unknown), emit('beside a key'));
my $later = '02' . substr($real, 2);
as_attacker(forge($later), emit('beside a version'));
my @changed;
for my $at (0 .. length($real) / 2 - 1)
{
	my $copy = $real;
	substr($copy, 2 * $at, 2) = sprintf '%02x', hex(substr($real, 2 * $at, 2)) ^ 1;
	push @changed, forge($copy);
}
as_attacker(@changed);
is(published(), 'real before after with a copy copied at once once beside a key beside a version',
	'unknown keys, later versions, changed bytes');
is(counted(), 31 + @changed, 'are counted');
is(status($node)->{state}, 'streaming', 'nothing stops the relay');

# A key made right after a forgery with its id: what it signs is no forgery.
my $next = substr($real, 0, 8) . '02000000' . substr($real, 16);
as_attacker(forge($next), emit('key one'));
ok(wait_published($node, timeout => 20), 'a forgery with the next key id was seen');
$node->safe_psql('postgres', 'INSERT INTO outbox.secret (key_id, key)
	VALUES (2, outbox.new_secret())');
as_attacker(emit('key two'));
like(published(), qr/ key one key two$/, 'the next key works at once');

# Not transactional, and in an aborted transaction: no trace.
my $before = counted();
as_attacker(forge($real, 'false'), forge('00', 'false'), emit('last'),
	"BEGIN;\n", forge($real), "ROLLBACK;\n");
like(published(), qr/ last$/, 'not transactional: ignored');
is(counted(), $before + 2, 'and counted; not those of an aborted transaction');

# Many of them: one line a minute.
my $count = counted();
as_attacker("SELECT pg_logical_emit_message(true, 'outbox', 'flood ' || i)
	FROM generate_series(1, 20000) i;\n");
ok(wait_published($node, timeout => 20), 'a flood passes');
is(counted(), $count + 20000, 'and is counted');
my @said = slurp_file($node->logfile) =~ /(ignored \d+ WAL messages with prefix)/g;
is(scalar @said, 1, 'all that was said once');
$node->stop;
done_testing();
