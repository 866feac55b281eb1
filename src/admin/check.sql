/*
 * The doctor: outbox.check().  Each function below looks at one thing, has no
 * arguments that could be anybody's, and returns findings; none of them speaks
 * to the network.
 */

CREATE FUNCTION outbox.kafka_findings(wait interval,
	OUT severity text, OUT object text, OUT problem text, OUT hint text,
	OUT checked_at timestamptz)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'outbox_kafka_findings';
REVOKE ALL ON FUNCTION outbox.kafka_findings(interval) FROM PUBLIC;

CREATE FUNCTION outbox.server_facts(
	OUT preloaded boolean, OUT databases integer, OUT max_databases integer,
	OUT http_serves boolean)
	LANGUAGE c VOLATILE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'outbox_server_facts';
REVOKE ALL ON FUNCTION outbox.server_facts() FROM PUBLIC;

CREATE FUNCTION outbox.row_type_drifted(type regtype, schema_id integer)
	RETURNS boolean
	LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'outbox_row_type_drifted';
REVOKE ALL ON FUNCTION outbox.row_type_drifted(regtype, integer) FROM PUBLIC;

-- The server's settings, and room for what we start.
CREATE FUNCTION outbox.check_server(
	OUT severity text, OUT object text, OUT problem text, OUT hint text)
	RETURNS SETOF record
	LANGUAGE sql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT 'error', 'shared_preload_libraries',
		'outbox is not in shared_preload_libraries',
		'Add it and restart the server: without it nothing is published or emitted.'
	FROM outbox.server_facts() f WHERE NOT f.preloaded
	UNION ALL
	SELECT 'ok', 'shared_preload_libraries', 'outbox is loaded', NULL
	FROM outbox.server_facts() f WHERE f.preloaded
	UNION ALL
	SELECT CASE WHEN w = 'minimal' THEN 'error' ELSE 'ok' END, 'wal_level',
		format('wal_level is %s', w),
		CASE WHEN w = 'minimal' THEN 'Set wal_level = replica or logical and restart the server.' END
	FROM current_setting('wal_level') w
	UNION ALL
	SELECT 'warning', 'fsync', 'fsync is off',
		'A crash of the machine can lose commits that were published: turn it on.'
	WHERE current_setting('fsync') = 'off'
	UNION ALL
	SELECT 'error', 'outbox launcher', 'the launcher is not running',
		'Raise max_worker_processes and restart the server.'
	FROM outbox.server_facts() f
	WHERE f.preloaded AND NOT pg_is_in_recovery() AND NOT EXISTS (
		SELECT FROM pg_stat_activity a WHERE a.backend_type = 'outbox launcher')
	UNION ALL
	SELECT 'warning', 'max_worker_processes',
		format('%s of %s worker processes are in use', u.n, m.n),
		'Raise max_worker_processes: a relay that finds none free does not start.'
	FROM (SELECT count(*) FROM pg_stat_activity a WHERE a.backend_type NOT IN (
				'client backend', 'checkpointer', 'background writer', 'walwriter',
				'autovacuum launcher', 'autovacuum worker', 'archiver', 'walsender',
				'walreceiver', 'startup', 'io worker', 'slotsync worker',
				'walsummarizer', 'standalone backend')) u (n),
		current_setting('max_worker_processes') s (t),
		LATERAL (SELECT s.t::integer) m (n)
	WHERE u.n >= m.n
	UNION ALL
	SELECT 'warning', 'max_replication_slots',
		format('%s of %s replication slots are in use', u.n, m.n),
		'Raise max_replication_slots: another database with the extension finds none.'
	FROM (SELECT count(*) FROM pg_replication_slots) u (n),
		current_setting('max_replication_slots') s (t),
		LATERAL (SELECT s.t::integer) m (n)
	WHERE u.n >= m.n
	UNION ALL
	SELECT 'info', 'outbox.max_databases',
		format('all %s places for databases with the extension are taken', f.max_databases),
		'Raise outbox.max_databases before another one gets it.'
	FROM outbox.server_facts() f WHERE f.preloaded AND f.databases >= f.max_databases
	UNION ALL
	SELECT 'info', 'Patroni', 'this server is run by Patroni',
		'Patroni drops slots that it does not know: have ignore_slots match names that begin with outbox_.'
	WHERE EXISTS (SELECT FROM pg_stat_activity a WHERE a.application_name LIKE 'Patroni%')
	UNION ALL
	SELECT CASE WHEN f.http_serves THEN 'ok' ELSE 'error' END, 'outbox-http',
		CASE WHEN f.http_serves THEN 'it serves' ELSE 'outbox.http_listen is set, but outbox-http does not serve' END,
		CASE WHEN NOT f.http_serves THEN 'See the server log for what outbox-http says.' END
	FROM outbox.server_facts() f
	WHERE f.preloaded AND coalesce(current_setting('outbox.http_listen', true), '') <> '';
$$;

-- Our replication slot: without it WAL that is needed goes away.
CREATE FUNCTION outbox.check_slot(
	OUT severity text, OUT object text, OUT problem text, OUT hint text)
	RETURNS SETOF record
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	slot record;
	held bigint;
	budget bigint;
	idle text := current_setting('idle_replication_slot_timeout', true);
BEGIN
	SELECT s.*, to_jsonb(s) ->> 'invalidation_reason' AS why INTO slot
	FROM pg_replication_slots s
	WHERE s.slot_name = 'outbox_' ||
		(SELECT d.oid FROM pg_database d WHERE d.datname = current_database());
	object := 'replication slot';
	IF slot.slot_name IS NULL THEN
		severity := 'error';
		problem := 'there is none: WAL that is not published may go away';
		hint := 'The relay makes it again when it starts, if the WAL is still there. Cluster managers drop slots that they do not know (Patroni: see ignore_slots).';
		RETURN NEXT;
		RETURN;
	END IF;
	object := format('replication slot %s', slot.slot_name);
	IF slot.wal_status = 'lost' THEN
		severity := 'error';
		problem := format('it was invalidated (%s): WAL that it held may be gone',
			coalesce(slot.why, 'max_slot_wal_keep_size'));
		hint := 'See outbox.status(): the state is gap if events were lost.';
		RETURN NEXT;
	ELSIF slot.wal_status = 'unreserved' THEN
		severity := 'error';
		problem := 'it holds more than max_slot_wal_keep_size: the next checkpoint takes WAL away';
		hint := 'Have Kafka back, or raise max_slot_wal_keep_size now.';
		RETURN NEXT;
	END IF;
	IF NOT pg_is_in_recovery() THEN
		held := pg_wal_lsn_diff(pg_current_wal_flush_lsn(), slot.restart_lsn);
		budget := pg_size_bytes(nullif(current_setting('max_slot_wal_keep_size'), '-1'));
		IF slot.wal_status IN ('lost', 'unreserved') THEN
			NULL;
		ELSIF budget IS NULL THEN
			severity := 'info';
			problem := format('it keeps %s of WAL, without a limit', pg_size_pretty(held));
			hint := 'max_slot_wal_keep_size bounds it, at the price of events that were not published by then.';
			RETURN NEXT;
		ELSE
			severity := CASE WHEN held > budget * 0.8 THEN 'error' WHEN held > budget * 0.5 THEN 'warning' ELSE 'ok' END;
			problem := format('it keeps %s of WAL, max_slot_wal_keep_size is %s', pg_size_pretty(held), pg_size_pretty(budget));
			hint := CASE WHEN severity <> 'ok' THEN 'Beyond that WAL is taken away, and events with it: see why the relay does not get on.' END;
			RETURN NEXT;
		END IF;
	END IF;
	SELECT s.retained_wal_bytes, s.max_retained_wal_bytes INTO held, budget FROM outbox.status() s;
	IF held > budget * 0.5 THEN
		object := 'outbox.max_retained_wal';
		severity := CASE WHEN held > budget * 0.8 THEN 'error' ELSE 'warning' END;
		problem := format('%s of %s of WAL are kept', pg_size_pretty(held), pg_size_pretty(budget));
		hint := 'At 90 % WAL is released for what the event log has; events that are not logged hold it further. See why the relay does not get on.';
		RETURN NEXT;
	END IF;
	IF idle IS NOT NULL AND idle <> '0' THEN
		object := 'idle_replication_slot_timeout';
		severity := 'warning';
		problem := format('a slot that is not used for %s is invalidated', idle);
		hint := 'While Kafka is away for that long, ours may be: set it to 0.';
		RETURN NEXT;
	END IF;
END
$$;

-- The event log and its writer.
CREATE FUNCTION outbox.check_log(
	OUT severity text, OUT object text, OUT problem text, OUT hint text)
	RETURNS SETOF record
	LANGUAGE sql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
AS $$
	WITH l AS (SELECT r.* FROM outbox.log_rows() r
		WHERE r.datid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
	SELECT 'info', 'event log', 'it is switched off',
		'Set outbox.event_log = on to replay events, and to bound WAL while Kafka is away.'
	WHERE current_setting('outbox.event_log', true) = 'off'
	UNION ALL
	SELECT CASE WHEN l.failing THEN 'error' ELSE 'ok' END, 'event log',
		CASE WHEN l.failing THEN format('it cannot be written: %s', l.last_error)
			ELSE format('it is written; %s blocks since the server started', l.blocks) END,
		CASE WHEN l.failing THEN 'Events are published all the same, but cannot be replayed, and WAL is kept for them.' END
	FROM l WHERE current_setting('outbox.event_log', true) = 'on'
	UNION ALL
	SELECT 'warning', 'event log', format('it has %s holes since the server started', l.holes),
		'WAL was gone before it was in the log: see the server''s log, and outbox.max_retained_wal.'
	FROM l WHERE l.holes > 0
	UNION ALL
	SELECT 'warning', 'outbox.gap', format('events of commits from %s to %s were given up', g.from_lsn, g.to_lsn),
		'What was lost then is for you to make good; delete the row when it is.'
	FROM outbox.gap g
$$;

-- The relay of this database, and what it has seen.
CREATE FUNCTION outbox.check_relay(
	OUT severity text, OUT object text, OUT problem text, OUT hint text)
	RETURNS SETOF record
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	s record;
	r record;
BEGIN
	SELECT * INTO s FROM outbox.status();
	SELECT * INTO r FROM outbox.relay_rows() x
	WHERE x.datid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database());
	object := 'relay';
	severity := CASE
		WHEN s.state = 'streaming' THEN 'ok'
		WHEN s.state IN ('standby', 'starting', 'connecting', 'taking_over') THEN 'info'
		WHEN s.state IN ('paused', 'waiting_for_standby') THEN 'warning'
		ELSE 'error' END;
	problem := format('state %s%s', s.state, ': ' || s.reason);
	hint := CASE
		WHEN s.state = 'paused' THEN 'outbox.resume() goes on.'
		WHEN s.state = 'waiting_for_standby' THEN 'See synchronous_standby_names and pg_stat_replication.'
		WHEN s.state IN ('position_unreadable', 'other_instance', 'diverged', 'gap', 'kafka_lost', 'clone', 'fenced')
			THEN 'It waits for outbox.adopt(reason) or outbox.restart(); see docs/states.md.'
		WHEN severity = 'error' THEN 'See docs/states.md.' END;
	RETURN NEXT;
	IF s.last_error IS NOT NULL AND s.reason IS DISTINCT FROM s.last_error THEN
		severity := 'info';
		problem := format('last error, at %s: %s', date_trunc('second', s.last_error_at), s.last_error);
		hint := NULL;
		RETURN NEXT;
	END IF;
	IF s.dead_letters > 0 THEN
		severity := 'warning';
		object := 'dead letters';
		problem := format('%s events are parked, since %s', s.dead_letters, date_trunc('second', s.dead_letters_since));
		hint := 'See outbox.dead_letter for why.';
		RETURN NEXT;
	END IF;
	IF r.forged_messages > 0 THEN
		severity := 'warning';
		object := 'relay';
		problem := format('%s messages in WAL were not ours and were ignored', r.forged_messages);
		hint := 'Somebody calls pg_logical_emit_message() with the prefix outbox.';
		RETURN NEXT;
	END IF;
	IF r.split_transactions > 0 THEN
		severity := 'info';
		object := 'relay';
		problem := format('%s transactions did not fit into one Kafka transaction', r.split_transactions);
		hint := 'See outbox.max_kafka_txn_events.';
		RETURN NEXT;
	END IF;
END
$$;

-- Who is trusted with the predefined roles of src/catalog/roles.sql.
CREATE FUNCTION outbox.check_roles(
	OUT severity text, OUT object text, OUT problem text, OUT hint text)
	RETURNS SETOF record
	LANGUAGE sql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT 'warning', format('role %s', n), 'it is gone, and with it what was granted to it',
		'See docs/security.md for what it had.'
	FROM unnest(ARRAY['outbox_admin', 'outbox_emitter', 'outbox_monitor']) n
	WHERE NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = n)
	UNION ALL
	SELECT 'warning', format('role %s', r.rolname), 'it can log in, or may more than what is granted to it',
		'Outbox made none such: see who did, then ALTER ROLE ... NOLOGIN NOSUPERUSER NOCREATEROLE NOREPLICATION NOBYPASSRLS.'
	FROM pg_roles r
	WHERE r.rolname IN ('outbox_admin', 'outbox_emitter', 'outbox_monitor')
		AND (r.rolcanlogin OR r.rolsuper OR r.rolcreaterole OR r.rolreplication OR r.rolbypassrls)
	UNION ALL
	SELECT 'info', 'role outbox_admin', format('its members: %s', m.names),
		'They may change every event type, and stop publishing: be sure that all of them should.'
	FROM pg_roles r, LATERAL (
			SELECT string_agg(quote_ident(x.rolname), ', ' ORDER BY x.rolname COLLATE "C")
			FROM pg_roles x
			WHERE x.oid <> r.oid AND NOT x.rolsuper AND pg_has_role(x.oid, r.oid, 'MEMBER')) m (names)
	WHERE r.rolname = 'outbox_admin' AND m.names IS NOT NULL;
$$;

-- What is open for long: the position cannot pass the first event of a
-- transaction that has not ended.
CREATE FUNCTION outbox.check_transactions(long_transaction interval,
	OUT severity text, OUT object text, OUT problem text, OUT hint text)
	RETURNS SETOF record
	LANGUAGE sql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN coalesce(r.open_transactions, 0) > 0 THEN 'warning' ELSE 'info' END,
		t.object, format('open since %s', date_trunc('second', t.since)),
		t.hint || ' If it wrote events, WAL from there on is kept and read again after a restart.'
	FROM (SELECT format('transaction of process %s (%s)', a.pid, a.usename), a.xact_start,
			'Have it end, or pg_terminate_backend() it.'
		FROM pg_stat_activity a
		WHERE a.datname = current_database() AND a.backend_xid IS NOT NULL
			AND a.pid <> pg_backend_pid()
			AND a.xact_start < clock_timestamp() - long_transaction
		UNION ALL
		SELECT format('prepared transaction %s', quote_literal(p.gid)), p.prepared,
			'COMMIT PREPARED or ROLLBACK PREPARED it.'
		FROM pg_prepared_xacts p
		WHERE p.database = current_database()
			AND p.prepared < clock_timestamp() - long_transaction) t (object, since, hint)
	LEFT JOIN outbox.relay_rows() r ON r.datid =
		(SELECT d.oid FROM pg_database d WHERE d.datname = current_database());
$$;

-- Event types, and the tables whose rows or changes are events.
CREATE FUNCTION outbox.check_tables(
	OUT severity text, OUT object text, OUT problem text, OUT hint text)
	RETURNS SETOF record
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	r record;
BEGIN
	FOR r IN SELECT e.evtname FROM pg_event_trigger e
		JOIN pg_depend d ON d.classid = 'pg_event_trigger'::regclass AND d.objid = e.oid AND d.deptype = 'e'
			AND d.refclassid = 'pg_extension'::regclass
		JOIN pg_extension x ON x.oid = d.refobjid AND x.extname = 'outbox'
		WHERE e.evtenabled NOT IN ('O', 'A') ORDER BY 1
	LOOP
		severity := 'error';
		object := format('event trigger %s', r.evtname);
		problem := 'it is disabled: DDL is not checked, and schemas do not follow tables';
		hint := format('ALTER EVENT TRIGGER %I ENABLE; then look again for event types that no longer fit.', r.evtname);
		RETURN NEXT;
	END LOOP;
	FOR r IN SELECT w.relation, w.what, w.name, t.tgenabled, t.tgname
		FROM (SELECT a.relation, 'attached', unnest(ARRAY['outbox_emit_row', 'outbox_refuse_update'])
			FROM outbox.attached_table a
			UNION ALL
			SELECT c.relation, 'captured', unnest(ARRAY['outbox_capture_insert', 'outbox_capture_update',
				'outbox_capture_delete', 'outbox_capture_truncate'])
			FROM outbox.capture_def c WHERE c.mode = 'trigger') w (relation, what, name)
		LEFT JOIN pg_trigger t ON t.tgrelid = w.relation AND t.tgname = w.name
		WHERE t.tgenabled IS NULL OR t.tgenabled NOT IN ('O', 'A') ORDER BY 1, 3
	LOOP
		severity := 'error';
		object := format('%s table %s', r.what, r.relation::regclass);
		problem := CASE
			WHEN r.tgname IS NULL THEN format('trigger %s is missing: its rows are no events', r.name)
			WHEN r.tgenabled = 'R' THEN format('trigger %s fires for replicated rows only', r.name)
			ELSE format('trigger %s is disabled: its rows are no events', r.name) END;
		hint := CASE
			WHEN r.tgname IS NOT NULL THEN format('ALTER TABLE %s ENABLE TRIGGER %I; what was written meanwhile was not published.', r.relation::regclass, r.name)
			WHEN r.what = 'attached' THEN 'outbox.detach_table() and outbox.attach_table() it again.'
			ELSE 'outbox.uncapture() and outbox.capture() it again.' END;
		RETURN NEXT;
	END LOOP;
	FOR r IN SELECT t.name, t.row_type, t.schema_id FROM outbox.event_type_def t
		WHERE t.row_type IS NOT NULL AND t.schema_id IS NOT NULL ORDER BY 1
	LOOP
		severity := NULL;
		BEGIN
			IF outbox.row_type_drifted(r.row_type, r.schema_id) THEN
				severity := 'error';
				problem := format('its schema no longer fits its row type %s', r.row_type::regtype);
			END IF;
		EXCEPTION WHEN OTHERS THEN
			severity := 'error';
			problem := format('its row type has no schema any more: %s', SQLERRM);
		END;
		object := format('event type %s', r.name);
		hint := 'Set it anew with outbox.alter_event_type(name, row_type => ...), as DDL would have done.';
		IF severity IS NOT NULL THEN
			RETURN NEXT;
		END IF;
	END LOOP;
	IF EXISTS (SELECT FROM outbox.capture_def c WHERE c.mode = 'log') THEN
		severity := 'error';
		object := 'log capture';
		IF current_setting('wal_level') <> 'logical' THEN
			problem := 'tables are captured from WAL, and wal_level is not logical';
			hint := 'Set wal_level = logical and restart the server.';
			RETURN NEXT;
		END IF;
		IF 'outbox' <> ALL (regexp_split_to_array(current_setting('output_plugin_libraries', true), '\s*,\s*')) THEN
			problem := 'tables are captured from WAL, and output_plugin_libraries does not name outbox';
			hint := 'Add outbox to output_plugin_libraries and reload: it refuses to run anywhere but in the relay.';
			RETURN NEXT;
		END IF;
	END IF;
END
$$;

-- What the relay last had found out about Kafka, or why nothing.
CREATE FUNCTION outbox.check_kafka(wait interval,
	OUT severity text, OUT object text, OUT problem text, OUT hint text,
	OUT checked_at timestamptz)
	RETURNS SETOF record
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	asked timestamptz := clock_timestamp();
	seen timestamptz;
BEGIN
	IF pg_is_in_recovery() THEN
		RETURN;
	END IF;
	RETURN QUERY SELECT * FROM outbox.kafka_findings(wait);
	SELECT max(f.checked_at) INTO seen FROM outbox.kafka_findings(NULL) f;
	object := 'kafka';
	checked_at := clock_timestamp();
	IF seen IS NULL THEN
		severity := 'info';
		problem := 'nobody has looked at it since the server started';
		hint := 'The relay looks when it is at work; see its state.';
		RETURN NEXT;
	ELSIF seen < asked THEN
		severity := 'info';
		problem := format('what is said of it is %s old', date_trunc('second', asked - seen));
		hint := 'The relay could not look now: see its state, or give it longer with check(wait => ...).';
		RETURN NEXT;
	END IF;
	object := 'consumers';
	severity := 'info';
	IF current_setting('outbox.delivery') = 'exactly_once' THEN
		problem := 'they see each event once only with isolation.level = read_committed';
		hint := 'It is not the default of Java clients. See docs/consuming.md.';
	ELSE
		problem := 'with outbox.delivery = at_least_once they may see events again';
		hint := 'The header id tells. See docs/consuming.md.';
	END IF;
	RETURN NEXT;
END
$$;

-- One row per finding, the worst first.  Waits at most so long for the relay to
-- look at Kafka; checked_at says how old it is.
CREATE FUNCTION outbox.check(wait interval DEFAULT '5 s',
	long_transaction interval DEFAULT '5 min',
	OUT severity text, OUT object text, OUT problem text, OUT hint text,
	OUT checked_at timestamptz)
	RETURNS SETOF record
	LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT f.severity, f.object, f.problem, f.hint, f.checked_at
	FROM (SELECT 1, c.*, clock_timestamp() FROM outbox.check_server() c
		UNION ALL
		SELECT 2, c.*, clock_timestamp() FROM outbox.check_slot() c
		UNION ALL
		SELECT 3, c.*, clock_timestamp() FROM outbox.check_relay() c
		UNION ALL
		SELECT 3, c.*, clock_timestamp() FROM outbox.check_log() c
		UNION ALL
		SELECT 4, c.*, clock_timestamp() FROM outbox.check_transactions(long_transaction) c
		UNION ALL
		SELECT 5, c.*, clock_timestamp() FROM outbox.check_tables() c
		UNION ALL
		SELECT 6, c.*, clock_timestamp() FROM outbox.check_roles() c
		UNION ALL
		SELECT 7, c.* FROM outbox.check_kafka(wait) c)
		f (area, severity, object, problem, hint, checked_at)
	ORDER BY array_position(ARRAY['error', 'warning', 'info', 'ok'], f.severity),
		f.area, f.object, f.problem;
$$;
REVOKE ALL ON FUNCTION outbox.check_server(), outbox.check_slot(),
	outbox.check_relay(), outbox.check_log(), outbox.check_transactions(interval),
	outbox.check_tables(), outbox.check_roles(), outbox.check_kafka(interval),
	outbox.check(interval, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outbox.check(interval, interval) TO outbox_admin, outbox_monitor;
COMMENT ON FUNCTION outbox.check(interval, interval) IS
	'what is wrong, or might become so, with this server, this database and its Kafka';
