# OutboxPosition: the records of a position topic, read and written by tests.
#
#	use OutboxPosition;
#
#	my $topic = position_topic($node);
#	my %fields = read_position($topic);			# as in record/position.h
#	write_position($topic, %fields, timeline => 7);
#	write_position_bytes($topic, $bytes);
#	my $offset = high_watermark($any_topic);
#	delete_topic($any_topic);
package OutboxPosition;

use strict;
use warnings;

use Exporter 'import';
use OutboxTest;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(
  position_topic read_position write_position position_bytes
  write_position_bytes high_watermark delete_topic
);

my $python = $ENV{OUTBOX_PYTHON} || root_folder() . '/.work/venv/bin/python';

# Little-endian, in the order of the struct, then a CRC-32C.
my @names = qw(magic version instance system_id host timeline incarnation ring
  written_ms scanned split_ordinal event_end event_crc commit_start commit_crc
  restart parked_lsn parked_ordinal);
my $layout = 'V v a16 Q< a16 V Q< v q< Q< V Q< V Q< V Q< Q< V';

my @table = map {
	my $c = $_;
	$c = $c & 1 ? ($c >> 1) ^ 0x82f63b78 : $c >> 1 for 1 .. 8;
	$c;
} 0 .. 255;

sub crc32c
{
	my $crc = 0xffffffff;
	$crc = $table[ ($crc ^ $_) & 0xff ] ^ ($crc >> 8) foreach unpack 'C*', $_[0];
	return $crc ^ 0xffffffff;
}

sub records
{
	my ($out, $err) = ('', '');
	IPC::Run::run([ $python, root_folder() . '/test/consumer/records.py', bootstrap(), @_ ],
		'>', \$out, '2>', \$err)
	  or BAIL_OUT("records.py @_: $err");
	chomp $out;
	return $out;
}

sub position_topic
{
	my ($node, $db) = @_;
	return 'outbox.position.'
	  . $node->safe_psql($db // 'postgres', 'SELECT instance_id FROM outbox.instance');
}

sub read_position
{
	my ($topic) = @_;
	my %fields;
	@fields{@names} = unpack $layout, pack 'H*', records('last', $topic, 'position');
	return %fields;
}

sub position_bytes
{
	my (%fields) = @_;
	my $body = pack $layout, @fields{@names};
	return $body . pack 'V', crc32c($body);
}

sub write_position_bytes
{
	my ($topic, $bytes) = @_;
	records('put', $topic, 'position', unpack 'H*', $bytes);
	return;
}

sub write_position
{
	my ($topic, %fields) = @_;
	write_position_bytes($topic, position_bytes(%fields));
	return;
}

sub high_watermark { return records('high', $_[0]); }
sub delete_topic { return records('delete', $_[0]); }

1;
