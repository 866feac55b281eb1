# Tables captured by triggers, under a random workload and kill -9 of relay,
# outbox-kafka, server and broker: consumers of either envelope, Avro or JSON,
# end with the source's tables, and see for each key the images that the audit
# trigger saw.  See test/cdc/run.
use strict;
use warnings;
use Test::More;
use CdcTest;

my $out = cdc_run(mode => 'trigger', steps => 2000, 'kill-every' => 250);
like($out, qr/kills:.*\bchild \d/, 'outbox-kafka was killed');
like($out, qr/kills:.*\brelay \d/, 'the relay was killed');
done_testing();
