#!/usr/bin/env python3
"""Users, TLS, addresses, and clients that mean harm."""
import base64
import http.client
import json
import os
import socket
import ssl
import subprocess
import threading
import time

from httptest import MEDIA, Server, ask, free_port, raw, run, test, wait_for

server = Server(writes=True)
file = server.dir + "/http.properties"
program = subprocess.run([os.environ["PG_CONFIG"], "--bindir"], capture_output=True,
                         text=True).stdout.strip() + "/outbox-http"
CANARY = "canary-secret-password"


def basic(user, password):
    return {"Authorization": "Basic " + base64.b64encode(("%s:%s" % (user, password)).encode()).decode()}


def configure(text, mode=0o600, **settings):
    """The properties file, in force when this returns."""
    old = server.pid()
    if os.path.exists(file):
        os.unlink(file)
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as f:
        f.write(text)
    os.chmod(file, mode)
    server.set(http_config_file=file, **settings)
    wait_for(lambda: server.pid() not in (None, old), 20, "another outbox-http")


def refused_because(text, conf, mode=0o600, **settings):
    since = len(server.log())
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as f:
        f.write(conf)
    os.chmod(file, mode)
    server.set(http_config_file=file, **settings)
    server.wait_log(text, since)
    try:
        server.ask("GET", "/health", timeout=3)
    except OSError:
        pass
    else:
        raise AssertionError("it serves all the same: " + text)


def plain():
    """Back to no file; the old program serves until it is replaced."""
    old = server.pid()
    server.set(http_config_file=None, http_listen=None)
    wait_for(lambda: server.pid() not in (None, old), 20, "another outbox-http")
    server.wait_up()


# ---- misuse, without users

@test("requests that are none: answered or cut off, and the next one is served")
def garbage():
    pid = server.pid()
    for data in (b"\0\0\0\0", b"\r\n" * 1000, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00",
                 b"GET /\0x HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET  /  HTTP/1.1\r\n\r\n",
                 b"GET http://x/ HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET * HTTP/1.1\r\nHost: localhost\r\n\r\n",
                 b"POST /subjects/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
                 b"POST /subjects/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n",
                 b"POST /subjects/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                 b"POST /subjects/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
                 b"POST /subjects/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                 b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic " + b"A" * 5000 + b"\r\n\r\n",
                 b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: " + b"," * 5000 + b"\r\n\r\n",
                 b"GET / HTTP/1.1\r\n: \r\n\r\n", b"GET / HTTP/1.1\r\n\xff\xfe: \xff\r\n\r\n"):
        raw(server.port, data)
    server.wait_up()
    assert server.pid() == pid, "it did not live through that"


@test("paths: bad escapes, zero bytes, no UTF-8, too many parts, too long")
def paths():
    for bad in ("/subjects/%", "/subjects/%2", "/subjects/%zz", "/subjects/%00", "/subjects/a%00b", "/subjects/%ff",
                "/subjects/%c0%af", "/subjects/%ed%a0%80", "/subjects/%f5%80%80%80", "/subjects?deleted=%00",
                "/subjects?%ff=1", "/1/2/3/4/5/6/7/8/9", "/subjects?" + "&".join("a=%d" % i for i in range(17))):
        out = raw(server.port, b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % bad.encode())
        assert out.startswith(b"HTTP/1.1 400 ") and b'"error_code":400' in out, (bad, out)
    out = raw(server.port, b"GET /subjects/\xff HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert out.startswith(b"HTTP/1.1 400 "), out
    out = raw(server.port, b"GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % (b"a" * 9000))
    assert out.startswith(b"HTTP/1.1 414 "), out[:100]
    out = raw(server.port, b"GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % (b"a" * 100000))
    assert out.startswith((b"HTTP/1.1 414 ", b"HTTP/1.1 431 ")), out[:100]


@test("heads and bodies that are too large")
def large():
    out = raw(server.port, b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 60000 + b"\r\n\r\n")
    assert out.startswith(b"HTTP/1.1 431 "), out[:100]
    out = raw(server.port, b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 20000 + b"\r\n")
    assert out.startswith(b"HTTP/1.1 431 "), out[:100]
    # told by its length
    out = raw(server.port, b"POST /subjects/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048577\r\n\r\n")
    assert out.startswith(b"HTTP/1.1 413 ") and b'"error_code":413' in out, out[:200]
    # in chunks, without a word of how many
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    out = raw(server.port, b"POST /subjects/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" +
              chunk * 17 + b"0\r\n\r\n")
    assert out.startswith(b"HTTP/1.1 413 "), out[:200]
    raw(server.port, b"POST /subjects/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 400)
    # what was refused is forgotten: a hundred times, and there is room for more
    for _ in range(100):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as s:
            s.sendall(b"POST /subjects/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" +
                      chunk * 17 + b"0\r\n\r\n")
            assert s.recv(1000).startswith(b"HTTP/1.1 413 ")
    # just small enough
    text = json.dumps({"schema": "x" * (1024 * 1024 - 20)})
    answer = server.ask("POST", "/subjects/a/versions", text.encode(), {"Content-Type": MEDIA})
    assert answer.status == 422, answer
    server.wait_up()


@test("JSON 10,000 deep, schemas 10,000 deep: refused, nobody hurt")
def deep():
    pid = server.pid()
    for body in b"[" * 10000, b"[" * 10000 + b"]" * 10000, b'{"a":' * 10000 + b"1" + b"}" * 10000, \
            b'{"schema":"x","references":' + b"[" * 10000 + b"]" * 10000 + b"}":
        answer = server.ask("POST", "/subjects/a/versions", body, {"Content-Type": MEDIA})
        assert answer.status == 400 and answer.json["error_code"] == 400, answer
    nested = '{"type":"array","items":' * 10000 + '"int"' + "}" * 10000
    for path in "/subjects/a/versions", "/subjects/a", "/compatibility/subjects/a/versions":
        answer = server.ask("POST", path, {"schema": nested})
        assert answer.status in (404, 422), answer
    assert server.pid() == pid and "terminated by signal" not in server.log()


@test("what looks like SQL is a name like any other")
def injection():
    for name in "'; DROP TABLE outbox.schema; --", "$1", "a' OR 'a'='a", "\\", "%", "_", "E'\\000'":
        quoted = "".join("%%%02x" % b for b in name.encode())
        assert server.ask("GET", "/subjects/%s/versions" % quoted).json["error_code"] == 40401
        assert server.ask("GET", "/subjects?subjectPrefix=" + quoted).json == []
        assert server.ask("GET", "/subjects/%s/versions/%s" % (quoted, quoted)).json["error_code"] == 42202
    for number in "1;DROP TABLE x", "1 OR 1=1", "9999999999", "-1", "0x10", "1e5":
        assert server.ask("GET", "/subjects?offset=%s&limit=%s" % ((number.replace(" ", "%20"),) * 2)).status == 200
    assert server.sql("SELECT count(*) FROM outbox.schema") is not None


def time_to_end(s, limit):
    """Seconds until the other side closes, at most limit."""
    began = time.monotonic()
    s.settimeout(limit)
    try:
        while s.recv(65536):
            pass
    except socket.timeout:
        return None
    except OSError:
        pass
    return time.monotonic() - began


@test("slow clients: hundreds of unfinished requests, and others are served")
def slow():
    sockets = []
    try:
        for i in range(600):
            try:
                s = socket.create_connection(("127.0.0.1", server.port), timeout=5)
                s.sendall(b"POST /subjects/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{" if i % 2 else b"GET /")
                sockets.append(s)
            except OSError:
                break
        # one byte now and then keeps none of them
        until = time.monotonic() + 60
        served = 0
        while time.monotonic() < until and served < 5:
            for s in sockets:
                try:
                    s.send(b"x")
                except OSError:
                    pass
            try:
                if server.ask("GET", "/schemas/types", timeout=20).status == 200:
                    served += 1
            except OSError:
                pass
        assert served == 5, "%d of 5 requests were served among %d slow ones" % (served, len(sockets))
        with open("/proc/%d/status" % server.pid()) as f:
            rss = [int(line.split()[1]) for line in f if line.startswith("VmRSS")][0]
        assert rss < 200000, "%d kB" % rss
    finally:
        for s in sockets:
            s.close()
    server.wait_up()


@test("clients that take no answer, go away, or send half of it")
def rude():
    pid = server.pid()
    for _ in range(100):
        s = socket.create_connection(("127.0.0.1", server.port))
        s.sendall(b"GET /subjects HTTP/1.1\r\nHost: localhost\r\n\r\n" * 5)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        s.close()
    for _ in range(20):
        s = socket.create_connection(("127.0.0.1", server.port))
        s.sendall(b"POST /subjects/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        s.close()
    server.wait_up()
    assert server.pid() == pid
    wait_for(lambda: len(os.listdir("/proc/%d/fd" % pid)) < 40, 20, "the end of its sockets")


@test("pages of other sites, and names that were made to lead here")
def browsers():
    def from_(headers, method="POST"):
        return server.ask(method, "/subjects/a", {"schema": '"int"'} if method == "POST" else None, headers).status
    port = server.port
    assert from_({"Origin": "http://evil.example"}) == 403
    assert from_({"Origin": "null"}) == 403
    assert from_({"Origin": "http://127.0.0.1:%d" % (port + 1)}) == 403
    assert from_({"Origin": "http://127.0.0.1:%d" % port}) == 404
    for host, status in (("evil.example", 403), ("evil.example:%d" % port, 403), ("localhost.evil.example", 403),
                         ("127.0.0.1.evil.example", 403), ("localhost", 404), ("LOCALHOST:%d" % port, 404),
                         ("a.localhost", 404), ("[::1]:%d" % port, 404), ("10.1.2.3", 404)):
        assert from_({"Host": host}) == status, host
    answer = ask(port, "GET", "/subjects", headers={"Host": "evil.example"})
    assert answer.status == 403, answer


# ---- users

@test("the properties file: of this user, 0600, known names, whole values")
def properties():
    for mode in 0o644, 0o640, 0o606:
        refused_because("mode must be 0600", "user.a = b\n", mode)
    for text, line in (("nonsense", "is not \"name = value\""), ("user. = x", "names no user"), ("user.a =", "has no password"),
                       ("users.a = x", "cannot be set there"), ("user.a = x\nuser.a = y", "second time"),
                       ("user.a:b = x", "names no user"), ("tls.key = /x", "one of tls.certificate and tls.key"),
                       ("writers = nobody", "is no user"), ("user.a = SCRAM-SHA-256$x", "damaged SCRAM"),
                       ("user.a = SCRAM-SHA-256$4096:AAAA$AAAA:AAAA", "damaged SCRAM"),
                       ("tls.certificate = %s/none\ntls.key = %s/none" % (server.dir, server.dir), "could not open file")):
        refused_because(line, "# a comment\n\n%s = %s\n%s\n" % ("user.canary", CANARY, text))
    plain()


@test("users: no password, a wrong one, the right one; readers and writers")
def users():
    hashed = subprocess.run([program, "hash-password"], input=CANARY + "-2\n", capture_output=True, text=True).stdout.strip()
    assert hashed.startswith("SCRAM-SHA-256$4096:")
    configure("user.reader = %s\nuser.writer = %s\nwriters = writer\n" % (CANARY, hashed))
    wait_for(lambda: server.ask("GET", "/health").status == 200)
    for path in "/subjects", "/metrics", "/nothing", "/schemas/ids/1", "/subjects/a/versions":
        answer = server.ask("GET", path)
        assert answer.status == 401 and answer.headers["WWW-Authenticate"].startswith("Basic "), (path, answer)
        assert answer.json["error_code"] == 401
    for user, password in (("reader", "wrong"), ("reader", ""), ("nobody", CANARY), ("writer", CANARY), ("", ""),
                           ("reader", CANARY + "x"), ("reader", CANARY[:-1]), ("reader:", CANARY), ("writer", hashed)):
        assert server.ask("GET", "/subjects", headers=basic(user, password)).status == 401, (user, password)
    for bad in "Basic", "Basic ", "Basic !!!!", "Bearer x", "Basic " + base64.b64encode(b"reader").decode(), \
            "Basic " + base64.b64encode(b"reader:" + CANARY.encode() + b"\0").decode(), "Digest username=reader":
        assert server.ask("GET", "/subjects", headers={"Authorization": bad}).status == 401, bad
    reader, writer = basic("reader", CANARY), basic("writer", CANARY + "-2")
    for _ in range(3):
        for who in reader, writer:
            assert server.ask("GET", "/subjects", headers=who).status == 200
    assert server.ask("POST", "/subjects/u", {"schema": '"int"'}, reader).status == 404
    answer = server.ask("POST", "/subjects/u/versions", {"schema": '"int"'}, reader)
    assert answer.status == 403 and answer.json["error_code"] == 40301, answer
    assert server.ask("PUT", "/config", {"compatibility": "NONE"}, reader).status == 403
    assert server.ask("POST", "/subjects/u/versions", {"schema": '"int"'}, writer).status == 200
    assert server.ask("DELETE", "/subjects/u", headers=reader).status == 403
    assert server.ask("DELETE", "/subjects/u", headers=writer).status == 200
    # the first use of a hash with a change: neither shortcut lets it through
    configure("user.reader = %s\nwriters = \n" % hashed)
    wait_for(lambda: server.ask("GET", "/health").status == 200)
    answer = server.ask("POST", "/subjects/u/versions", {"schema": '"int"'}, basic("reader", CANARY + "-2"))
    assert answer.status == 403, answer
    assert server.ask("GET", "/subjects", headers=basic("reader", CANARY + "-2")).status == 200
    plain()


@test("the verifier that PostgreSQL makes of a password will do")
def postgres_verifier():
    verifier = server.sql("SET password_encryption = 'scram-sha-256'", "CREATE ROLE scram PASSWORD '%s'" % CANARY,
                          "SELECT rolpassword FROM pg_authid WHERE rolname = 'scram'")[0]
    configure("user.scram = %s\n" % verifier)
    wait_for(lambda: server.ask("GET", "/subjects", headers=basic("scram", CANARY)).status == 200)
    assert server.ask("GET", "/subjects", headers=basic("scram", "x")).status == 401
    plain()


@test("guessing passwords does not hold those who know one")
def guessing():
    hashed = subprocess.run([program, "hash-password"], input=CANARY + "\n", capture_output=True, text=True).stdout.strip()
    configure("user.a = %s\n" % hashed)
    wait_for(lambda: server.ask("GET", "/subjects", headers=basic("a", CANARY)).status == 200)
    stop = threading.Event()

    def guess():
        n = 0
        while not stop.is_set():
            n += 1
            try:
                assert server.ask("GET", "/subjects", headers=basic("a", str(n))).status in (401, 503)
            except OSError:
                pass
    threads = [threading.Thread(target=guess) for _ in range(4)]
    for t in threads:
        t.start()
    try:
        for _ in range(20):
            assert server.ask("GET", "/schemas/types", headers=basic("a", CANARY)).status == 200
    finally:
        stop.set()
        for t in threads:
            t.join()
    plain()


# ---- addresses and TLS

def own_address():
    """An address of this machine that is no loopback one, or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))
            return s.getsockname()[0]
        except OSError:
            return None


@test("an address that others can reach: refused without users, warned of without TLS")
def addresses():
    port = free_port()
    for address in "*:%d", "0.0.0.0:%d", "[::]:%d":
        since = len(server.log())
        server.set(http_listen=address % port)
        server.wait_log("refusing to listen", since)
    server.set(http_listen=None)
    server.wait_up()
    since = len(server.log())
    configure("user.a = %s\n" % CANARY, http_listen="%d, 0.0.0.0:%d" % (server.port, port))
    server.wait_log("passwords cross the network", since)
    wait_for(lambda: ask(port, "GET", "/subjects", headers=basic("a", CANARY)).status == 200)
    other = own_address()
    if other:
        assert ask(port, "GET", "/subjects", headers=basic("a", CANARY), host=other).status == 200
        try:
            ask(server.port, "GET", "/health", host=other, timeout=3)
        except OSError:
            pass
        else:
            raise AssertionError("a port alone is more than loopback")
    since = len(server.log())
    configure("allow.anonymous = true\n", http_listen="%d, 0.0.0.0:%d" % (server.port, port))
    server.wait_log("may read schemas and change them", since)
    wait_for(lambda: ask(port, "GET", "/subjects").status == 200)
    plain()


def make_certificates(name="server"):
    d = server.dir
    for command in ("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -addext keyUsage=critical,keyCertSign "
                    "-keyout {d}/ca.key -out {d}/ca.pem",
                    "openssl req -newkey rsa:2048 -nodes -subj /CN=" + name + " -keyout {d}/tls.key -out {d}/tls.csr",
                    "openssl x509 -req -in {d}/tls.csr -CA {d}/ca.pem -CAkey {d}/ca.key -CAcreateserial -days 2 "
                    "-out {d}/tls.pem -extfile {d}/ext"):
        with open(d + "/ext", "w") as f:
            f.write("subjectAltName=DNS:localhost,IP:127.0.0.1\nauthorityKeyIdentifier=keyid\n"
                    "subjectKeyIdentifier=hash\nkeyUsage=digitalSignature,keyEncipherment\n")
        subprocess.run(command.format(d=d).split(), check=True, capture_output=True)
    os.chmod(d + "/tls.key", 0o600)


def tls(path="/subjects", headers=None, **more):
    context = ssl.create_default_context(cafile=server.dir + "/ca.pem")
    for name, value in more.items():
        setattr(context, name, value)
    c = http.client.HTTPSConnection("127.0.0.1", server.port, context=context, timeout=10)
    try:
        c.request("GET", path, headers=headers or {})
        r = c.getresponse()
        return r.status, r.read(), c.sock and c.sock.version()
    finally:
        c.close()


@test("TLS: served with the certificate, nothing without TLS, old versions refused, renewal by reload")
def tls_served():
    make_certificates()
    conf = "user.a = %s\ntls.certificate = %s/tls.pem\ntls.key = %s/tls.key\n" % (CANARY, server.dir, server.dir)
    configure(conf)
    wait_for(lambda: tls(headers=basic("a", CANARY))[0] == 200)
    assert tls()[0] == 401
    out = raw(server.port, b"GET /subjects HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b"200 OK" not in out and b"[" not in out, out
    try:
        tls(maximum_version=ssl.TLSVersion.TLSv1_1, minimum_version=ssl.TLSVersion.TLSv1)
    except (ssl.SSLError, OSError, ValueError):
        pass
    else:
        raise AssertionError("TLS 1.1 is spoken")
    # slow handshakes
    idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(50)]
    assert tls(headers=basic("a", CANARY))[0] == 200
    for s in idle:
        s.close()
    pid = server.pid()
    make_certificates("renewed")
    server.sql("SELECT pg_reload_conf()")
    wait_for(lambda: server.pid() not in (None, pid), 20, "the new certificate")
    wait_for(lambda: tls(headers=basic("a", CANARY))[0] == 200)
    os.chmod(server.dir + "/tls.key", 0o644)
    since = len(server.log())
    server.sql("SELECT pg_reload_conf()")
    server.wait_log("is accessible to group or others", since)
    os.chmod(server.dir + "/tls.key", 0o600)
    plain()


@test("no secret in a setting, an argument, the environment, a log or an answer")
def secrets():
    configure("user.a = %s\ndatabase.password = %s-db\n" % (CANARY, CANARY))
    wait_for(lambda: server.ask("GET", "/subjects", headers=basic("a", CANARY)).status == 200)
    server.ask("GET", "/subjects", headers=basic("a", CANARY + "wrong"))
    pid = server.pid()
    for name in "cmdline", "environ":
        with open("/proc/%d/%s" % (pid, name), "rb") as f:
            assert CANARY.encode() not in f.read(), name
    assert CANARY not in server.log()
    for query in ("SELECT string_agg(s::text, ' ') FROM pg_settings s", "SELECT string_agg(s::text, ' ') FROM pg_file_settings s",
                  "SELECT string_agg(s::text, ' ') FROM pg_stat_activity s"):
        assert CANARY not in server.sql(query)[0], query
    for path in "/metrics", "/nothing", "/subjects":
        assert CANARY not in str(server.ask("GET", path, headers=basic("a", CANARY)).body)
    plain()


@test("after all of this it still serves, without a growing number of files or much memory")
def leaks():
    server.wait_up()
    pid = server.pid()
    before = len(os.listdir("/proc/%d/fd" % pid))

    def rss():
        with open("/proc/%d/status" % pid) as f:
            return [int(line.split()[1]) for line in f if line.startswith("VmRSS")][0]

    def rounds(n):
        for _ in range(n):
            server.ask("GET", "/subjects")
            server.ask("POST", "/subjects/a", {"schema": '"int"'})
            server.ask("POST", "/subjects/a", b"{", {"Content-Type": MEDIA})
            server.ask("GET", "/metrics")
            socket.create_connection(("127.0.0.1", server.port)).close()
    rounds(100)
    middle = rss()
    rounds(300)
    grown = rss() - middle
    assert grown < 3000, "%d kB more after 1500 requests" % grown
    wait_for(lambda: len(os.listdir("/proc/%d/fd" % pid)) <= before + 6, 20, "the end of its sockets")


run()
