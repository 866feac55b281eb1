#!/usr/bin/env python3
"""The same calls on outbox-http and on a real Apicurio Registry.

They may differ in what docs/registry.md lists, and must differ there: a row
whose difference is gone is no longer true.  The rows lie between the comments
"differences" and "end"; the second column names the calls (script.py), the
third and fourth begin with status and error code of either.
"""
import atexit
import os
import re
import subprocess
import tempfile

from httptest import MEDIA, ROOT, Server, run, test
from script import STEPS, Registry

APICURIO = ROOT + "/test/support/apicurio"


def apicurio(*args):
    return subprocess.run([APICURIO, *args], capture_output=True, text=True, check=True).stdout.strip()


folder = tempfile.mkdtemp(prefix="apicurio-", dir=os.environ.get("TMPDIR"))
atexit.register(apicurio, "stop", folder)
server = Server(writes=True)
url = apicurio("start", folder)
found = []						# (step, our answer, Apicurio's)


def listed():
    """Step -> what the document says of it: (ours, theirs)."""
    with open(ROOT + "/docs/registry.md") as f:
        text = f.read()
    rows = {}
    for line in re.search("<!-- differences -->(.*?)<!-- end -->", text, re.S)[1].strip().splitlines()[2:]:
        _, _, calls, ours, theirs, _ = re.split(r"(?<!\\)\|", line)
        for call in re.findall("`([^`]+)`", calls):
            assert call not in rows, "%s is listed twice" % call
            rows[call] = re.search("`([^`]+)`", ours)[1], re.search("`([^`]+)`", theirs)[1]
    return rows


def brief(answer):
    status, _, value = answer
    if isinstance(value, dict) and "error_code" in value:
        return "%d %d" % (status, value["error_code"])
    return str(status)


@test("the same calls on both, with all answers well-formed")
def calls():
    port, base = re.match(r"http://127\.0\.0\.1:(\d+)(/.*)", url).groups()
    ours, theirs = Registry(server.port), Registry(int(port), base)
    assert len({s[0] for s in STEPS}) == len(STEPS)
    for step in STEPS:
        found.append((step, ours.run(step), theirs.run(step)))
    for step, (status, media, value), _ in found:
        assert media == MEDIA, (step, media)
        assert status < 500, (step, status, value)
    print("# %d calls, %d answered alike" % (len(found), sum(a[0] == b[0] and a[2] == b[2] for _, a, b in found)))


@test("they differ in what docs/registry.md lists, and nowhere else")
def differences():
    rows = listed()
    unlisted = [(s[0], brief(a), a[2], brief(b), b[2]) for s, a, b in found
                if (a[0], a[2]) != (b[0], b[2]) and s[0] not in rows]
    assert not unlisted, "not listed: %r" % unlisted
    told = {s[0]: (brief(a), brief(b)) for s, a, b in found}
    untold = [call for call in rows if call not in told]
    assert not untold, "listed, but no call: %r" % untold
    wrong = [(call, said, told[call]) for call, said in rows.items() if said != told[call]]
    assert not wrong, "listed otherwise: %r" % wrong


@test("what docs/registry.md lists is still so")
def still():
    rows = listed()
    same = [s[0] for s, a, b in found if (a[0], a[2]) == (b[0], b[2]) and s[0] in rows]
    assert not same, "no difference any more: %r" % same


@test("the media type of an answer differs for errors alone")
def media():
    for step, ours, theirs in found:
        if ours[1] != theirs[1]:
            assert theirs[1] in ("application/json", "none") and theirs[0] >= 400 or step[0] == "root", (step, theirs)


run()
