-- Dead letters as SQL sees them: the option, the view, sending them again, giving
-- them up.  How they come to be is in test/t/351_dead_letter.pl, what becomes of
-- those that are sent again in test/t/353_dead_letter_retry.pl.
\set VERBOSITY default
\set SHOW_CONTEXT errors
SELECT outbox.create_event_type('parks', format => 'json', on_error => 'dead_letter', topic => 'parks.t');
SELECT name, on_error FROM outbox.event_types;
SELECT outbox.alter_event_type('parks', on_error => 'block');
SELECT outbox.alter_event_type('parks', on_error => 'no');
SELECT name, on_error FROM outbox.event_types;
SELECT id, on_error FROM outbox.route ORDER BY id;
SELECT count(*), min(dead_letters), min(dead_letters_since) FROM outbox.status();

-- the relay writes these
INSERT INTO outbox.parked_event (commit_lsn, ordinal, commit_time, route_id, event_id, topic, partition,
	key, headers, value, lane, blocked_by, reason, code, parked_at)
VALUES
	('0/10', 1, '2026-01-01 UTC', 1, '01890a5d-ac96-774b-bcce-b302099a8057', 'parks.t', NULL,
		convert_to('k', 'UTF8'), '\x0200060074656e616e74050000006e6f727468010078ffffffff',
		convert_to('{"n": 1}', 'UTF8'), 7, NULL, 'too large', 10, '2026-01-01 00:00:01 UTC'),
	('0/10', 2, '2026-01-01 UTC', 1, '01890a5d-ac96-774b-bcce-b302099a8058', 'parks.t', 3,
		NULL, NULL, NULL, 8, 1, NULL, NULL, '2026-01-01 00:00:02 UTC');
SET TIME ZONE 'UTC';
SELECT id, event_type, event_id, topic, key, partition, headers, convert_from(value, 'UTF8') AS value
FROM outbox.dead_letter ORDER BY id;
SELECT id, reason, code, blocked_by, commit_lsn, ordinal, parked_at, discarded_at FROM outbox.dead_letter ORDER BY id;
SELECT dead_letters, dead_letters_since FROM outbox.status();
-- a place is parked once
INSERT INTO outbox.parked_event (commit_lsn, ordinal, commit_time, route_id, event_id, topic, parked_at)
VALUES ('0/10', 2, '2026-01-01 UTC', 1, '01890a5d-ac96-774b-bcce-b302099a8059', 'parks.t', '2026-01-01 UTC');
SELECT outbox.header_block_json('\x01');
SELECT outbox.header_block_json('\x0000'), outbox.header_block_json(NULL);

-- sending again: a marker in the caller's transaction, nothing else
SELECT outbox.retry_dead_letter(1);
SELECT outbox.retry_dead_letter(2);
SELECT outbox.retry_dead_letter('parks.t', 'k');
SELECT outbox.retry_dead_letter('parks.t', NULL);
SELECT outbox.retry_dead_letters(), outbox.retry_dead_letters('parks.t'), outbox.retry_dead_letters('other');
SELECT outbox.retry_dead_letter(NULL);
SELECT outbox.retry_dead_letter(99);
SELECT outbox.retry_dead_letter('parks.t', 'other');
SELECT outbox.retry_dead_letter(NULL, NULL);
SELECT id, state, retries, published_at FROM outbox.dead_letter ORDER BY id;
BEGIN READ ONLY;
SELECT outbox.retry_dead_letter(1);
ROLLBACK;
-- the relay does this while it sends one, and when it has
BEGIN;
UPDATE outbox.parked_event SET retry_lsn = '0/20', retry_ordinal = 1 WHERE id = 1;
SELECT id, state FROM outbox.dead_letter ORDER BY id;
SELECT dead_letters FROM outbox.status();
SAVEPOINT s;
SELECT outbox.retry_dead_letter(1);
ROLLBACK TO s;
SELECT outbox.discard_dead_letter(1, 'late');
ROLLBACK TO s;
UPDATE outbox.parked_event SET published_at = '2026-01-02 UTC', lane = NULL WHERE id = 1;
SELECT id, state FROM outbox.dead_letter ORDER BY id;
SELECT dead_letters FROM outbox.status();
SELECT outbox.retry_dead_letters();
SAVEPOINT s;
SELECT outbox.retry_dead_letter(1);
ROLLBACK TO s;
SELECT outbox.discard_dead_letter(1, 'late');
ROLLBACK TO s;
-- the newest event and the newest retry are kept
SELECT outbox.purge_dead_letters(now());
INSERT INTO outbox.parked_event (commit_lsn, ordinal, commit_time, route_id, event_id, topic, parked_at, retry_lsn, retry_ordinal, published_at)
VALUES ('0/10', 3, '2026-01-01 UTC', 1, '01890a5d-ac96-774b-bcce-b302099a8060', 'parks.t', '2026-01-01 UTC', '0/30', 1, '2026-01-03 UTC');
SELECT outbox.purge_dead_letters('2026-01-02 00:00 UTC'), outbox.purge_dead_letters('infinity');
SELECT id, state FROM outbox.dead_letter ORDER BY id;
ROLLBACK;

-- giving up
SELECT outbox.discard_dead_letter(1, NULL);
SELECT outbox.discard_dead_letter(1, '');
SELECT outbox.discard_dead_letter(99, 'no use');
SELECT outbox.discard_dead_letter(NULL, 'no use');
SELECT outbox.discard_dead_letter(1, 'sent by mail');
SELECT outbox.discard_dead_letter(1, 'once more');
SELECT id, discarded_at IS NOT NULL AS discarded, discarded_by = session_user AS by_me, discard_reason, reason
FROM outbox.dead_letter ORDER BY id;
SELECT dead_letters, dead_letters_since FROM outbox.status();

-- a copy is somebody else, and has none
SELECT outbox.new_identity() IS NOT NULL;
SELECT id, discarded_at IS NOT NULL AS discarded, discard_reason FROM outbox.dead_letter ORDER BY id;

-- rights
CREATE ROLE regress_outbox_letters;
GRANT USAGE ON SCHEMA outbox TO regress_outbox_letters;
SET ROLE regress_outbox_letters;
SELECT count(*) FROM outbox.dead_letter;
SELECT count(*) FROM outbox.parked_event;
SELECT outbox.discard_dead_letter(2, 'no right');
SELECT outbox.retry_dead_letter(2);
SELECT outbox.retry_dead_letter('parks.t', NULL);
SELECT outbox.retry_dead_letters();
SELECT outbox.purge_dead_letters(now());
RESET ROLE;
GRANT SELECT ON outbox.dead_letter TO regress_outbox_letters;
GRANT EXECUTE ON FUNCTION outbox.header_block_json(bytea), outbox.discard_dead_letter(bigint, text) TO regress_outbox_letters;
SET ROLE regress_outbox_letters;
SELECT count(headers) FROM outbox.dead_letter;
SELECT outbox.discard_dead_letter(2, 'was');
RESET ROLE;
DROP OWNED BY regress_outbox_letters;
DROP ROLE regress_outbox_letters;
