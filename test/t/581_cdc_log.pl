# As 580_cdc_trigger.pl, with tables captured from the log.
use strict;
use warnings;
use Test::More;
use CdcTest;

cdc_run(mode => 'log', steps => 1500, 'kill-every' => 300, seed => 2);
done_testing();
