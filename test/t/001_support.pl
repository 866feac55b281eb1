# The test tools themselves: a broker's life, and that the checker of the
# invariants sees each kind of damage.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;

my $python = $ENV{OUTBOX_PYTHON} || root_folder() . '/.work/venv/bin/python';
my $broker = OutboxTest::Broker->new('--sasl');
my $where = $broker->bootstrap;

like($where, qr/^127\.0\.0\.1:\d+$/, 'a broker serves');
ok(-s $broker->dir . '/tls/ca.pem', 'with a certificate authority of its own');

my $producer = <<'PY';
import sys
from confluent_kafka import Producer
p = Producer({"bootstrap.servers": sys.argv[1], "transactional.id": "t"})
p.init_transactions()
for txn in range(3):
    p.begin_transaction()
    for n in range(4):
        p.produce("support", key="k%d" % (n % 2), value='{"n": %d}' % n,
                  headers=[("id", "%d-%d" % (txn, n))])
    p.flush()
    p.abort_transaction() if txn == 1 else p.commit_transaction()
PY
my ($out, $err);
ok(IPC::Run::run([ $python, '-c', $producer, $where ], '>', \$out, '2>', \$err),
	'a transactional producer writes to it')
  or diag($err);
my @seen = consume(undef, 'support', { bootstrap => $where });
is(scalar @seen, 8, 'aborted Kafka transactions are not seen');
is(scalar consume(undef, 'support', { bootstrap => $where, uncommitted => 1 }),
	12, 'except by those who read uncommitted');
is(scalar consume(undef, 'nowhere', { bootstrap => $where }), 0, 'a missing topic is empty');

ok($broker->kill9, 'kill -9');
ok($broker->restart, 'and started again');
is($broker->bootstrap, $where, 'on the same port');
my @again = consume(undef, 'support', { bootstrap => $where });
is_deeply(\@again, \@seen, 'with the same contents');

# Damage, one kind at a time.
my @truth;
foreach my $txn (0, 2)
{
	push @truth, { id => "$txn-$_", key => 'k' . $_ % 2, seq => @truth + 0,
		pos => @truth + 0, txn => "t$txn", ord => $_ } foreach 0 .. 3;
}
my %broken = (
	'I1 no loss' => [ @seen[ 1 .. 7 ] ],
	'I2 no duplicate' => [ @seen, { %{ $seen[7] }, offset => 100 } ],
	'I3 no phantom' => [ @seen, { %{ $seen[7] }, offset => 100, headers => [ [ 'id', 'x' ] ] } ],
	'I4 order' => [ { %{ $seen[0] }, offset => 100 }, @seen[ 1 .. 7 ] ],
	'I5 no torn transaction' => [ @seen[ 0 .. 2 ], @seen[ 4 .. 7 ] ],
	'keys and values as committed' => [ { %{ $seen[0] }, key => 'other' }, @seen[ 1 .. 7 ] ]);

verify_events(undef, \@truth, \@seen, 'undamaged');
foreach my $kind (sort keys %broken)
{
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my $json = JSON::PP->new;
	append_to_file("$dir/truth", join('', map { $json->encode($_) . "\n" } @truth));
	append_to_file("$dir/seen", join('', map { $json->encode($_) . "\n" } @{ $broken{$kind} }));
	my $rc = IPC::Run::run([ $python, root_folder() . '/test/consumer/verify.py', '--tap',
			'--truth', "$dir/truth", '--seen', "$dir/seen" ], '>', \$out, '2>', \$err);
	ok(!$rc && $out =~ /^not ok \d+ - \Q$kind\E/m, "the checker sees: $kind") or diag($out);
}

done_testing();
