"""Tests as functions, results as TAP."""
import sys
import traceback

TESTS = []


def test(title):
    def register(f):
        TESTS.append((title, f))
        return f
    return register


def run():
    chosen = [(t, f) for t, f in TESTS if not sys.argv[1:] or any(a in f.__name__ for a in sys.argv[1:])]
    failed = 0
    print("1..%d" % len(chosen), flush=True)
    for n, (title, f) in enumerate(chosen, 1):
        try:
            f()
            print("ok %d - %s" % (n, title), flush=True)
        except Exception:
            failed += 1
            print("not ok %d - %s" % (n, title))
            for line in traceback.format_exc().splitlines():
                print("# " + line)
            sys.stdout.flush()
    sys.exit(1 if failed else 0)
