# Captured tables (mode trigger) through a real broker: whoever applies the
# messages to an empty table ends with the source, and for each key sees the
# images that an audit trigger saw, in both envelopes, while relay and
# outbox-kafka are killed.  Then bugs that others had, by name.
use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;

my $json = JSON::PP->new->canonical->allow_nonref;
my $node = outbox_node('main');
my %topic = map { $_ => topic("cap-$_") } qw(item log wide copy mood alter touchy);

sub query { return $node->safe_psql('postgres', $_[0]); }

sub capture
{
	my ($table, $name, $options) = @_;
	query("SELECT outbox.capture('$table', topic => '$topic{$name}', partitions => 1" . ($options // '') . ')');
	return;
}

# A killed relay takes the whole server down and up again.
sub kill_and_wait
{
	my ($pid) = @_;
	kill9($pid);
	return wait_for($node, 'SELECT true');
}

# ---- a workload, seeded ---------------------------------------------------
my $seed = $ENV{OUTBOX_TEST_SEED} // 1;
srand($seed);
note("seed $seed: OUTBOX_TEST_SEED repeats it");

query(q{
	CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL, note text, price numeric(10,2), big text);
	ALTER TABLE item ALTER big SET STORAGE EXTERNAL;
	CREATE TABLE log (id int, day int, note text, PRIMARY KEY (id, day)) PARTITION BY LIST (day);
	CREATE TABLE log_1 PARTITION OF log FOR VALUES IN (1);
	CREATE TABLE log_2 (note text, day int NOT NULL, id int NOT NULL);
	ALTER TABLE log ATTACH PARTITION log_2 FOR VALUES IN (2);
	CREATE TABLE audit (n bigserial, source text, op text, old jsonb, new jsonb);
	CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO audit (source, op, old, new) VALUES (TG_ARGV[0], TG_OP,
			CASE WHEN TG_OP IN ('UPDATE', 'DELETE') THEN to_jsonb(OLD) END, CASE WHEN TG_OP IN ('UPDATE', 'INSERT') THEN to_jsonb(NEW) END);
		RETURN NULL;
	END $$;
	CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON item FOR EACH ROW EXECUTE FUNCTION audit('item');
	CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON log FOR EACH ROW EXECUTE FUNCTION audit('log');
	CREATE TRIGGER audit_truncate AFTER TRUNCATE ON item EXECUTE FUNCTION audit('item');
	CREATE TRIGGER audit_truncate AFTER TRUNCATE ON log EXECUTE FUNCTION audit('log')});
capture('item', 'item');
capture('log', 'log', ", envelope => 'flat', key => '{id}'");

sub id { return 1 + int rand 40; }

sub statement
{
	my $kind = int rand 14;
	my ($a, $b) = (id(), id());
	return "INSERT INTO item SELECT i, i, 'new', i / 4.0, repeat('b', 3000) FROM generate_series($a, $a + 3) i ON CONFLICT DO NOTHING" if $kind < 3;
	return "INSERT INTO item VALUES ($a, 0) ON CONFLICT (id) DO UPDATE SET n = item.n + 1" if $kind == 3;
	return "UPDATE item SET n = n + 1, note = 'u$b' WHERE id BETWEEN $a AND $a + 5" if $kind < 6;
	return "UPDATE item SET id = $b WHERE id = $a AND NOT EXISTS (SELECT FROM item WHERE id = $b)" if $kind == 6;
	return "DELETE FROM item WHERE id IN ($a, $b)" if $kind == 7;
	return "MERGE INTO item USING (VALUES ($a), ($a + 1)) v (id) ON item.id = v.id WHEN MATCHED AND n % 2 = 0 THEN DELETE "
	  . "WHEN MATCHED THEN UPDATE SET note = NULL WHEN NOT MATCHED THEN INSERT VALUES (v.id, 5)" if $kind == 8;
	return "INSERT INTO log SELECT i, 1 + i % 2, 'l$b' FROM generate_series($a, $a + 2) i WHERE NOT EXISTS (SELECT FROM log WHERE id = i)" if $kind < 11;
	return "UPDATE log SET day = 3 - day WHERE id = $a" if $kind == 11;
	return "UPDATE log SET note = 'm$a' WHERE id > $b; DELETE FROM log WHERE id = $a" if $kind == 12;
	return rand() < 0.1 ? 'TRUNCATE item, log' : "DELETE FROM log WHERE id = $b";
}

sub transaction
{
	my ($n) = @_;
	my @lines = map { my $s = statement(); rand() < 0.2 ? "SAVEPOINT s; $s; ROLLBACK TO s" : $s } 0 .. rand 5;
	my $end = rand();
	return join(";\n", 'BEGIN', @lines, $end < 0.1 ? 'ROLLBACK' : $end < 0.2 ? "PREPARE TRANSACTION 't$n'; COMMIT PREPARED 't$n'" : 'COMMIT') . ";\n";
}

my @ddl = ('ALTER TABLE item ADD COLUMN added int', "ALTER TABLE item ALTER COLUMN added SET DEFAULT 3",
	'ALTER TABLE item RENAME COLUMN note TO remark; ALTER TABLE item RENAME COLUMN remark TO note', 'ALTER TABLE item DROP COLUMN added');
foreach my $round (1 .. 4)
{
	query(join('', map { transaction("$round-$_") } 1 .. 40));
	query(shift @ddl);
	kill_and_wait($round == 1 ? relay_pid($node) : child_pid($node)) if $round < 4;
}
ok(wait_published($node), 'all is published');

# ---- what consumers make of it --------------------------------------------
sub without_our_fields
{
	my ($row) = @_;
	return undef unless $row;
	return { map { ($_ => $row->{$_}) } grep { !/^__/ } keys %$row };
}

# [op, before, after] of a message; flat ones show only the last image.
sub change_of
{
	my ($value) = @_;
	return [ $value->{op}, $value->{before}, $value->{after} ] if exists $value->{op};
	return [ $value->{__op}, undef, $value->{__deleted} ? undef : without_our_fields($value) ];
}

# Applies messages in order; returns the rows and for each key its images.
sub apply
{
	my @messages = @_;
	my (%rows, %images, $tombstones, @bad);
	foreach my $m (@messages)
	{
		if (!defined $m->{value}) { $tombstones++; push @bad, "tombstone of $m->{key}" if exists $rows{ $m->{key} }; next; }
		my ($op, $before, $after) = @{ change_of($m->{value}) };
		if ($op eq 't') { push @{ $images{$_} }, 't' foreach keys %rows; %rows = (); next; }
		push @bad, "c of $m->{key}, which is there" if $op eq 'c' && $rows{ $m->{key} };
		push @bad, "$op of $m->{key}, which is not there" if $op ne 'c' && !$rows{ $m->{key} };
		push @bad, "$op of $m->{key}: not the image before"
		  if $before && $json->encode(known($before)) ne $json->encode(known($rows{ $m->{key} }));
		push @{ $images{ $m->{key} } }, $op eq 'd' ? 'd' : $json->encode(known($after));
		if ($after) { $rows{ $m->{key} } = $after; }
		else { delete $rows{ $m->{key} }; }
	}
	return (\%rows, \%images, $tombstones, join('; ', @bad[ 0 .. ($#bad < 4 ? $#bad : 4) ]));
}

# What may be compared whatever columns there are: as text, without nulls.
sub known
{
	my ($row) = @_;
	return undef unless $row;
	return { map { ($_ => as_text($_, $row->{$_})) } grep { defined $row->{$_} && $_ ne 'added' } keys %$row };
}

sub as_text
{
	my ($name, $value) = @_;
	return $name eq 'price' ? sprintf('%.2f', $value) : "$value";
}

# The audit's images, in the terms of messages.
sub of_audit
{
	my ($source) = @_;
	my (%images, %there);
	foreach my $line (split /\n/, query("SELECT row_to_json(a) FROM audit a WHERE source = '$source' ORDER BY n"))
	{
		my $a = decode_json($line);
		if ($a->{op} eq 'TRUNCATE') { push @{ $images{$_} }, 't' foreach keys %there; %there = (); next; }
		my ($old, $new) = map { $_ ? $_->{id} : undef } @$a{qw(old new)};
		if (defined $old && (!defined $new || $new != $old)) { push @{ $images{$old} }, 'd'; delete $there{$old}; }
		if (defined $new) { push @{ $images{$new} }, $json->encode(known($a->{new})); $there{$new} = 1; }
	}
	return \%images;
}

foreach my $table (qw(item log))
{
	my @messages = consume($node, $topic{$table});
	my ($rows, $images, $tombstones, $bad) = apply(@messages);
	my %truth = map { my $r = decode_json($_); ($r->{id} => known($r)) } split /\n/, query("SELECT row_to_json(t) FROM $table t");
	cmp_ok(scalar @messages, '>', 100, "$table: there is something to compare, " . @messages . ' messages');
	is($bad, '', "$table: every message follows from the one before");
	is_deeply({ map { ($_ => known($rows->{$_})) } keys %$rows }, \%truth, "$table: the table that was made of them is the source");
	is_deeply($images, of_audit($table), "$table: the images of each key are those that the audit saw");
	cmp_ok($tombstones, '>', 0, "$table: tombstones");
}

# ---- bugs that others had -------------------------------------------------

# Rows of one COPY share a place in WAL (dbz#1554): none is lost or repeated
# when the relay dies among them.
query('CREATE TABLE copied (id int PRIMARY KEY, t text)');
capture('copied', 'copy', ', key_format => \'plain\'');
my $file = PostgreSQL::Test::Utils::tempdir() . '/copy';
append_to_file($file, join('', map { "$_\trow $_\n" } 1 .. 3000));
query("\\copy copied FROM '$file'");
kill_and_wait(child_pid($node));
query('INSERT INTO copied SELECT i FROM generate_series(3001, 3100) i');
kill_and_wait(relay_pid($node));
ok(wait_published($node), 'COPY is published');
my @copied = consume($node, $topic{copy});
is(join(' ', map { $_->{key} } @copied), join(' ', 1 .. 3100), 'dbz#1554: rows of a COPY that share a place, each once, in order');

# A value that the enum did not have when the stream began.
query(q{CREATE TYPE mood AS ENUM ('ok'); CREATE TABLE moody (id int PRIMARY KEY, m mood)});
capture('moody', 'mood');
query(q{INSERT INTO moody VALUES (1, 'ok')});
query(q{ALTER TYPE mood ADD VALUE 'new'});
query(q{INSERT INTO moody VALUES (2, 'new')});

# ALTER between two rows of one transaction.
query('CREATE TABLE altered (id int PRIMARY KEY, a int)');
capture('altered', 'alter');
query(q{BEGIN; INSERT INTO altered VALUES (1, 1); ALTER TABLE altered ADD COLUMN b text; INSERT INTO altered VALUES (2, 2, 'b');
	ALTER TABLE altered DROP COLUMN a; UPDATE altered SET b = 'c' WHERE id = 1; COMMIT});

# A trigger that updates the same row, and others of the statement.
query(q{CREATE TABLE touchy (id int PRIMARY KEY, n int, touched int DEFAULT 0);
	CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN IF pg_trigger_depth() = 1 THEN UPDATE touchy SET touched = touched + 1; END IF; RETURN NULL; END $$;
	CREATE TRIGGER "!first" AFTER INSERT OR UPDATE ON touchy FOR EACH ROW EXECUTE FUNCTION touch()});
capture('touchy', 'touchy');
query('INSERT INTO touchy VALUES (1, 1), (2, 2)');
query('UPDATE touchy SET n = n * 10');
ok(wait_published($node), 'all of that is published');

is_deeply([ map { $_->{value}{after} } consume($node, $topic{mood}) ], [ { id => 1, m => 'ok' }, { id => 2, m => 'new' } ],
	'new enum value in the middle of the stream');
is_deeply([ map { [ @{ $_->{value} }{qw(op before after)} ] } consume($node, $topic{alter}) ],
	[
		[ 'c', undef, { id => 1, a => 1 } ],
		[ 'c', undef, { id => 2, a => 2, b => 'b' } ],
		[ 'u', { id => 1, b => undef }, { id => 1, b => 'c' } ]
	], 'ALTER between rows of one transaction: each has the columns of its time');
my ($rows, undef, undef, $bad) = apply(consume($node, $topic{touchy}));
is($bad, '', 'a trigger that updates the same row: images follow each other');
is_deeply($rows, { map { ($_->{id} => $_) } map { decode_json($_) } split /\n/, query('SELECT row_to_json(t) FROM touchy t') },
	'and the last one is the true one');

done_testing();
