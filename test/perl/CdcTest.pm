# CdcTest: runs test/cdc/run, a random workload on captured tables, and passes
# its TAP lines on.
#
#	use CdcTest;
#	cdc_run(steps => 1500, mode => 'trigger', 'kill-every' => 300);
#	done_testing();
#
# A longer run, or that of another seed:
#	OUTBOX_TEST_SEED=7 OUTBOX_TEST_STEPS=50000 ./check.sh tap 580
package CdcTest;

use strict;
use warnings;

use Exporter 'import';
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(cdc_run);

# Options are those of test/cdc/run; a value undef is an option without one.
sub cdc_run
{
	my (%opt) = @_;
	my $python = $ENV{OUTBOX_PYTHON} || root_folder() . '/.work/venv/bin/python';
	my $dir = PostgreSQL::Test::Utils::tempdir('cdc');
	my ($out, $err, $planned) = ('', '', 0);

	$opt{seed} = $ENV{OUTBOX_TEST_SEED} // $opt{seed} // 1;
	$opt{steps} = $ENV{OUTBOX_TEST_STEPS} if $ENV{OUTBOX_TEST_STEPS};
	my @args = map { defined $opt{$_} ? ("--$_", $opt{$_}) : "--$_" } sort keys %opt;
	note("test/cdc/run FOLDER @args");
	IPC::Run::run([ $python, root_folder() . '/test/cdc/run', $dir, @args ], '>', \$out, '2>', \$err);
	foreach my $line (split /\n/, $out)
	{
		if ($line =~ /^(not )?ok \d+ - (.*)/) { ok(!$1, $2); }
		elsif ($line =~ /^1\.\.(\d+)/) { $planned = $1; }
		else { $line =~ s/^# ?//; diag($line); }
	}
	ok($planned, 'the driver came to its end') or diag($err);
	return $out;
}

1;
