# Rows of a snapshot that cannot go: one that the broker refuses, and one whose
# key is held by a dead letter.  The stream of everybody else goes on, and so
# does the snapshot when the reason is gone.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../faults/lib";
use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;
use FaultTest;

my $node = outbox_node('main', conf => "outbox.heartbeat_interval = 500\noutbox.retry_max = 500\n");
my ($small, $other) = (topic('small'), topic('other'));

sub sql { return $node->safe_psql('postgres', @_); }

sub job_state
{
	my ($job, $state) = @_;
	return ok(wait_for($node, "SELECT state FROM outbox.stat_snapshot WHERE job = $job", want => $state),
		"snapshot $job is $state")
	  || diag(sql('SELECT row_to_json(s) FROM outbox.stat_snapshot s'));
}

# A topic that takes no more than 4 kB at a time.
admin(bootstrap(), 'create', $small, 1, 'max.message.bytes=4000');
sql(<<"SQL");
CREATE SCHEMA app;
CREATE TABLE app.small (id int PRIMARY KEY, fill text);
CREATE TABLE app.other (id int PRIMARY KEY);
INSERT INTO app.small SELECT i, repeat('x', CASE i WHEN 5 THEN 9000 ELSE 10 END) FROM generate_series(1, 9) i;
SELECT outbox.capture('app.small', format => 'json', topic => '$small', envelope => 'flat', on_error => 'dead_letter');
SELECT outbox.capture('app.other', format => 'json', topic => '$other', partitions => 1);
SQL

# ---- refused by the broker ----
my $job = sql("SELECT outbox.snapshot('app.small', chunk_rows => 2)");
job_state($job, 'blocked');
like(sql("SELECT reason FROM outbox.stat_snapshot WHERE job = $job"), qr/too large|larger|MSG_SIZE/i, 'and says why');
sql('INSERT INTO app.other VALUES (1)');
ok(wait_published($node), 'other tables are published');
is(scalar(consume($node, $other)), 1, 'indeed');
sql("UPDATE app.small SET fill = 'short' WHERE id = 5");
ok(wait_published($node), 'the row is made shorter');
sql("SELECT outbox.resume_snapshot($job)");
job_state($job, 'done');
my %times;
$times{ $_->{key} }++ foreach grep { $_->{value}{__op} eq 'r' } consume($node, $small);
is(join(' ', map { $times{$_} // 0 } 1 .. 9), join(' ', (1) x 9), 'each row once');

# ---- behind a dead letter ----
sql("UPDATE app.small SET fill = repeat('y', 9000) WHERE id = 7");
ok(wait_for($node, 'SELECT count(*) FROM outbox.dead_letter WHERE discarded_at IS NULL', want => '1'), 'a change is parked');
sql("UPDATE app.small SET fill = 'short' WHERE id = 7");
$job = sql("SELECT outbox.snapshot('app.small')");
job_state($job, 'blocked');
like(sql("SELECT reason FROM outbox.stat_snapshot WHERE job = $job"), qr/dead letter holds the key/, 'and says why');
is(scalar(grep { $_->{value}{__op} eq 'r' && $_->{key} == 7 } consume($node, $small)), 1, 'its row does not overtake what is parked');
sql("SELECT outbox.discard_dead_letter(id, 'test') FROM outbox.dead_letter WHERE discarded_at IS NULL");
job_state($job, 'done');
my @of = grep { $_->{key} == 7 } consume($node, $small);
is($of[-1]{value}{fill}, 'short', 'then it is sent, as it is now');
done_testing();
