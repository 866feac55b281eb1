# Instances that share a Kafka without a schema registry tell each other from
# which block their schema ids are; outbox.check() says when two have the same.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../faults/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;
use FaultTest;

my $broker = OutboxTest::Broker->new;
my $conf = "outbox.retry_max = 1s\n";
my %node = map { ($_ => outbox_node($_, bootstrap => $broker->bootstrap, conf => $conf)) } qw(one other);
my %id = map { ($_ => $node{$_}->safe_psql('postgres', 'SELECT instance_id FROM outbox.instance')) } keys %node;
ok(wait_state($node{$_}, 'streaming'), "$_ streams") foreach qw(one other);

# What is said of schema ids, once it is like that.
sub ids
{
	my ($name, $like, $title, %opt) = @_;
	my $good = wait_for($node{$name}, "SELECT count(*) = 1 AND bool_and(severity || ' ' || problem ~ " . FaultTest::quote($like)
		  . ") FROM outbox.check('30 s') WHERE object = 'schema ids'", %opt);
	ok($good, $title) or diag($node{$name}->safe_psql('postgres', "SELECT * FROM outbox.check('30 s') WHERE object = 'schema ids'"));
	return;
}
sub block
{
	my ($name, $block) = @_;
	$node{$name}->safe_psql('postgres', 'SELECT setval(\'outbox.schema_id_seq\', ' . ($block * 1024 + 5) . ')');
	return;
}

block('one', 1000);
block('other', 1001);
ids('other', '^ok no other instance gives ids from 1025024 to 1026047$', 'blocks of their own');
ids('one', '^ok no other instance gives ids from 1024000 to 1025023$', 'seen from the other side');
block('other', 1000);
ids('other', "^warning instance $id{one} gives ids from 1024000 to 1025023, as we do", 'the same block');
ids('one', "^warning instance $id{other} gives ids from 1024000", 'the other one says so, too');
my $new = $node{other}->safe_psql('postgres', 'SELECT outbox.new_schema_ids()');
ids('other', '^ok no other', 'new_schema_ids() ends it');
ids('one', '^ok no other', 'for both');

# It is announced by itself, when a relay begins.
block('other', 1000);
$node{other}->safe_psql('postgres', 'SELECT outbox.restart()');
ids('one', "^warning instance $id{other} gives ids", 'announced without check()');

# An instance that is no more is deleted from the topic; a damaged record is nobody's.
my @records = ([ $id{other}, '' ], [ 'nonsense', 'ff00' ], [ $id{one}, unpack('H*', '1 77') ], [ 'x' x 100, unpack('H*', '1 1000') ],
	[ 'later', unpack('H*', '2 1000 and more') ]);
foreach (@records)
{
	my $rc = IPC::Run::run([ python(), root_folder() . '/test/consumer/records.py', $broker->bootstrap, 'put', 'outbox.instances', @$_ ],
		'2>', \my $err);
	ok($rc, "record of $_->[0]") or diag($err);
}
ids('one', '^ok no other', 'the topic holds what nobody understands');

# Topics that are not to be created, a registry that gives the ids.
my $second = OutboxTest::Broker->new;
reload_with($node{one}, 'outbox.create_topics' => 'off', 'outbox.bootstrap_servers' => $second->bootstrap);
my $position = $node{one}->safe_psql('postgres', "SELECT 'outbox.position.' || instance_id FROM outbox.instance");
admin($second->bootstrap, 'create', $position, 1, 'cleanup.policy=compact');
ok(wait_for($node{one}, "SELECT state IN ('streaming', 'kafka_lost') FROM outbox.status()"), 'another Kafka');
$node{one}->safe_psql('postgres', "SELECT outbox.adopt('another one')") if status($node{one})->{state} eq 'kafka_lost';
ok(wait_state($node{one}, 'streaming'), 'streams there');
ids('one', '^info not compared with those of other instances: the topic does not exist', 'topics are not to be created');
reload_with($node{one}, 'outbox.create_topics' => 'on');
ids('one', '^ok no other', 'now it is');
reload_with($node{one}, 'outbox.schema_registry_url' => 'http://127.0.0.1:1');
ok(wait_for($node{one}, "SELECT count(*) = 0 FROM outbox.check('30 s') WHERE object = 'schema ids'"), 'with a registry there is nothing to compare');
$_->stop foreach values %node;
done_testing();
