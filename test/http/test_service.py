#!/usr/bin/env python3
"""Life of outbox-http: started, watched, replaced and ended by the launcher;
what it says while the database is away; metrics and health."""
import json
import os
import re
import signal
import subprocess
import time

from httptest import ROOT, Server, free_port, parent, run, test, wait_for

server = Server(writes=True)


def up(port=None):
    return server.ask("GET", "/health", timeout=5).status == 200


def refuses(port):
    try:
        Server.ask(server, "GET", "/health") if port == server.port else None
        import socket
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
        return False
    except ConnectionRefusedError:
        return True


def gone(pid):
    wait_for(lambda: not os.path.exists("/proc/%d" % pid), 15, "the end of process %d" % pid)


def register(subject, schema):
    answer = server.ask("POST", "/subjects/%s/versions" % subject, {"schema": schema})
    assert answer.status == 200, answer
    return answer.json["id"]


@test("it is the launcher's child, knows nothing of the server and shows nothing")
def child():
    pid = server.pid()
    with open("/proc/%d/cmdline" % pid, "rb") as f:
        argv = f.read().split(b"\0")
    assert argv[1:] == [b"serve", b"--fd", b"3", b""], argv
    with open("/proc/%d/maps" % pid) as f:
        maps = f.read()
    assert "/dev/zero" not in maps and "PostgreSQL" not in maps and "/SYSV" not in maps
    fds = {os.readlink("/proc/%d/fd/%s" % (pid, n)) for n in os.listdir("/proc/%d/fd" % pid)}
    assert not any(server.dir + "/data" in f for f in fds), fds
    with open("/proc/%d/status" % pid) as f:
        status = dict(line.split(":\t", 1) for line in f.read().splitlines() if ":\t" in line)
    assert int(status["SigBlk"], 16) == 0, status["SigBlk"]
    assert os.getpgid(pid) == pid


@test("killed with -9 it comes back, and the server never notices")
def killed():
    before = server.postmaster()
    session = server.connect()
    for _ in range(3):
        pid = server.pid()
        os.kill(pid, signal.SIGKILL)
        gone(pid)
        wait_for(lambda: server.pid() not in (None, pid), 40, "another outbox-http")
        server.wait_up()
    assert session.execute("SELECT 1").fetchone() == (1,), "a session lost its server"
    assert server.postmaster() == before
    assert "terminating any other active server processes" not in server.log()
    session.close()


@test("SIGSEGV and SIGTERM are no different")
def signalled():
    for number in signal.SIGSEGV, signal.SIGTERM:
        pid = server.pid()
        os.kill(pid, number)
        gone(pid)
        wait_for(lambda: server.pid() not in (None, pid), 60, "another outbox-http")
        server.wait_up()


@test("a changed setting replaces it, an empty one ends it")
def settings():
    old, other = server.port, free_port()
    pid = server.pid()
    server.set(http_listen=str(other))
    wait_for(lambda: refuses(old), 15, "the end of the old port")
    server.port = other
    server.wait_up()
    gone(pid)
    server.set(http_listen="%d, 127.0.0.1:%d" % (old, other))
    server.port = old
    server.wait_up()
    server.port = other
    server.wait_up()
    pid = server.pid()
    server.set(http_listen="")
    gone(pid)
    assert refuses(old) and refuses(other)
    time.sleep(1)
    assert server.pid() is None
    server.port = old
    server.set(http_listen=None)
    server.wait_up()


@test("a reload that changes nothing leaves it alone")
def reload():
    pid = server.pid()
    server.sql("SELECT pg_reload_conf()")
    time.sleep(1)
    assert server.pid() == pid and up()


@test("writes off: no change over HTTP, whatever the role may do")
def read_only():
    register("w", '"int"')
    server.set(http_writes="off")
    wait_for(lambda: server.ask("PUT", "/config/w", {"compatibility": "NONE"}).status == 422, 20, "writes off")
    for method, path, body in (("POST", "/subjects/w/versions", {"schema": '"long"'}), ("DELETE", "/subjects/w", None),
                               ("DELETE", "/subjects/w/versions/1", None), ("PUT", "/config", {"compatibility": "NONE"}),
                               ("PUT", "/mode", {"mode": "READONLY"}), ("DELETE", "/config/w", None),
                               ("DELETE", "/mode/w", None)):
        answer = server.ask(method, path, body)
        assert answer.status == 422 and answer.json["error_code"] == 42205, (method, path, answer)
    assert server.ask("POST", "/subjects/w", {"schema": '"int"'}).status == 200
    assert server.ask("POST", "/compatibility/subjects/w/versions", {"schema": '"int"'}).status == 200
    server.set(http_writes=None)
    wait_for(lambda: server.ask("PUT", "/config/w", {"compatibility": "FULL"}).status == 200, 20, "writes on")


@test("a role that may only read gets no further with writes on")
def role():
    server.sql("SELECT outbox.revoke_registry('outbox_http')", "SELECT outbox.grant_registry('outbox_http')")
    answer = server.ask("POST", "/subjects/w/versions", {"schema": '"long"'})
    assert answer.status == 403 and answer.json["error_code"] == 40301, answer
    assert server.ask("GET", "/subjects").status == 200
    server.sql("SELECT outbox.revoke_registry('outbox_http')")
    assert server.ask("GET", "/subjects").status == 403
    assert server.ask("GET", "/health").status == 503
    server.sql("SELECT outbox.grant_registry('outbox_http', true)")
    assert server.ask("POST", "/subjects/w/versions", {"schema": '"int"'}).status == 200


@test("the role sees nothing but schemas")
def role_sees():
    for query in ("SELECT * FROM outbox.secret", "SELECT * FROM outbox.instance", "SELECT * FROM outbox.schema",
                  "SELECT * FROM outbox.event_type_def", "SELECT * FROM outbox.event_type_grant",
                  "INSERT INTO outbox.subject (name) VALUES ('x')", "SELECT outbox.pause()",
                  "SELECT * FROM outbox.attached_table", "DELETE FROM outbox.schema_version"):
        try:
            server.sql(query, user="outbox_http")
        except Exception as e:
            assert "permission denied" in str(e), (query, e)
        else:
            raise AssertionError(query)


@test("its password is neither in the setting nor anywhere to be seen")
def password():
    for bad in "host=/tmp password=canary", "password = canary", "postgres://u:canary@h/db", "host=x PassWord  =y":
        try:
            server.sql("ALTER SYSTEM SET outbox.http_conninfo = '%s'" % bad)
        except Exception as e:
            assert "outbox.http_conninfo" in str(e), e
        else:
            raise AssertionError(bad)
    server.sql("ALTER SYSTEM SET outbox.http_conninfo = 'host=/tmp passfile=/x user=y'",
               "ALTER SYSTEM RESET outbox.http_conninfo", "CREATE ROLE nobody LOGIN")
    for name in "listen", "conninfo", "config_file", "database", "program", "writes":
        try:
            server.sql("SHOW outbox.http_" + name, user="nobody")
        except Exception as e:
            assert "pg_read_all_settings" in str(e) or "must be superuser" in str(e), e
        else:
            raise AssertionError(name)


def metrics():
    answer = server.ask("GET", "/metrics", headers={"Accept": "text/plain"})
    assert answer.status == 200 and answer.headers["Content-Type"].startswith("text/plain; version=0.0.4"), answer
    values, types = {}, {}
    for line in answer.body.decode().splitlines():
        if line.startswith("# TYPE"):
            _, _, name, kind = line.split()
            assert name not in types, "%s twice" % name
            types[name] = kind
        elif not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            assert name not in values, line
            values[name] = float(value)
            family = name.split("{")[0]
            assert family in types or family.rpartition("_")[0] in types, line
    return values, types


@test("metrics: every number of stat_relay, stat_topic and status(), and its own")
def metrics_complete():
    answer = server.ask("GET", "/metrics")
    assert answer.status == 200 and b"outbox_relay" not in answer.body and \
        b"\noutbox_up 1\n" in answer.body, "rights that nobody gave"
    server.sql("GRANT EXECUTE ON FUNCTION outbox.status(), outbox.relay_rows(), outbox.topic_rows(), outbox.log_rows() TO outbox_http",
               "GRANT EXECUTE ON FUNCTION outbox.latency_bucket_rows() TO outbox_http",
               "GRANT SELECT ON outbox.stat_relay, outbox.stat_topic, outbox.stat_log, outbox.stat_latency_bucket TO outbox_http")
    values, types = metrics()
    assert values["outbox_up"] == 1
    rows = server.sql("""SELECT p || a.attname || CASE
            WHEN a.attname IN ('events', 'transactions', 'kafka_transactions', 'bytes', 'forged_messages',
                'split_transactions', 'spilled_transactions', 'blocks', 'left_out', 'dropped_blocks', 'holes') THEN '_total'
            WHEN a.atttypid = 'timestamptz'::regtype THEN '_seconds' ELSE '' END
        FROM (VALUES ('outbox.stat_relay', 'outbox_relay_'), ('outbox.stat_topic', 'outbox_topic_'), ('outbox.stat_log', 'outbox_log_')) v (view, p)
            JOIN pg_attribute a ON a.attrelid = v.view::regclass
        WHERE a.atttypid IN ('int4'::regtype, 'int8'::regtype, 'float8'::regtype, 'pg_lsn'::regtype,
            'timestamptz'::regtype)""")
    assert len(rows) > 20
    for name in rows:
        assert name in types, name
    for column in "lag_bytes", "lag_ms", "retained_wal_bytes", "state_since_seconds", "published_lsn", "events_total":
        assert "outbox_status_" + column in types, column
    assert any(n.startswith('outbox_relay_state{datname="postgres",state="') and v == 1 for n, v in values.items())
    since = values['outbox_relay_state_since_seconds{datname="postgres"}']
    assert abs(since - time.time()) < 600, since
    wal = int(server.sql("SELECT retained_wal_bytes FROM outbox.status()")[0])
    assert abs(values['outbox_status_retained_wal_bytes{datname="postgres"}'] - wal) < 16 << 20
    before = values['outbox_http_answers_total{code="404"}']
    server.ask("GET", "/nothing")
    assert metrics()[0]['outbox_http_answers_total{code="404"}'] == before + 1
    latency = "outbox_publish_latency_seconds"
    assert types.pop(latency) == "histogram"
    rows = [n for n in values if n.startswith(latency + '_bucket{datname="postgres",le="')]
    assert len(rows) == 23 and rows[0].endswith('le="0.001"}') and rows[-1].endswith('le="+Inf"}'), rows
    assert values[rows[-1]] == values[latency + '_count{datname="postgres"}']
    assert latency + '_sum{datname="postgres"}' in values
    assert types["outbox_http_answers_total"] == "counter" and types["outbox_relay_lag_bytes"] == "gauge"


@test("metrics: the dashboard and the alert rules name what is there")
def metrics_documented():
    _, types = metrics()
    docs = os.path.join(ROOT, "docs")
    with open(os.path.join(docs, "grafana-dashboard.json")) as file:
        dashboard = json.load(file)
    with open(os.path.join(docs, "prometheus-alerts.yml")) as file:
        rules = file.read()
    with open(os.path.join(docs, "monitoring.md")) as file:
        page = file.read()
    asked = [t["expr"] for panel in dashboard["panels"] for t in panel["targets"]]
    asked += re.findall(r"^ +expr: (.*)$", rules, re.M)
    assert len(asked) > 25, asked
    for expr in asked:
        names = re.findall(r"\boutbox_\w+", expr)
        assert names, expr
        for name in names:
            assert name in types or types.get(name[:-len("_bucket")]) == "histogram", name
    alerts = re.findall(r"alert: (\w+)", rules)
    assert sorted(alerts) == sorted(re.findall(r"^\| `(Outbox\w+)` \|", page, re.M)), alerts


@test("database away: schemas by id from memory, 503 for the rest, and back by itself")
def away():
    id = register("kept", '"float"')
    other = register("unseen", '"double"')
    assert server.ask("GET", "/schemas/ids/%d" % id).status == 200
    pid = server.pid()
    server.sql("ALTER ROLE outbox_http NOLOGIN",
               "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'outbox_http'")
    answer = server.ask("GET", "/subjects")
    assert answer.status == 503 and answer.json["error_code"] == 50001 and answer.headers["Retry-After"], answer
    assert "permitted to log in" not in answer.json["message"], "an answer tells what the log is for"
    assert server.ask("GET", "/schemas/ids/%d" % id).json == {"schema": '"float"'}
    assert server.ask("GET", "/schemas/ids/%d/schema" % id).body == b'"float"'
    assert server.ask("GET", "/schemas/ids/%d" % other).status == 503
    assert server.ask("GET", "/health").status == 503
    assert metrics()[0]["outbox_up"] == 0
    began = time.monotonic()
    for _ in range(50):
        assert server.ask("GET", "/subjects").status == 503
    assert time.monotonic() - began < 10, "requests wait for a database that is away"
    server.wait_log("could not connect to database")
    server.sql("ALTER ROLE outbox_http LOGIN")
    wait_for(lambda: server.ask("GET", "/subjects").status == 200, 30, "the database")
    assert server.pid() == pid


@test("a connection that was cut while idle is no one's trouble")
def cut():
    for _ in range(5):
        assert server.ask("GET", "/subjects").status == 200
        server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'outbox_http'")
        time.sleep(0.1)
        answer = server.ask("POST", "/subjects/kept/versions", {"schema": '"float"'})
        assert answer.status == 200, answer


@test("a database that hangs does not hold what memory knows")
def hanging():
    id = register("kept", '"float"')
    assert server.ask("GET", "/schemas/ids/%d" % id).status == 200
    with server.connect() as c:
        c.execute("BEGIN; LOCK outbox.schema_version, outbox.subject IN ACCESS EXCLUSIVE MODE")
        import threading
        seen = []
        threads = [threading.Thread(target=lambda: seen.append(server.ask("GET", "/subjects", timeout=60)))
                   for _ in range(12)]
        for t in threads:
            t.start()
        time.sleep(0.5)
        began = time.monotonic()
        assert server.ask("GET", "/schemas/ids/%d" % id).status == 200
        assert time.monotonic() - began < 2
        for t in threads:
            t.join()
        assert len(seen) == 12 and all(a.status in (500, 503) and a.json["error_code"] in (50001, 50002) for a in seen), seen
    wait_for(lambda: server.ask("GET", "/subjects").status == 200, 20, "the database")


@test("the server restarts: it goes and comes with it")
def restart():
    for mode in "fast", "immediate":
        pid = server.pid()
        server.stop(mode)
        gone(pid)
        server.start()
        server.wait_up()
        assert server.ask("GET", "/subjects").status == 200


@test("a backend that crashes takes it along, and both come back")
def crash():
    with server.connect() as c:
        pid = server.pid()
        os.kill(c.info.backend_pid, signal.SIGKILL)
    gone(pid)
    wait_for(lambda: server.pid() not in (None, pid), 30, "outbox-http")
    server.wait_up()


@test("a launcher that is stopped ends it and starts another")
def launcher():
    pid = server.pid()
    os.kill(parent(pid), signal.SIGTERM)
    gone(pid)
    server.wait_up()


@test("several databases: the named ones, each below its name")
def databases():
    server.sql("CREATE DATABASE second")
    server.sql("CREATE EXTENSION outbox", "SELECT outbox.grant_registry('outbox_http', true)", db="second")
    time.sleep(6)
    assert server.ask("GET", "/databases/second/subjects").status == 404, "the chosen one stays the only one"
    server.set(http_database="postgres, second")
    wait_for(lambda: server.ask("GET", "/databases/second/subjects").status == 200, 20, "the second database")
    answer = server.ask("POST", "/databases/second/subjects/two/versions", {"schema": '"int"'})
    assert answer.status == 200, answer
    id = answer.json["id"]
    assert server.ask("GET", "/databases/second/schemas/ids/%d" % id).status == 200
    assert server.ask("GET", "/databases/second/subjects").json == ["two"]
    assert "two" not in server.ask("GET", "/subjects").json
    assert server.ask("GET", "/schemas/ids/%d" % id).status == 404, "memory mixes databases"
    assert server.ask("GET", "/databases/postgres/subjects").json == server.ask("GET", "/subjects").json
    server.set(http_database="second")
    wait_for(lambda: server.ask("GET", "/subjects").json == ["two"], 20, "the other root")
    server.set(http_database=None)
    wait_for(lambda: server.ask("GET", "/subjects").json != ["two"], 20, "the first root")


@test("what is wrong with settings is said in the log, and mended by a reload")
def wrong():
    for name, value, text in (("http_listen", "nonsense:port", "neither port nor host:port"),
                              ("http_listen", "0", "neither port nor host:port"),
                              ("http_listen", "127.0.0.1:1x", "neither port nor host:port"),
                              ("http_program", "/nowhere/outbox-http", "could not execute program"),
                              ("http_config_file", server.dir + "/none", "could not open properties file"),
                              ("http_conninfo", "nonsense", "missing \"=\""),
                              ("http_database", ",".join("d%d" % i for i in range(17)), "more than 16 databases")):
        since = len(server.log())
        server.set(**{name: value})
        server.wait_log(text, since)
        server.set(**{name: None})
        server.wait_up()


@test("a port that somebody has: said, tried again, taken when it is free")
def taken():
    import socket
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        since = len(server.log())
        server.set(http_listen=str(s.getsockname()[1]))
        server.wait_log("could not listen on", since)
        server.port = s.getsockname()[1]
    server.wait_up(40)
    server.set(http_listen=None)
    server.port = int(server.settings["outbox.http_listen"])
    server.wait_up()


@test("DROP EXTENSION ends it, CREATE EXTENSION brings it back")
def extension():
    server.sql("DROP EXTENSION outbox", db="second")
    server.sql("DROP DATABASE second WITH (FORCE)")
    pid = server.pid()
    server.sql("DROP EXTENSION outbox")
    gone(pid)
    server.sql("CREATE EXTENSION outbox", "SELECT outbox.grant_registry('outbox_http', true)")
    server.wait_up()
    assert server.ask("GET", "/subjects").json == []


@test("the program by hand: help, version, a password's hash, nonsense")
def by_hand():
    program = subprocess.run([os.environ["PG_CONFIG"], "--bindir"], capture_output=True, text=True).stdout.strip() + "/outbox-http"
    assert "Usage" in subprocess.run([program, "--help"], capture_output=True, text=True).stdout
    assert "libmicrohttpd" in subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    for args in [], ["serve"], ["serve", "--fd", "x"], ["nonsense"], ["serve", "--fd", "9"]:
        done = subprocess.run([program, *args], capture_output=True, text=True, timeout=20)
        assert done.returncode != 0, args


run()
