#!/usr/bin/env python3
"""Style that a machine can check.  Prints TAP, one line a rule."""
import os
import re
import subprocess
import sys

ROOT = os.environ.get("OUTBOX_ROOT") or os.path.abspath(
    os.path.join(os.path.dirname(__file__), "..", ".."))
MAX_FILE = 800
MAX_FUNCTION = 100
SKIP = {".git", ".work", "build", "results", "tmp_check", "__pycache__", "node_modules"}

# Words that promise what is not there, put together so as not to find themselves.
PROMISES = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b|(?i:not[ ]implemented)")
MACHINE = re.compile(r"/(?:root|home/\w+|Users/\w+|work/(?:wt|main|shared))\b")

NAMES = {"Avro", "Kafka"}		# may begin a message


def listed():
    """The project's own text files: what git knows or would take, else a walk."""
    try:
        out = subprocess.run(
            ["git", "-c", f"safe.directory={ROOT}", "-C", ROOT, "ls-files", "-co", "--exclude-standard"],
            capture_output=True, text=True, check=True).stdout.split("\n")
        paths = [p for p in out if p]
    except (OSError, subprocess.CalledProcessError):
        paths = []
        for folder, dirs, names in os.walk(ROOT):
            dirs[:] = [d for d in dirs if d not in SKIP]
            paths += [os.path.relpath(os.path.join(folder, n), ROOT) for n in names]
    for path in sorted(paths):
        if path.endswith((".o", ".so", ".bc", ".png")) or path.startswith(("sql/outbox--", "test/fuzz/seeds/")):
            continue
        try:
            with open(os.path.join(ROOT, path), encoding="utf-8") as f:
                yield path, f.read()
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue


def blank(text, strings=True):
    """C text with comments (and strings) blanked, line breaks kept."""
    def spaces(m):
        s = m.group(0)
        if not strings and s[0] in "\"'":
            return s
        return re.sub(r"[^\n]", " ", s) if s[0] == "/" else s[0] + " " * (len(s) - 2) + s[-1]
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'',
                  spaces, text, flags=re.S)


def long_functions(path, text):
    """Body lines between a brace in column one and its end."""
    begin = None
    lines = blank(text).split("\n")
    for n, line in enumerate(lines, 1):
        if line.startswith("{"):
            begin = n
        elif line.startswith("}") and begin:
            header = lines[max(0, begin - 8):begin - 1]
            if line.rstrip() == "}" and any("(" in h for h in header) and n - begin - 1 > MAX_FUNCTION:
                yield f"{path}:{begin}: {n - begin - 1} lines"
            begin = None


def call_bodies(text, name):
    """(line, arguments) of each call of name, comments blanked, strings kept."""
    clean = blank(text, strings=False)
    shape = blank(text)
    for m in re.finditer(rf"\b{name}\s*\(", shape):
        depth, i = 1, m.end()
        while i < len(shape) and depth:
            depth += {"(": 1, ")": -1}.get(shape[i], 0)
            i += 1
        yield shape.count("\n", 0, m.start()) + 1, clean[m.end():i - 1]


def reports(path, text):
    for line, body in call_bodies(text, "ereport"):
        level = body.split(",")[0].strip()
        if level in ("ERROR", "FATAL", "WARNING", "PANIC") and "errcode" not in body:
            yield f"{path}:{line}: ereport({level}) without errcode"


def messages(path, text):
    """Primary messages: lower case (but for names), no period, no line break."""
    for line, body in call_bodies(text, "errmsg"):
        m = re.match(r'\s*"((?:\\.|[^"\\])*)', body)
        whole = re.findall(r'"((?:\\.|[^"\\])*)"', body.split(",")[0])
        if not m:
            continue
        first = re.match(r"[A-Z][a-z]+\b", m.group(1))
        if first and first.group(0) not in NAMES:
            yield f"{path}:{line}: message begins with a capital: {m.group(1)[:40]}"
        if whole and re.search(r"[^.]\.$", whole[-1]):
            yield f"{path}:{line}: message ends with a period"
        if whole and any("\\n" in w for w in whole):
            yield f"{path}:{line}: line break in a message"


def functions_of_sql(text):
    """(line, statement) of each CREATE FUNCTION or PROCEDURE, its options whole."""
    clean = re.sub(r"--[^\n]*", lambda m: " " * len(m.group(0)), text)
    for m in re.finditer(r"\bCREATE\s+(?:OR\s+REPLACE\s+)?(?:FUNCTION|PROCEDURE)\b", clean, re.I):
        i, quote = m.start(), None
        while i < len(clean):
            d = re.compile(r"\$\w*\$").match(clean, i)
            if quote is None and clean[i] == ";":
                break
            if quote is None and clean[i] == "'":
                quote = "'"
            elif quote == "'" and clean[i] == "'":
                quote = None
            elif d and quote is None:
                quote = d.group(0)
                i += len(quote) - 1
            elif d and quote == d.group(0):
                quote = None
                i += len(d.group(0)) - 1
            i += 1
        yield clean.count("\n", 0, m.start()) + 1, clean[m.start():i]


def main():
    rules = {}

    def rule(title, found):
        rules.setdefault(title, []).extend(found)

    for path, text in listed():
        lines = text.split("\n")
        code = path.endswith((".c", ".h"))
        source = code and path.startswith(("src/", "test/"))
        script = path.startswith("src/") and path.endswith(".sql")
        made = path.startswith("expected/") or path.endswith(".out")

        rule("no promise of later work in the text",
             [f"{path}:{n}: {s.strip()[:60]}" for n, s in enumerate(lines, 1) if PROMISES.search(s)
              and path != "test/lint/style.py"])
        rule("no path of a machine",
             [f"{path}:{n}: {s.strip()[:60]}" for n, s in enumerate(lines, 1) if MACHINE.search(s)
              and path != "test/lint/style.py"])
        rule("no trailing white space",
             [f"{path}:{n}" for n, s in enumerate(lines, 1) if s != s.rstrip()]
             if not made and not path.endswith(".md") else [])
        rule("files end with one line break",
             [path] if text and not made and (not text.endswith("\n") or text.endswith("\n\n")) else [])
        rule(f"no file longer than {MAX_FILE} lines",
             [f"{path}: {len(lines) - 1} lines"]
             if len(lines) - 1 > MAX_FILE and not made and not path.startswith("sql/") else [])
        rule(f"no function longer than {MAX_FUNCTION} lines", long_functions(path, text) if source else [])
        rule("C is indented with tabs",
             [f"{path}:{n}" for n, s in enumerate(lines, 1) if re.match(r"\t* {4,}\S", s)
              and not re.match(r"\t* +\*", s) and not re.match(r"\t+ {1,3}\S", s)] if source else [])
        rule("every .c of src/ opens with its contract",
             [path] if path.endswith(".c") and path.startswith("src/")
             and not (text.startswith("/*") and os.path.basename(path) in text[:400]) else [])
        rule("every ereport of a warning or more has an errcode", reports(path, text) if source else [])
        rule("primary messages: lower case, one line, no period",
             messages(path, text) if source and path.startswith("src/") else [])
        rule("PG_VERSION_NUM is in src/compat.h alone",
             [f"{path}:{n}" for n, s in enumerate(blank(text).split("\n"), 1) if "PG_VERSION_NUM" in s]
             if source and path.startswith("src/") and path != "src/compat.h" else [])
        rule("lines of code are not much longer than 78 columns",
             [f"{path}:{n}: {len(s.expandtabs(4))} columns" for n, s in enumerate(lines, 1)
              if len(re.sub(r'"(?:\\.|[^"\\])*"', '""', s).expandtabs(4)) > 100] if source and path.startswith("src/") else [])
        rule("install script: no CREATE OR REPLACE, no IF NOT EXISTS",
             [f"{path}:{n}" for n, s in enumerate(re.sub(r"--[^\n]*", "", text).split("\n"), 1)
              if re.search(r"CREATE\s+OR\s+REPLACE|IF\s+NOT\s+EXISTS", s, re.I)] if script else [])
        rule("install script: SQL and PL functions set search_path",
             [f"{path}:{n}" for n, s in functions_of_sql(text)
              if re.search(r"LANGUAGE\s+'?(sql|plpgsql)", s, re.I)
              and not re.search(r"SET\s+search_path\s*(=|TO)\s*'?pg_catalog'?\s*,\s*'?pg_temp'?", s, re.I)]
             if script else [])

    bad = 0
    print(f"1..{len(rules)}")
    for n, (title, found) in enumerate(rules.items(), 1):
        print(f"{'not ok' if found else 'ok'} {n} - {title}")
        for line in found[:20]:
            print(f"#   {line}")
        if len(found) > 20:
            print(f"#   and {len(found) - 20} more")
        bad += bool(found)
    return bad > 0


sys.exit(main())
