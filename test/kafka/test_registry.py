"""outbox-kafka as a client of schema registries that behave, and that do not."""
import json
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import registry_server                                          # noqa: E402
from child import *                                             # noqa: E402,F403
from tap import run, test                                       # noqa: E402

NO_BROKER = "127.0.0.1:1"
S1 = '{"type":"record","name":"a.R","doc":"d","fields":[{"name":"n","type":"long","default":1}]}'
S2 = '{"type":"record","name":"a.R","fields":[{"name":"n","type":"long"},{"name":"s","type":"string","default":""}]}'
SECRET = "canary-secret"


def child(url, lines=(), expect=HELLO_OK):
    c = Child()
    file = None
    if lines:
        fd, file = tempfile.mkstemp()
        os.write(fd, "".join(line + "\n" for line in lines).encode())
        os.close(fd)
        os.chmod(file, 0o600)
    c.hello(NO_BROKER, file=file, props=[("schema.registry.url", url)] if url is not None else [])
    a = c.answer()
    assert a["type"] == expect, a
    if file:
        os.unlink(file)
    return c if expect == HELLO_OK else (c.close(), a)[1]


def ask(c, subject="s-value", schema=S1, timeout=20, **kw):
    c.register(subject, schema, **kw)
    a = c.answer(timeout)
    assert a["type"] == REGISTERED, a
    return a


def one(server, **kw):
    c = child(server.url)
    a = ask(c, **kw)
    c.close()
    return a


def calls(server):
    return [(c["method"], c["path"]) for c in server.store.calls if "method" in c]


@test("register: the text itself, the same id again, another schema another id")
def test_register():
    s = registry_server.start()
    c = child(s.url)
    a = ask(c)
    assert a["class"] == OK and a["id"] == 1 and a["schema_id"] == 1000001 and a["message"] == "", a
    body = json.loads(s.store.calls[0]["body"])
    assert body == {"schema": S1}, body
    assert calls(s) == [("POST", "/subjects/s-value/versions"), ("GET", "/schemas/ids/1")], calls(s)
    assert s.store.calls[0]["headers"]["Content-Type"] == "application/vnd.schemaregistry.v1+json"
    assert ask(c)["id"] == 1
    assert ask(c, schema=S2, schema_id=1000002)["id"] == 2
    assert ask(c, subject="other-value")["id"] == 1
    assert c.close() == 0


@test("subjects are encoded; contexts go with the question for an id; base path")
def test_subjects():
    s = registry_server.start(base="/apis/ccompat/v7")
    c = child(s.url + "/")
    a = ask(c, subject=":.ctx:t/a b?ü-value")
    assert a["class"] == OK, a
    path = "/apis/ccompat/v7/subjects/%3A.ctx%3At%2Fa%20b%3F%C3%BC-value/versions"
    assert calls(s)[0] == ("POST", path), calls(s)
    assert calls(s)[1][1] == "/apis/ccompat/v7/schemas/ids/1?subject=%3A.ctx%3At%2Fa%20b%3F%C3%BC-value", calls(s)
    assert list(s.store.subjects) == [":.ctx:t/a b?ü-value"]
    c.close()
    a = one(registry_server.start(), subject="x")
    assert a["class"] == OK
    c = child(s.url.replace("/v7", "/v9"))
    a = ask(c)
    assert a["class"] == CONFIG and "404" in a["message"], a
    c.close()


@test("normalize, look-up only, latest version")
def test_flags():
    s = registry_server.start()
    c = child(s.url)
    a = ask(c, flags=0)
    assert a["class"] == REFUSED and a["code"] == 40401 and "auto_register is off" in a["message"], a
    assert calls(s) == [("POST", "/subjects/s-value")], calls(s)
    assert ask(c, flags=3)["class"] == OK
    assert calls(s)[1] == ("POST", "/subjects/s-value/versions?normalize=true"), calls(s)
    a = ask(c, flags=0)
    assert a["class"] == OK and a["id"] == 1, a
    a = ask(c, flags=0, schema=S2, schema_id=7)
    assert a["class"] == REFUSED and a["code"] == 40403, a
    # latest: the same values under other documentation will do, other values will not
    other_doc = S1.replace('"doc":"d"', '"doc":"better","owner":"me"')
    s.store.register("s-value", other_doc)
    a = ask(c, flags=4)
    assert a["class"] == OK and a["id"] == 2, a
    s.store.register("s-value", S2)
    a = ask(c, flags=5)
    assert a["class"] == REFUSED and "values" in a["message"], a
    a = ask(c, flags=4, subject="none")
    assert a["class"] == REFUSED and a["code"] == 40401, a
    c.close()


@test("another scale of a decimal is another schema, although the canonical form is the same")
def test_logical():
    def decimal(scale):
        return ('{"type":"record","name":"D","fields":[{"name":"d","type":["null",{"type":"bytes",'
                '"logicalType":"decimal","precision":9,"scale":%d}]}]}' % scale)
    s = registry_server.start()
    s.store.register("s-value", decimal(3))
    a = one(s, schema=decimal(2), flags=4)
    assert a["class"] == REFUSED, a
    assert one(s, schema=decimal(3), flags=4)["class"] == OK


@test("references are passed on")
def test_references():
    s = registry_server.start()
    c = child(s.url)
    refs = '[{"name":"a.R","subject":"r","version":1}]'
    part = '{"type":"record","name":"P","fields":[{"name":"r","type":"a.R"}]}'
    whole = '{"type":"record","name":"P","fields":[{"name":"r","type":%s}]}' % S1
    a = ask(c, schema=part, references=refs, resolved=whole)
    assert a["class"] == OK, a
    assert json.loads(s.store.calls[0]["body"]) == {"schema": part, "references": json.loads(refs)}
    c.close()


@test("keeping an id: mode IMPORT, the id, mode READWRITE again")
def test_keep_id():
    s = registry_server.start()
    a = one(s, schema_id=1738291234, flags=9)
    assert a["class"] == OK and a["id"] == 1738291234, a
    assert s.store.modes["s-value"] == "READWRITE"
    assert [m for m, p in calls(s)] == ["PUT", "POST", "PUT", "GET"], calls(s)
    s.fault("status:404", "PUT")
    a = one(s, schema_id=1738291235, schema=S2, flags=9)
    assert a["class"] == CONFIG and "no id can be kept" in a["message"], a
    s.fault("json:{\"id\": 5}", "POST")
    a = one(s, schema_id=1738291236, schema=S2, flags=9)
    assert a["class"] == CONFIG and "did not keep" in a["message"] and s.store.modes["s-value"] == "READWRITE", a


@test("an id given before is checked: same, gone, other schema")
def test_check():
    s = registry_server.start()
    c = child(s.url)
    assert ask(c)["id"] == 1
    n = len(s.store.calls)
    a = ask(c, external=1)
    assert a["class"] == OK and a["id"] == 1 and calls(s)[n:] == [("GET", "/schemas/ids/1")], a
    a = ask(c, external=2)
    assert a["class"] == REFUSED and a["code"] == 40403, a
    a = ask(c, external=1, schema=S2)
    assert a["class"] == REFUSED and "another schema" in a["message"], a
    c.close()


@test("what is registered must be readable as what we write")
def test_other_schema():
    s = registry_server.start()
    s.fault("json:" + json.dumps({"schema": S2}), "GET")
    a = one(s)
    assert a["class"] == REFUSED and "another schema" in a["message"], a
    s.fault("refuse:404:40403:Schema not found", "GET", times=1)
    a = one(s)
    assert a["class"] == RETRY, a       # a follower that does not know it yet
    s.fault("json:" + json.dumps({"schema": S1, "schemaType": "PROTOBUF"}), "GET")
    assert one(s)["class"] == RETRY


@test("avro-c is asked before anything is registered")
def test_second_opinion():
    s = registry_server.start()
    a = one(s, schema='{"type":"record","name":"R","fields":[{"name":"n","type":"nosuch"}]}')
    assert a["class"] == REFUSED and "not registered" in a["message"] and s.store.calls == [], a


@test("refusals: 409 and 422 with the registry's words, cut and on one line")
def test_refused():
    s = registry_server.start()
    c = child(s.url)
    s.fault("refuse:409:409:Schema being registered is incompatible\nwith\tan earlier one " + "x" * 3000)
    a = ask(c)
    assert a["class"] == REFUSED and a["code"] == 409 and "incompatible with an earlier" in a["message"], a
    assert len(a["message"]) < 512 and "\n" not in a["message"], a
    s.fault("refuse:422:42201:Invalid schema")
    a = ask(c)
    assert a["class"] == REFUSED and a["code"] == 42201 and "Invalid schema" in a["message"], a
    s.fault("status:403")
    a = ask(c)
    assert a["class"] == CONFIG and a["code"] == 403, a
    s.fault("html:404")
    a = ask(c)
    assert a["class"] == CONFIG and a["code"] == 404, a
    c.close()


@test("status 5xx, 429 and 408 may pass")
def test_passing():
    s = registry_server.start()
    c = child(s.url)
    for status in (500, 502, 503, 429, 408):
        s.fault("status:%d" % status)
        a = ask(c)
        assert a["class"] == RETRY and str(status) in a["message"], a
    s.fault()
    assert ask(c)["class"] == OK
    c.close()


@test("answers that are none: other JSON, HTML, ids that do not fit, cut short")
def test_nonsense():
    s = registry_server.start()
    c = child(s.url)
    for fault in ("json:", "json:[]", "json:{}", "json:{\"id\": 0}", "json:{\"id\": -1}", "json:{\"id\": 2147483648}",
                  "json:{\"id\": \"1\"}", "json:{\"id\": 1.5}", "json:{\"id\": 1", "json:" + "[" * 100000, "html",
                  "early", "close", "json:{\"id\":1,\"id\":2}"):
        s.fault(fault)
        a = ask(c)
        assert a["class"] == RETRY, (fault[:40], a)
        assert "none of a schema registry" in a["message"] or fault in ("early", "close"), (fault[:40], a)
    s.fault()
    assert ask(c)["class"] == OK
    c.close()


@test("a gigabyte: neither with nor without announcement does it cost memory or time")
def test_huge():
    s = registry_server.start()
    c = child(s.url)
    for fault in ("huge", "huge:announced", "headers"):
        s.fault(fault)
        a = ask(c)
        assert a["class"] == RETRY and "larger" in a["message"], (fault, a)
    peak = [line for line in open("/proc/%d/status" % c.proc.pid) if line.startswith("VmHWM")][0]
    assert int(peak.split()[1]) < 60000, peak
    time.sleep(0.2)
    assert all(x["huge_sent"] < 100 for x in s.store.calls if "huge_sent" in x), s.store.calls
    s.fault()
    assert ask(c)["class"] == OK
    c.close()


@test("a registry that is slow or drips is given up after 5 s; PINGs are answered meanwhile")
def test_slow():
    s = registry_server.start()
    c = child(s.url)
    for fault in ("slow", "drip"):
        s.fault(fault)
        begun = time.time()
        c.register("s-value", S1)
        pongs = 0
        while True:
            c.send(PING, struct.pack("<Q", pongs))
            a = c.answer(2)
            if a["type"] == REGISTERED:
                break
            assert a["type"] == PONG, a
            pongs += 1
            time.sleep(0.2)
        took = time.time() - begun
        c.expect(PONG)
        assert a["class"] == RETRY and pongs >= 10 and 3 < took < 9, (fault, a, pongs, took)
    s.fault("slow:2")
    assert ask(c)["class"] == OK
    c.register("s-value", S1)
    assert c.close() == 0       # it does not wait for the answer


@test("redirects are not followed")
def test_redirect():
    other = registry_server.start()
    s = registry_server.start()
    c = child(s.url)
    s.fault("redirect:" + other.url + "/subjects/s-value/versions")
    a = ask(c)
    assert a["class"] == CONFIG and "redirect" in a["message"] and other.store.calls == [], a
    c.close()


@test("failover: the next one is asked, and the one that answers is asked first from then on")
def test_failover():
    a_, b_ = registry_server.start(), registry_server.start()
    b_.store = a_.store.__class__()
    c = child("http://127.0.0.1:1, " + a_.url + " ," + b_.url)
    assert ask(c)["class"] == OK and len(a_.store.calls) == 2 and b_.store.calls == []
    a_.fault("status:503")
    assert ask(c)["class"] == OK and len(b_.store.calls) == 2
    n = len(a_.store.calls)
    assert ask(c)["class"] == OK and len(a_.store.calls) == n
    b_.fault("refuse:409:409:no")
    assert ask(c)["class"] == REFUSED and len(a_.store.calls) == n, "a refusal is an answer"
    b_.fault("status:500")
    a = ask(c)
    assert a["class"] == RETRY, a
    c.close()


@test("no such host, nobody there: RETRY")
def test_away():
    for url in ("http://127.0.0.1:1", "http://no-such-host.invalid:8081"):
        c = child(url)
        a = ask(c)
        assert a["class"] == RETRY and ("127.0.0.1:1" in a["message"] or "no-such-host" in a["message"]), a
        c.close()


@test("link-local and metadata addresses are never connected to, by whatever name")
def test_addresses():
    for host in ("169.254.169.254", "169.254.0.1", "[fe80::1]", "[::ffff:169.254.169.254]", "[fd00:ec2::254]",
                 "0xA9FEA9FE", "2852039166", "0.0.0.0", "[64:ff9b::a9fe:a9fe]"):
        c = child("http://%s:80" % host)
        begun = time.time()
        a = ask(c)
        assert a["class"] == CONFIG and "never connected to" in a["message"] and time.time() - begun < 2, (host, a)
        c.close()


@test("proxies of the environment are not used")
def test_proxy():
    proxy = registry_server.start()
    s = registry_server.start()
    for name in ("http_proxy", "https_proxy", "ALL_PROXY"):
        os.environ[name] = proxy.url
    try:
        assert one(s)["class"] == OK and proxy.store.calls == []
    finally:
        for name in ("http_proxy", "https_proxy", "ALL_PROXY"):
            del os.environ[name]


@test("addresses that are refused at the start, without repeating a password")
def test_urls():
    for url, word in (("ftp://h/", "neither http"), ("file:///etc/passwd", "neither http"), ("h:8081", "neither|URL"),
                      ("http://u:%s@h/" % SECRET, "credentials"), ("http://h/?a=b", "query"), ("http://h/#x", "query"),
                      ("http://h,,http://i", "URL"), (",".join(["http://h"] * 17), "too many"), ("http://h:99999", "URL")):
        a = child(url, expect=FAILED)
        assert a["class"] == CONFIG and any(w in a["message"] for w in word.split("|")), (url, a)
        assert SECRET not in a["message"], a


@test("REGISTER without a registry, or damaged, ends the process")
def test_order():
    for url, body in ((None, None), ("http://127.0.0.1:1", b"\0" * 8)):
        c = child(url)
        if body is None:
            c.register("s", S1)
        else:
            c.send(REGISTER, body)
        assert c.exited() == 0


def certificates():
    d = tempfile.mkdtemp()
    def call(*args):
        subprocess.run(["openssl", *args], check=True, capture_output=True, cwd=d)
    for ca in ("ca", "other-ca"):
        call("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=" + ca, "-keyout", ca + ".key",
             "-out", ca + ".pem")
    open(d + "/ext", "w").write("subjectAltName=IP:127.0.0.1")
    for n in ("server", "client"):
        call("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=" + n, "-keyout", n + ".key", "-out", n + ".csr")
        call("x509", "-req", "-in", n + ".csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
             "-out", n + ".pem", "-extfile", "ext")
    call("pkcs8", "-topk8", "-in", "client.key", "-out", "client.enc", "-passout", "pass:" + SECRET)
    return d


@test("TLS, client certificates, Basic and bearer; what is said when they do not fit")
def test_security():
    d = certificates()
    ca = "schema.registry.ssl.ca.location=%s/ca.pem" % d
    basic = "schema.registry.basic.auth.user.info=me:" + SECRET
    bearer = "schema.registry.bearer.auth.token=" + SECRET
    wrong = []

    def outcome(url, *lines):
        c = child(url, lines)
        a = ask(c)
        c.close()
        wrong.append(a["message"])
        return a["class"]
    s = registry_server.start(tls=d)
    assert outcome(s.url, ca) == OK
    assert outcome(s.url, "linger.ms=1") == CONFIG, "the system's authorities did not sign it"
    assert outcome(s.url, "schema.registry.ssl.ca.location=%s/other-ca.pem" % d) == CONFIG
    assert outcome(s.url.replace("127.0.0.1", "localhost"), ca) == CONFIG, "another name"
    s = registry_server.start(tls=d, mtls=True)
    cert = "schema.registry.ssl.certificate.location=%s/client.pem" % d
    assert outcome(s.url, ca) != OK
    assert outcome(s.url, ca, cert, "schema.registry.ssl.key.location=%s/client.key" % d) == OK
    key = "schema.registry.ssl.key.location=%s/client.enc" % d
    assert outcome(s.url, ca, cert, key, "schema.registry.ssl.key.password=" + SECRET) == OK
    assert outcome(s.url, ca, cert, key, "schema.registry.ssl.key.password=" + SECRET + "x") == CONFIG
    s = registry_server.start(tls=d, basic="me:" + SECRET)
    assert outcome(s.url, ca, basic) == OK
    assert outcome(s.url, ca, basic + "x") == CONFIG
    assert outcome(s.url, ca) == CONFIG
    for lines in ([ca, basic], [ca, bearer]):
        s.fault("echo")
        c = child(s.url, lines)
        a = ask(c)
        c.close()
        assert a["class"] == REFUSED and "you sent" in a["message"] and "**" in a["message"], a
        wrong.append(a["message"])
    s = registry_server.start(tls=d, bearer=SECRET)
    assert outcome(s.url, ca, bearer) == OK
    assert outcome(s.url, ca, bearer + "x") == CONFIG
    # over plain http only when that is said to be wanted
    s = registry_server.start(basic="me:" + SECRET)
    assert outcome(s.url, basic, "outbox.allow.registry.plaintext=true") == OK
    for lines, word in (([basic], "unencrypted"), ([bearer], "unencrypted"), ([basic, bearer], "both"),
                        (["schema.registry.basic.auth.user.info=nocolon"], "USER:PASSWORD"),
                        (["schema.registry.ssl.ca.location=/nowhere"], "ca.location")):
        a = child(s.url, lines, expect=FAILED)
        assert a["class"] == CONFIG and word in a["message"], a
        wrong.append(a["message"])
    a = child(None, ["schema.registry.url=http://127.0.0.1:1"], expect=FAILED)
    assert a["class"] == CONFIG and "schema.registry.url" in a["message"], a
    import base64
    for m in wrong:
        assert SECRET not in m and base64.b64encode(b"me:" + SECRET.encode()).decode() not in m, m


run()
