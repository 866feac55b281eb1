"""Runs the benchmark's parts and prints the table.  Started by test/bench/run,
which says what the options mean; server and broker are in the environment."""
import argparse
import os
import sys

import capture
import event_log
import log_capture
import parts
import system
from cluster import Cluster
from report import Table

PARTS = {"drain": parts.drain, "latency": parts.latency, "cost": parts.cost,
         "capture": capture.capture, "log": log_capture.log, "idle": parts.idle,
         "memory": parts.memory, "snapshot": parts.snapshot, "eventlog": event_log.event_log}


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--big", type=int, default=5_000_000)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--write", metavar="FILE")
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS])
    return parser.parse_args()


def main():
    opt = options()
    cluster = Cluster()
    table = Table()
    if opt.parts != ["cost"]:   # which warms up what it measures itself
        parts.warm_up(cluster)
    for name, part in PARTS.items():
        if not opt.parts or name in opt.parts:
            print(f"\n{name}", flush=True)
            part(cluster, opt, table)
    print()
    table.show()
    if opt.write:
        facts = system.facts(cluster.version(), os.path.join(cluster.server, "outbox-kafka"))
        with open(opt.write, "w") as f:
            f.write(table.document(opt, facts))
    return 0


sys.exit(main())
