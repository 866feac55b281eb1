"""The benchmark's table, as text and as docs/performance.md."""
import datetime
import os
import statistics


class Spread:
    """Many runs, shown by what half of them are between, and how well their
    median is known (95 %, by rank: no assumption about their distribution)."""

    def __init__(self, values):
        self.values = sorted(values)

    def __str__(self):
        n = len(self.values)
        off = 0.98 * n ** 0.5
        sure = self.values[max(int(n / 2 - off), 0)], self.values[min(int(n / 2 + off), n - 1)]
        half = self.values[n // 4], self.values[(3 * n) // 4]
        return "{} pairs, median in {} to {}, half of them in {} to {}".format(
            n, *(f"{v:.3f}" for v in sure + half))


class Table:
    def __init__(self):
        self.rows = []          # what, result, target, met (None: no target), runs

    def add(self, what, value, unit, runs=(), least=None, most=None):
        """A row.  runs are the single values of which value is the median."""
        met = None if least is None and most is None else (
            (least is None or value >= least) and (most is None or value <= most))
        target = f"≥ {least:g} {unit}" if least is not None else f"≤ {most:g} {unit}" if most is not None else ""
        self.rows.append((what, f"{number(value)} {unit}".strip(), target.strip(), met,
                          str(runs) if isinstance(runs, Spread) else ", ".join(number(r) for r in runs)))

    def show(self):
        width = max(len(r[0]) for r in self.rows)
        for what, result, target, met, runs in self.rows:
            verdict = {None: "", True: "met", False: "MISSED"}[met]
            print(f"  {what:{width}}  {result:>18}  {target:>12}  {verdict:6}  {runs}")

    def document(self, opt, facts):
        here = os.path.dirname(os.path.abspath(__file__))
        with open(os.path.join(here, "performance.in.md")) as f:
            text = f.read()
        lines = ["| measured | result | target | met | single runs |", "|---|---|---|---|---|"]
        for what, result, target, met, runs in self.rows:
            lines.append(f"| {what} | {result} | {target} | "
                         f"{ {None: '', True: 'yes', False: '**no**'}[met] } | {runs} |")
        machine = "; ".join(f"{k} {v}" for k, v in facts.items())
        return (text.replace("@TABLE@", "\n".join(lines))
                .replace("@MACHINE@", machine)
                .replace("@DATE@", datetime.date.today().isoformat())
                .replace("@RUNS@", str(opt.runs))
                .replace("@EVENTS@", f"{opt.events:,}")
                .replace("@BIG@", f"{opt.big:,}")
                .replace("@SECONDS@", str(opt.seconds)))


def number(value):
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"


def median(values):
    return statistics.median(values)
