# The documentation is true: its examples run, the errors and results that it
# shows are the real ones, its tables name what exists, its links lead
# somewhere.
#
# Each file gets a fresh database "shop" on one server with a broker of its
# own.  Blocks run in the order of the file, each in a session of its own:
#
#	sql			always, as superuser.  "-- ERROR:  ...", "-- DETAIL:  ..." and
#				"-- HINT:  ..." are the errors that must come, in this order, and
#				no others; "-- => ..." is a line of the result.
#	python		always
#	sh			only where marked "test: run"; a json block that follows is the
#				output
#
# An HTML comment before a block steers:
#
#	<!-- test: skip -->			not run
#	<!-- test: run -->			a sh block that is run
#	<!-- test: last -->			run after all others of the file
#	<!-- test: lines N -->		stopped once it has printed N lines
#	<!-- test: setup SQL -->	run here, not shown
#
# kafka1:9092 in an example is the test's broker.
use strict;
use warnings;

use File::Basename;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;

my $root = root_folder();
my $python = $ENV{OUTBOX_PYTHON} || "$root/.work/venv/bin/python";
my @files = ('README.md', map { "docs/" . basename($_) } sort glob "$root/docs/*.md");
my $MAX_SKIPPED = 6;
my $skipped = 0;

sub slurp { return slurp_file("$root/$_[0]"); }

# ---- reading ---------------------------------------------------------------
# Fenced blocks and setup comments of a file, in order.
sub blocks
{
	my ($file) = @_;
	my (@blocks, $block, $marker, $setup);
	my $n = 0;

	foreach my $line (split /\n/, slurp($file))
	{
		$n++;
		if ($block)
		{
			if ($line =~ /^```\s*$/) { push @blocks, $block; undef $block; }
			else { $block->{text} .= "$line\n"; }
		}
		elsif ($setup)
		{
			if ($line =~ /^-->/) { push @blocks, $setup; undef $setup; }
			else { $setup->{text} .= "$line\n"; }
		}
		elsif ($line =~ /^<!-- test: setup\s*$/)
		{
			$setup = { lang => 'sql', line => $n, text => '', marker => '', setup => 1 };
		}
		elsif ($line =~ /^<!-- test: (.*?) -->/) { $marker = $1; }
		elsif ($line =~ /^```(\w*)/)
		{
			$block = { lang => $1, line => $n, text => '', marker => $marker // '' };
			undef $marker;
		}
		elsif ($line =~ /\S/) { undef $marker; }
	}
	die "$file: a block has no end" if $block || $setup;
	return @blocks;
}

# Without what differs from run to run.
sub masked
{
	my ($text) = @_;
	$text =~ s/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/UUID/g;
	$text =~ s/\d{4}-\d\d-\d\dT[\d:.]+Z/TIME/g;
	$text =~ s/"timestamp":\s*\d+/"timestamp":TIME/g;
	$text =~ s/"schema_id":\s*\d+/"schema_id":ID/g;
	$text =~ s/\s+//g;
	return $text;
}

# ---- running ---------------------------------------------------------------
my $broker = OutboxTest::Broker->new;
my $node = outbox_node('docs', bootstrap => $broker->bootstrap, extension => 0);
my $dir = PostgreSQL::Test::Utils::tempdir();

my %env = (PGHOST => $node->host, PGPORT => $node->port, PGDATABASE => 'shop',
	PGUSER => 'postgres', PATH => dirname($node->installed_command('postgres')) . ":$ENV{PATH}");

sub filled
{
	my ($text) = @_;
	my $bootstrap = $broker->bootstrap;
	$text =~ s/kafka1:9092/$bootstrap/g;
	return $text;
}

sub run_sql
{
	my ($block, $name) = @_;
	my @lines = split /\n/, $block->{text};
	my @errors = map { /^-- ((?:ERROR|DETAIL|HINT):  .*)/ ? $1 : () } @lines;
	my @results = map { /^-- => (.*)/ ? $1 : () } @lines;
	my ($rc, $out, $err) = $node->psql('shop', filled($block->{text}), on_error_stop => 0);
	my @seen = map { /^(?:psql:.*?: )?((?:ERROR|DETAIL|HINT|FATAL):  .*)/ ? $1 : () } split /\n/, $err;
	my @left = split /\n/, $out;
	my @missing;

	# what is not shown of an error may be there all the same, but no error
	my @shown;
	my @want = @errors;
	foreach my $line (@seen)
	{
		if (@want && $want[0] eq $line) { push @shown, shift @want; }
		elsif ($line =~ /^(ERROR|FATAL)/) { push @shown, $line; }
	}
	foreach my $result (@results)
	{
		shift @left while @left && $left[0] ne $result;
		push @missing, $result unless @left;
		shift @left;
	}
	my $good = is(join("\n", @shown), join("\n", @errors), $name) && !@missing;
	diag("missing in the result: " . join(', ', @missing) . "\nthe result:\n$out") if @missing;
	ok(0, "$name, results") if @missing;
	return $good;
}

sub run_program
{
	my ($block, $name, @command) = @_;
	my ($out, $err) = ('', '');
	my $lines = $block->{marker} =~ /^lines (\d+)/ ? $1 : 0;
	local %ENV = (%ENV, %env);
	my $timer = IPC::Run::timer(40);
	my $run = IPC::Run::start([@command], '<', '/dev/null', '>', \$out, '2>', \$err, $timer);
	my $good;

	eval {
		if ($lines)
		{
			$run->pump while $run->pumpable && ($out =~ tr/\n//) < $lines;
			$good = ($out =~ tr/\n//) >= $lines;
			$run->signal('TERM');
			eval { $run->finish };
		}
		else { $good = $run->finish; }
		1;
	} or $run->kill_kill;
	if ($good && defined $block->{output})
	{
		is(masked($out), masked(filled($block->{output})), $name);
		return;
	}
	ok($good, $name) or diag("output:\n$out\nerrors:\n$err");
	return;
}

sub run_block
{
	my ($file, $block) = @_;
	my $name = "$file:$block->{line} $block->{lang}";

	if ($block->{lang} eq 'sql') { run_sql($block, $block->{setup} ? "$name, setup" : $name); }
	else
	{
		my $script = "$dir/block";
		unlink $script;
		append_to_file($script, filled($block->{text}));
		run_program($block, $name, $block->{lang} eq 'python' ? $python : ('bash', '-e'), $script);
	}
	return;
}

sub is_run
{
	my ($block) = @_;
	if ($block->{marker} eq 'skip')
	{
		$skipped++ if $block->{lang} =~ /^(sql|python)$/;
		return 0;
	}
	return $block->{lang} =~ /^(sql|python)$/ || ($block->{lang} eq 'sh' && $block->{marker} eq 'run');
}

# performance.md measures; its examples take what they take.
foreach my $file (grep { $_ ne 'docs/performance.md' } @files)
{
	my @all = blocks($file);
	foreach my $i (1 .. $#all)
	{
		$all[ $i - 1 ]{output} = $all[$i]{text}
		  if $all[$i]{lang} eq 'json' && $all[ $i - 1 ]{marker} eq 'run';
	}
	my @todo = grep { is_run($_) } @all;
	next unless @todo;
	$node->safe_psql('postgres', 'CREATE DATABASE shop');
	$node->safe_psql('shop', 'CREATE EXTENSION outbox')
	  unless grep { $_->{text} =~ /^CREATE EXTENSION outbox;/m } @todo;
	run_block($file, $_) foreach grep { $_->{marker} ne 'last' } @todo;
	run_block($file, $_) foreach grep { $_->{marker} eq 'last' } @todo;
	ok(wait_published($node, db => 'shop'), "$file: all its events are published")
	  if $node->safe_psql('shop', "SELECT count(*) FROM pg_extension WHERE extname = 'outbox'");
	$node->safe_psql('postgres', 'DROP DATABASE shop');
}
cmp_ok($skipped, '<=', $MAX_SKIPPED, 'few blocks are not run');

# ---- what the tables say -------------------------------------------------
# First column of the table rows of a file, without code marks, and the second.
sub rows
{
	my ($file, $pattern) = @_;
	return map { /^\| `($pattern)` \| ([^|]*?) \|/ ? [ $1, $2 ] : () } split /\n/, slurp($file);
}

sub sorted { return join("\n", sort @_); }

# A default as the server keeps it: in bytes or milliseconds, without marks.
my %factor = (B => 1, kB => 1024, MB => 1024 * 1024, ms => 1, s => 1000);

sub base_value
{
	my ($value, $unit) = @_;
	$value =~ s/`//g;
	$value = '' if $value eq 'empty';
	($value, $unit) = ($1, $2) if $value =~ /^(-?\d+) (\w+)$/;
	return $value =~ /^-?\d+$/ ? $value * ($factor{ $unit || 'B' } // 1) : $value;
}

$node->safe_psql('postgres', 'CREATE EXTENSION outbox');
my %setting = map { my ($n, $v, $u) = split /\|/, $_, -1; ($n => base_value($v, $u)) }
  split /\n/, $node->safe_psql('postgres',
	"LOAD 'outbox'; SELECT name, boot_val, unit FROM pg_settings WHERE name LIKE 'outbox.%'");
my %documented = map { ($_->[0] => base_value($_->[1])) } rows('docs/configuration.md', 'outbox\.\w+');
is(sorted(keys %documented), sorted(keys %setting), 'configuration.md has every setting');
is($documented{$_}, $setting{$_}, "default of $_") foreach sort keys %documented;

my ($source) = slurp('src/outbox-kafka/config.c') =~ /allowed\[\] = \{(.*?)NULL/s;
$source =~ s!/\*.*?\*/!!sg;
my ($own) = slurp('src/outbox-kafka/config.c') =~ /ALLOW_PLAINTEXT_SASL\s+"([^"]+)"/;
my ($names) = slurp('docs/configuration.md') =~ /<!-- properties -->(.*?)<!-- end -->/s;
is(sorted($names =~ /`([^`]+)`/g), sorted($source =~ /"([^"]+)"/g, $own),
	'configuration.md has every property that may be set');

my ($states) = slurp('src/state/state.c') =~ /state_names\[\] = \{(.*?)\}/s;
is(sorted(map { my ($first) = /^\|([^|]*)\|/; ($first // '') =~ /`(\w+)`/g } split /\n/, slurp('docs/states.md') =~ s/^## .*//msr),
	sorted($states =~ /"(\w+)"/g, 'standby'), 'states.md has every state');

foreach my $what ([ status => 'SELECT * FROM outbox.status()' ],
	[ stat_relay => 'SELECT * FROM outbox.stat_relay' ], [ stat_topic => 'SELECT * FROM outbox.stat_topic' ],
	[ stat_latency => 'SELECT * FROM outbox.stat_latency' ])
{
	my ($table) = slurp('docs/monitoring.md') =~ /<!-- columns of $what->[0] -->(.*?)<!-- end -->/s;
	my ($head) = split /\n/, $node->safe_psql('postgres', "CREATE TEMP VIEW v AS $what->[1];
		SELECT string_agg(attname, ' ') FROM pg_attribute WHERE attrelid = 'v'::regclass");
	is(sorted(map { /^\| (`.*?) \|/ ? $1 =~ /`(\w+)`/g : () } split /\n/, $table // ''), sorted(split / /, $head),
		"monitoring.md has every column of $what->[0]");
}

# ---- links and files -------------------------------------------------------
foreach my $file (@files)
{
	my $text = slurp($file);
	my $folder = dirname($file);
	my @bad;

	$text =~ s/^```.*?^```//msg;
	while ($text =~ /\]\(([^)\s]+)\)/g)
	{
		my ($target, $anchor) = split /#/, $1, 2;
		next if $target =~ /^\w+:/;
		my $path = $target eq '' ? $file : "$folder/$target";
		if (!-e "$root/$path") { push @bad, $1; next; }
		next unless defined $anchor;
		my %anchors = map { my $h = lc $_; $h =~ s/[^\w\- ]//g; $h =~ s/ /-/g; ($h => 1) }
		  slurp($path) =~ /^#+ +(.*)$/mg;
		push @bad, "$target#$anchor" unless $anchors{$anchor};
	}
	while ($text =~ /`((?:test|expected|src|sql|docs)\/[\w.\/-]+)`/g)
	{
		push @bad, $1 unless -e "$root/$1";
	}
	is(join(' ', @bad), '', "$file: what it refers to exists");
}

$node->stop;
done_testing();
