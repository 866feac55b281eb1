# Captures with mode log: what is decoded, and in which order.
#
# One topic of one partition takes the events and the rows of most tables, so
# that the order between them can be seen.
use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;
use LogCapture;

my $node = log_node('log', conf => "outbox.decoder_memory = 64\n");
my $topic = topic('log');

$node->safe_psql('postgres', qq(
SELECT outbox.create_event_type('Said', format => 'json', topic => '$topic', partitions => 1);
CREATE TABLE t (id int PRIMARY KEY, v text);
));
sub said { return "SELECT outbox.emit('Said', '{\"n\": \"$_[0]\"}', key => 'k')"; }

# Everything new on the topic since the last call.
my $taken = 0;
sub news
{
	my ($column) = @_;
	my @all = changes($node, $topic);
	my @new = @all[ $taken .. $#all ];
	$taken = @all;
	return summary($column // 'id', @new);
}

# --- activation -------------------------------------------------------------
$node->safe_psql('postgres', 'INSERT INTO t VALUES (1, $$before$$);' . said('a'));
ok(capture_log($node, 'public.t', topic => $topic, format => 'json', toast => 'omit', partitions => 1),
	'the first log capture becomes active');
ok(source_is($node, 'decoder'), 'the relay decodes');
is(slot_row($node, 'slot_type, plugin, active, temporary'), 'logical|outbox|t|f',
	'from a slot of its own');
is(news(), '!a', 'rows before it are not published');

# --- order --------------------------------------------------------------------
$node->safe_psql('postgres', join ";\n", 'BEGIN', said('b'),
	"INSERT INTO t VALUES (2, 'x')", said('c'), "UPDATE t SET v = 'y' WHERE id = 2",
	'DELETE FROM t WHERE id = 1', said('d'), 'COMMIT');
my @all = changes($node, $topic);
is(summary('id', @all[ 1 .. $#all ]), '!b c2 !c u2 d1 -1 !d',
	'events and rows of one transaction come in the order written');
is($all[-1]{offset} - $all[1]{offset}, $#all - 1,
	'in one Kafka transaction: no marker in between');
$taken = @all;

$node->safe_psql('postgres', join ";\n", 'BEGIN', "INSERT INTO t VALUES (10, 'x')",
	'SAVEPOINT a', "INSERT INTO t VALUES (11, 'x')", said('gone'), 'ROLLBACK TO a',
	'SAVEPOINT b', "INSERT INTO t VALUES (12, 'x')", said('e'), 'RELEASE b',
	"INSERT INTO t VALUES (13, 'x')", 'COMMIT',
	'BEGIN', "INSERT INTO t VALUES (14, 'x')", said('gone'), 'ROLLBACK',
	'BEGIN', "INSERT INTO t VALUES (15, 'x')", said('f'), "PREPARE TRANSACTION 'p'",
	'BEGIN', "INSERT INTO t VALUES (16, 'x')", "PREPARE TRANSACTION 'q'",
	"INSERT INTO t VALUES (17, 'x')", "ROLLBACK PREPARED 'q'", "COMMIT PREPARED 'p'");
is(news(), 'c10 c12 !e c13 c17 c15 !f', 'savepoints, rollback, prepared transactions');

$node->safe_psql('postgres', q(UPDATE t SET id = 20 WHERE id = 10; TRUNCATE t; COPY t FROM PROGRAM 'printf "30\ta\n31\tb\n32\tc\n"'));
is(news(), 'd10 -10 c20 t c30 c31 c32', 'key change, TRUNCATE, COPY');

# Ids of events are all different, also of rows that share an LSN.
my %ids;
foreach my $m (changes($node, $topic))
{
	my ($id) = map { $_->[1] } grep { $_->[0] eq 'id' } @{ $m->{headers} };
	$ids{$id}++ if defined $id;
}
cmp_ok(scalar keys %ids, '>', 20, 'messages have ids');
is(scalar(grep { $_ > 1 } values %ids), 0, 'each its own');

# --- schema as of the change ------------------------------------------------------
$node->safe_psql('postgres', q(
BEGIN;
INSERT INTO t VALUES (40, 'old');
ALTER TABLE t ADD COLUMN w int;
UPDATE t SET w = 7 WHERE id = 40;
ALTER TABLE t RENAME COLUMN w TO w2;
UPDATE t SET w2 = 8 WHERE id = 40;
COMMIT;
ALTER TABLE t DROP COLUMN w2;
INSERT INTO t VALUES (41, 'after');
));
@all = changes($node, $topic);
my @new = @all[ $taken .. $#all ];
$taken = @all;
is(join(' | ', map { join ',', sort keys %{ $_->{value}{after} } } @new),
	'id,v | id,v,w | id,v,w2 | id,v', 'ALTER between rows of one transaction');

$node->safe_psql('postgres', q(CREATE TYPE mood AS ENUM ('sad');
CREATE TABLE e (id int PRIMARY KEY, m mood)));
capture_log($node, 'public.e', topic => $topic, format => 'json', partitions => 1);
$node->safe_psql('postgres', q(INSERT INTO e VALUES (1, 'sad');
ALTER TYPE mood ADD VALUE 'ok';
INSERT INTO e VALUES (2, 'ok');
ALTER TYPE mood RENAME VALUE 'sad' TO 'blue';
INSERT INTO e VALUES (3, 'blue');));
is(news('m'), 'csad cok cblue', 'enum labels as of the change');

# --- TOAST and replica identity -----------------------------------------------------
$node->safe_psql('postgres', q(
CREATE FUNCTION long(seed text, n int) RETURNS text LANGUAGE sql AS
	$$SELECT string_agg(md5(seed || i), '') FROM generate_series(1, n / 32) i$$;
CREATE TABLE big (id int PRIMARY KEY, a text, n int);
ALTER TABLE big ALTER a SET STORAGE EXTERNAL;
CREATE TABLE whole (id int PRIMARY KEY, a text, n int);
ALTER TABLE whole ALTER a SET STORAGE EXTERNAL;
ALTER TABLE whole REPLICA IDENTITY FULL;
CREATE TABLE idx (id int NOT NULL, a text, n int NOT NULL);
CREATE UNIQUE INDEX idx_n ON idx (n);
ALTER TABLE idx REPLICA IDENTITY USING INDEX idx_n;
));
my ($t_big, $t_whole, $t_idx) = map { topic($_) } qw(big whole idx);
capture_log($node, 'public.big', topic => $t_big, format => 'json', partitions => 1, toast => 'omit');
capture_log($node, 'public.whole', topic => $t_whole, format => 'json', partitions => 1, toast => 'full');
capture_log($node, 'public.idx', topic => $t_idx, format => 'json', partitions => 1, toast => 'omit');

# The old values are gone for good when this is decoded.
my $held = $node->background_psql('postgres');
$node->safe_psql('postgres', 'SELECT outbox.pause()');
foreach my $table (qw(big whole))
{
	$node->safe_psql('postgres', qq(
INSERT INTO $table VALUES (1, long('first', 20000), 0);
UPDATE $table SET n = 1;
UPDATE $table SET a = long('second', 30000);
UPDATE $table SET n = 2;
DELETE FROM $table;
));
	$node->safe_psql('postgres', "VACUUM $table");
}
$node->safe_psql('postgres', 'SELECT outbox.resume()');
my $lengths = sub {
	return join ' ', map {
		my $v = $_->{value};
		my $after = $v ? $v->{after} : undef;
		!$v ? '-'
		  : $v->{op} . (!$after ? '' : !exists $after->{a} ? 'x' : length($after->{a} // ''))
		  . (@{ $v->{unchanged} // [] } ? "(@{ $v->{unchanged} })" : '')
	} @_;
};
@new = changes($node, $t_whole);
is($lengths->(@new), 'c20000 u20000 u29984 u29984 d -',
	'toast full: REPLICA IDENTITY FULL gives every value');
is(length($new[2]{value}{before}{a}), 20000, 'and the one before');
@new = changes($node, $t_big);
like($lengths->(@new), qr/^c20000 u(x|0)\(a\) u29984 u(x|0)\(a\) d -$/,
	'toast omit: unchanged values are named, never fetched (bottledwater #113)');

$node->safe_psql('postgres', q(
INSERT INTO idx VALUES (1, 'a', 5); UPDATE idx SET a = 'b'; UPDATE idx SET n = 6; DELETE FROM idx));
is(summary('n', changes($node, $t_idx)), 'c5 u5 d5 -5 c6 d6 -6',
	'REPLICA IDENTITY USING INDEX gives the key');

# --- partitions ------------------------------------------------------------------------
$node->safe_psql('postgres', q(
CREATE TABLE p (id int, k int, v text, PRIMARY KEY (id, k)) PARTITION BY RANGE (k);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
CREATE TABLE p2 (v text, gone int, k int NOT NULL, id int NOT NULL);
ALTER TABLE p2 DROP COLUMN gone;
));
my $t_p = topic('p');
capture_log($node, 'public.p', topic => $t_p, format => 'json', partitions => 1, toast => 'omit');
$node->safe_psql('postgres', q(
INSERT INTO p VALUES (1, 1, 'one');
INSERT INTO p2 (id, k, v) VALUES (0, 11, 'not yet');
ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM (10) TO (20);
INSERT INTO p VALUES (2, 12, 'attached');
BEGIN; CREATE TABLE p3 PARTITION OF p FOR VALUES FROM (20) TO (30); INSERT INTO p VALUES (3, 21, 'new'); COMMIT;
CREATE TABLE p4 (id int, k int, v text, PRIMARY KEY (id, k)) PARTITION BY RANGE (k);
CREATE TABLE p41 PARTITION OF p4 FOR VALUES FROM (30) TO (40);
INSERT INTO p41 VALUES (0, 31, 'not yet');
ALTER TABLE p ATTACH PARTITION p4 FOR VALUES FROM (30) TO (50);
INSERT INTO p VALUES (4, 32, 'below');
UPDATE p SET k = 13 WHERE id = 1;
ALTER TABLE p DETACH PARTITION p3;
INSERT INTO p3 VALUES (5, 22, 'no more');
TRUNCATE p;
));
@new = changes($node, $t_p);
is(summary('v', @new), 'cone cattached cnew cbelow d -{"id":"1","k":"1"} cone t',
	'new, attached, detached partitions at once, and a row that moves');
is(join(',', map { $_->{value}{source}{table} } grep { ref $_->{value} } @new),
	join(',', ('p') x 7), 'under the name of the root');

# --- spill --------------------------------------------------------------------------------
$node->safe_psql('postgres', join ";\n", 'BEGIN',
	"INSERT INTO t SELECT g, 'row ' || g FROM generate_series(100, 20099) g",
	'SAVEPOINT a', "INSERT INTO t SELECT g, 'row ' || g FROM generate_series(20100, 25099) g",
	'RELEASE a', said('last'), 'COMMIT');
@all = changes($node, $topic);
@new = @all[ $taken .. $#all ];
$taken = @all;
is(scalar @new, 25001, 'a transaction much larger than outbox.decoder_memory');
is(join(' ', map { $_->{value}{after}{id} } @new[ 0, 1, 19999, 20000, 24999 ]) . " $new[-1]{value}{n}",
	'100 101 20099 20100 25099 last', 'in order');
cmp_ok($node->safe_psql('postgres', 'SELECT spilled_transactions FROM outbox.stat_relay'),
	'>', 0, 'was spilled');

# --- what must not work ----------------------------------------------------------------------
my $slot = slot_row($node, 'slot_name');
my ($rc, $out, $err) = $node->psql('postgres', "SELECT * FROM pg_logical_slot_get_binary_changes('$slot', NULL, NULL)");
like($err, qr/is active for PID/, 'nobody reads our slot while the relay holds it');
($rc, $out, $err) = $node->psql('postgres', "SELECT pg_create_logical_replication_slot('mine', 'outbox')");
like($err, qr/output plugin "outbox" works only inside the relay/,
	'our output plugin refuses to work for SQL');
isnt(try_walsender($node->connstr('postgres'), 'mine'), 0, 'and for a walsender');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'mine'"),
	0, 'no slot is left');

sub try_walsender
{
	my ($connstr, $slot) = @_;
	return IPC::Run::run([ 'pg_recvlogical', '-d', $connstr, '--slot', $slot,
			'--create-slot', '-P', 'outbox' ], '>', \my $o, '2>', \my $e) ? 0 : 1;
}

# --- away again --------------------------------------------------------------------------------
foreach my $table (qw(t e big whole idx p))
{
	$node->safe_psql('postgres', "INSERT INTO t VALUES (-1, 'last one')") if $table eq 't';
	uncapture_log($node, $table);
}
$node->safe_psql('postgres', "INSERT INTO t VALUES (-2, 'too late');" . said('z'));
is(news(), 'c-1 !z', 'what was written before uncapture is published, the rest not');
ok(source_is($node, 'scanner'), 'the scanner is back');
ok(wait_for($node, "SELECT count(*) = 0 FROM pg_replication_slots WHERE slot_name LIKE 'outbox_log_%'"),
	'the slot is dropped');
$node->safe_psql('postgres', said('zz'));
is(news(), '!zz', 'and events go on');
is($node->safe_psql('postgres', 'SELECT coalesce(last_error, $$none$$) FROM outbox.status()'), 'none',
	'without an error');
$held->quit;
$node->stop;
done_testing();
