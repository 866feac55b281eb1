# A program that publishes a table hands over to outbox, while the table is being
# written: publishing is paused, the table captured, the program stopped when it
# has passed that, and from_lsn says where.  What it has published and what outbox
# publishes are all changes, each once.  The program here reads a logical slot;
# with the real Debezium its place is lsn_commit of its offsets.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;
use LogCapture;
use POSIX ();
use Time::HiRes qw(sleep);

my $node = log_node('main', conf => "outbox.retry_max = 500\n");

sub sql { return $node->safe_psql('postgres', @_); }

sub refused
{
	my ($query, $why, $title) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', $query);
	like($err, $why, $title);
	return;
}

# Reads what is there: ids of inserted rows go to @$ids; returns the end of the
# last commit.
sub read_slot
{
	my ($slot, $ids) = @_;
	my $end;
	foreach my $line (split /\n/, sql("SELECT lsn, data FROM pg_logical_slot_get_changes('$slot', NULL, 500)"))
	{
		my ($lsn, $data) = split /\|/, $line, 2;
		$end = $lsn if $data =~ /^COMMIT/;
		push @$ids, $1 if $data =~ /^table public\.t_\w+: INSERT: id\[bigint\]:(\d+)/;
	}
	return $end;
}

sub at_least { return sql("SELECT '$_[0]'::pg_lsn >= '$_[1]'::pg_lsn") eq 't'; }

my $stop = PostgreSQL::Test::Utils::tempdir() . '/stop';

sub start_writers
{
	my ($table) = @_;
	my @pids;
	for my $w (1 .. 2)
	{
		my $parent = $$;
		my $pid = fork() // die;
		if (!$pid)
		{
			until (-e $stop || getppid() != $parent)
			{
				my ($o, $e) = ('', '');
				IPC::Run::run([ 'psql', '-XqAt', '-d', $node->connstr('postgres'), '-c', <<"SQL" ], '>', \$o, '2>', \$e);
DO \$\$ BEGIN
	FOR i IN 1..20 LOOP
		INSERT INTO $table (v) SELECT 'w$w' FROM generate_series(1, 1 + i % 4);
		PERFORM outbox.emit('Said', json_build_object('n', '$table' || max(id))::jsonb) FROM $table WHERE v = 'w$w';
		COMMIT;
	END LOOP;
END \$\$
SQL
				sleep($e =~ /connect|terminat|recovery/ ? 0.3 : 0.01);
			}
			POSIX::_exit(0);
		}
		push @pids, $pid;
	}
	return @pids;
}

my $said = topic('said');
sql("SELECT outbox.create_event_type('Said', format => 'json', topic => '$said', partitions => 1)");

foreach my $mode (qw(trigger log))
{
	my ($table, $topic, $slot) = ("t_$mode", topic("t_$mode"), "old_$mode");
	my @old;
	my $options = "mode => '$mode', topic => '$topic', format => 'json', partitions => 1" . ($mode eq 'log' ? ", toast => 'omit'" : '');
	sql("CREATE TABLE $table (id bigserial PRIMARY KEY, v text)");
	sql("SELECT pg_create_logical_replication_slot('$slot', 'test_decoding')");
	if ($mode eq 'log')
	{
		# Nothing is decoded while publishing is paused, unless it was before.
		sql("SELECT outbox.pause()");
		ok(wait_state($node, 'paused'), 'paused');
		sql("SELECT outbox.capture('$table', $options)");
		refused("SELECT outbox.alter_capture('$table', from_lsn => '7FFFFFFF/0')", qr/this capture is not active/, 'log: not the first capture of its mode');
		sql("SELECT outbox.uncapture('$table'); SELECT outbox.resume(); CREATE TABLE other (id int PRIMARY KEY)");
		ok(capture_log($node, 'public.other', format => 'json', topic => topic('other')), 'log: another one is active');
	}
	unlink $stop;
	my @writers = start_writers($table);
	sleep 0.5;
	my $place = read_slot($slot, \@old);
	refused("SELECT outbox.capture('$table', $options, from_lsn => '$place')", qr/lies behind: WAL is at.*Changes between there/s, "$mode: a place that is gone");

	# ---- the hand-over ----
	sql('SELECT outbox.pause()');
	ok(wait_state($node, 'paused'), "$mode: paused");
	sql("BEGIN; INSERT INTO $table (v) VALUES ('before'); PREPARE TRANSACTION 'before'") if $mode eq 'trigger';
	sql("COMMIT PREPARED 'before'") if $mode eq 'trigger';
	sql("SELECT outbox.capture('$table', $options)");
	my $captured = sql('SELECT pg_current_wal_lsn()');
	refused("SELECT outbox.alter_capture('$table', from_lsn => '$place')", qr/lies in front of the capture/, "$mode: before the capture");
	sql("BEGIN; INSERT INTO $table (v) VALUES ('across'); PREPARE TRANSACTION 'across'");
	do { sleep 0.1; $place = read_slot($slot, \@old) // $place; } until at_least($place, $captured);
	sleep 0.3;
	sql("COMMIT PREPARED 'across'");
	kill9(relay_pid($node)) if $mode eq 'trigger';
	wait_for($node, 'SELECT true');
	sql("SELECT outbox.alter_capture('$table', from_lsn => '$place')");
	is(sql("SELECT from_lsn FROM outbox.captures WHERE relation = '$table'::regclass"), $place, "$mode: from there on");
	sql('SELECT outbox.resume()');
	ok(wait_state($node, 'streaming'), "$mode: resumed");
	refused("SELECT outbox.alter_capture('$table', from_lsn => '$place')", qr/only while publishing is paused/, "$mode: never when it goes on");
	sleep 0.3;
	kill9(child_pid($node));
	sleep 0.5;
	append_to_file($stop, '');
	waitpid($_, 0) foreach @writers;
	ok(wait_published($node), "$mode: all is published");

	my @seen = consume($node, $topic);
	my @new = map { $_->{value}{after}{id} } @seen;
	my %times;
	$times{$_}++ foreach @old, @new;
	cmp_ok(scalar(@old), '>', 10, "$mode: the other program had " . scalar(@old));
	cmp_ok(scalar(@new), '>', 10, "$mode: outbox has " . scalar(@new));
	is(scalar(grep { $times{$_} > 1 } keys %times), 0, "$mode: no change twice");
	is(join(' ', sort { $a <=> $b } keys %times), sql("SELECT string_agg(id::text, ' ' ORDER BY id) FROM $table"), "$mode: none is missing");
	is(scalar(grep { ($_->{value}{after}{v} // '') eq 'across' } @seen), 1, "$mode: a transaction that was open meanwhile");
	ok(wait_for($node, "SELECT count(*) = 0 FROM pg_prepared_xacts"), 'none is left');
	sql("SELECT pg_drop_replication_slot('$slot')");
}

# ---- paused too late ----
sql("CREATE TABLE late (id int PRIMARY KEY); SELECT outbox.capture('late', format => 'json', topic => '" . topic('late') . "')");
sql('INSERT INTO late VALUES (1)');
ok(wait_published($node), 'published');
sql('SELECT outbox.pause()');
ok(wait_state($node, 'paused'), 'paused too late');
refused("SELECT outbox.alter_capture('late', from_lsn => '7FFFFFFF/0')", qr/changes of this capture may be published already/, 'is refused');
sql('SELECT outbox.resume()');

# ---- events, and a place ahead ----
my %n;
$n{ $_->{value}{n} }++ foreach consume($node, $said);
is(scalar(grep { $_ > 1 } values %n), 0, 'no event twice');
is(scalar(keys %n) > 20, 1, 'events are not left out');
my $topic = topic('ahead');
sql("CREATE TABLE ahead (id int PRIMARY KEY); SELECT outbox.capture('ahead', format => 'json', topic => '$topic', partitions => 1, from_lsn => pg_current_wal_insert_lsn() + 10000000)");
sql('INSERT INTO ahead VALUES (1); TRUNCATE ahead');
ok(wait_published($node), 'a place ahead');
my $at = sql("SELECT from_lsn FROM outbox.captures WHERE relation = 'ahead'::regclass");
sql("SELECT pg_logical_emit_message(false, 'fill', repeat('x', 500000)) FROM generate_series(1, 25)");
sql('INSERT INTO ahead VALUES (2)');
ok(wait_published($node), 'is reached');
is(sql("SELECT pg_current_wal_lsn() > '$at'"), 't', 'indeed');
is(join(' ', map { $_->{key} // 't' } consume($node, $topic)), '2', 'nothing in front of it');
done_testing();
