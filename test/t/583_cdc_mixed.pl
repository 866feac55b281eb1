# As 580_cdc_trigger.pl, with some tables captured from the log and some by
# triggers: their events share transactions.
use strict;
use warnings;
use Test::More;
use CdcTest;

cdc_run(mode => 'mixed', steps => 1000, 'kill-every' => 400, seed => 3);
done_testing();
