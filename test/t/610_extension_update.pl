# ALTER EXTENSION outbox UPDATE: what comes out is what CREATE EXTENSION makes,
# from each version that there is a script for, while events are published.
#
# A release keeps its install script as test/upgrade/outbox--VERSION.sql, which
# test/modules/old_release puts beside its own two, made up, versions.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../faults/lib";
use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;
use FaultTest;

my $node = outbox_node('update', extension => 0, conf => "outbox.max_databases = 20\n");
my $catalog = slurp_file(root_folder() . '/test/support/extension_catalog.sql');

sub sql
{
	my ($db, $query) = @_;
	return $node->safe_psql($db, $query);
}

my $current = sql('postgres', "SELECT default_version FROM pg_available_extensions WHERE name = 'outbox'");
my @old = split /\n/, sql('postgres', "SELECT version FROM pg_available_extension_versions
	WHERE name = 'outbox' AND version <> '$current' ORDER BY string_to_array(version, '.')::int[]");
is("@old[0, 1]", '0.0.1 0.0.2', 'there are older versions');

# Every upgrade script begins at a version that can be made here.
my @scripts = map { /outbox--(.*)--/ } glob(root_folder() . '/sql/outbox--*--*.sql');
my %known = map { $_ => 1 } @old;
is(join(' ', grep { !$known{$_} } @scripts), '', 'each version with an upgrade script can be installed');
is(sql('postgres', "SELECT string_agg(source, ' ') FROM pg_extension_update_paths('outbox')
	WHERE target = '$current' AND source <> target AND path IS NULL"), '', "there is a way to $current from each");

# Lines that one has and the other has not; what SQL calls the rows of tables.
sub facts
{
	my ($db) = @_;
	sql($db, $catalog);
	my $facts = sql($db, q{SELECT format('%s %s, %s: %s', type, identity, what, replace(coalesce(value, '-'), E'\n', ' '))
		FROM public.extension_catalog ORDER BY 1});
	sql($db, 'DROP VIEW public.extension_catalog');
	return split /\n/, $facts;
}
sub differences
{
	my ($one, $other) = @_;
	my %count;
	$count{$_}++ foreach @$one;
	$count{$_}-- foreach @$other;
	return sort map { ($count{$_} > 0 ? '+' : '-') . $_ } grep { $count{$_} != 0 } keys %count;
}

sql('postgres', 'CREATE DATABASE fresh');
sql('fresh', 'CREATE EXTENSION outbox');
my @fresh = facts('fresh');
cmp_ok(scalar @fresh, '>', 1000, 'the catalog of a fresh one: ' . @fresh . ' facts');

foreach my $version (@old)
{
	my $db = "from_$version";
	my $topic = topic($db);
	sql('postgres', qq{CREATE DATABASE "$db"});
	sql($db, "CREATE EXTENSION outbox VERSION '$version'");
	my @before = differences([ facts($db) ], \@fresh);
	cmp_ok(scalar @before, '>', 10, "$version is another one");
	sql($db, "SELECT outbox.create_event_type('t', format => 'json', topic => '$topic')");
	sql($db, "SELECT outbox.emit('t', '{\"n\": 1}')");
	my $open = $node->background_psql($db);
	$open->query_safe("BEGIN; SELECT outbox.emit('t', '{\"n\": 2}')");
	my $update = $node->background_psql($db);
	$update->query_until(qr/begins/, "\\echo begins\nALTER EXTENSION outbox UPDATE;\n");
	$open->query_safe("SELECT outbox.emit('t', '{\"n\": 3}')");
	$open->query_safe('COMMIT');
	$open->quit;
	$update->quit;
	is(sql($db, "SELECT extversion FROM pg_extension WHERE extname = 'outbox'"), $current, "updated from $version");
	sql($db, "SELECT outbox.emit('t', '{\"n\": 4}')");
	ok(wait_published($node, db => $db), 'published meanwhile and after');
	is(join(' ', map { $_->{value}{n} } consume(undef, $topic)), '1 2 3 4', 'each event once, in order');

	my @differences = differences([ facts($db) ], \@fresh);
	if ($version ne '0.0.2')
	{
		is(join("\n", @differences), '', "from $version: updated = fresh");
		next;
	}
	my $text = join("\n", @differences);
	like($text, qr/$_->[1]/, "a script that forgets $_->[0] is found out")
	  foreach ([ 'a comment', 'uuid_v7\(\), comment: -' ], [ 'a column', '-table outbox\.secret, column 3: created_at' ],
		[ 'ENABLE ALWAYS', '-trigger invalidate_caches on outbox\.secret, definition: A ' ],
		[ 'a constraint', '-table outbox\.subject_default, constraint subject_default_mode_check' ],
		[ 'a search_path', '-function outbox\.new_identity\(\), definition:.*search_path' ],
		[ 'a privilege', '-function outbox\.published_lsn\(\), privileges: .*outbox_monitor' ],
		[ 'an option of a sequence', 'sequence outbox\.schema_id_seq, sequence:' ],
		[ 'what pg_dump is to dump', 'table outbox\.subject_default, dumped: WHERE false' ]);
}
$node->stop;
done_testing();
