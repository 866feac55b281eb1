# LogCapture: what the tests of captures with mode log share.
#
#	my $node = log_node('main', conf => '...');
#	capture_log($node, 'public.t', topic => $t, ...);	# and waits until active
#	my @rows = changes($node, $topic);	# decoded messages, in order
package LogCapture;

use strict;
use warnings;

use Exporter 'import';
use OutboxTest;
use Test::More;

our @EXPORT = qw(log_node log_conf capture_log uncapture_log wait_active source_is
  changes summary slot_row);

# Settings for logical decoding; older minor versions lack the list.
sub log_conf
{
	my ($node) = @_;
	my $known = $node->safe_psql('postgres',
		"SELECT count(*) FROM pg_settings WHERE name = 'output_plugin_libraries'");
	return $known ? "output_plugin_libraries = 'pgoutput, test_decoding, outbox'\n" : '';
}

sub log_node
{
	my ($name, %opt) = @_;
	my $conf = delete $opt{conf} // '';
	my $node = outbox_node($name, %opt,
		conf => "wal_level = logical\noutbox.heartbeat_interval = 500\n$conf");
	my $list = log_conf($node);
	if ($list)
	{
		$node->append_conf('postgresql.conf', $list);
		$node->reload;
	}
	return $node;
}

sub literal
{
	my ($value) = @_;
	return 'NULL' if !defined $value;
	$value =~ s/'/''/g;
	return "'$value'";
}

# Options are arguments of outbox.capture(); nowait: do not wait until active.
sub capture_log
{
	my ($node, $table, %opt) = @_;
	my $nowait = delete $opt{nowait};
	my $db = delete $opt{db} // 'postgres';
	my $args = join ', ', map { "$_ => " . literal($opt{$_}) } sort keys %opt;
	$node->safe_psql($db, "SELECT outbox.capture('$table', mode => 'log'"
		  . ($args ? ", $args" : '') . ')');
	return $nowait ? 1 : wait_active($node, $db);
}

sub uncapture_log
{
	my ($node, $table) = @_;
	$node->safe_psql('postgres', "SELECT outbox.uncapture('$table')");
}

# Every log capture is active.
sub wait_active
{
	my ($node, $db) = @_;
	return wait_for($node,
		"SELECT count(*) > 0 AND bool_and(active_from IS NOT NULL) FROM outbox.capture_def WHERE mode = 'log'",
		db => $db // 'postgres')
	  || diag($node->safe_psql($db // 'postgres',
			'SELECT state, last_error FROM outbox.status()'));
}

# 'scanner' or 'decoder': what the relay has come to, durably.
sub source_is
{
	my ($node, $source) = @_;
	my $is = $source eq 'decoder' ? 'NOT NULL' : 'NULL';
	return wait_for($node, "SELECT log_from IS $is FROM outbox.instance");
}

sub slot_row
{
	my ($node, $columns) = @_;
	return $node->safe_psql('postgres',
		"SELECT $columns FROM pg_replication_slots WHERE slot_name LIKE 'outbox_log_%'");
}

sub changes
{
	my ($node, $topic, %opt) = @_;
	wait_published($node, timeout => 60) || diag('not published') unless $opt{nowait};
	return consume($node, $topic);
}

# One word a message: op and a column of the row, tombstone, or event.
sub summary
{
	my ($column, @messages) = @_;
	my @words;
	foreach my $m (@messages)
	{
		my $v = $m->{value};
		if (!defined $v) { push @words, '-' . ($m->{key} // ''); }
		elsif (ref $v && exists $v->{op})
		{
			my $row = $v->{after} // $v->{before} // {};
			push @words, $v->{op} . ($row->{$column} // '');
		}
		else { push @words, '!' . ($v->{n} // ''); }
	}
	return join ' ', @words;
}

1;
