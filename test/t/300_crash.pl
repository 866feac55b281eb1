# kill -9 of everything under load, briefly; the driver is test/faults/crash,
# whose TAP lines are passed on.  A longer run:
#	test/faults/crash FOLDER --kills 120 --seed N
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;

my $python = $ENV{OUTBOX_PYTHON} || root_folder() . '/.work/venv/bin/python';
my $dir = PostgreSQL::Test::Utils::tempdir('crash');
my $seed = $ENV{OUTBOX_TEST_SEED} // 42;
my ($out, $err) = ('', '');

IPC::Run::run([ $python, root_folder() . '/test/faults/crash', $dir,
		'--kills', 12, '--seed', $seed ], '>', \$out, '2>', \$err);
my $planned;
foreach my $line (split /\n/, $out)
{
	if ($line =~ /^(not )?ok \d+ - (.*)/) { ok(!$1, $2); }
	elsif ($line =~ /^1\.\.(\d+)/) { $planned = $1; }
	else { $line =~ s/^# ?//; diag($line); }
}
ok($planned, 'the driver came to its end') or diag($err);
my ($kills) = $out =~ /: (\d+) kills:/;
cmp_ok($kills // 0, '>=', 12, 'kills');
like($out, qr/kills:.*\b$_ \d/, "$_ was killed")
  foreach qw(child relay broker postmaster everything immediate);
done_testing();
