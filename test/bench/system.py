"""What the benchmark asks of the operating system: CPU time, memory, facts."""
import os
import platform
import re
import subprocess
import threading
import time


def cpu_seconds(pid):
    """User and system time of a process, all threads, from the scheduler's
    own count in nanoseconds: clock ticks are too coarse for an idle process."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/schedstat") as f:
                total += int(f.read().split()[0])
        except FileNotFoundError:
            pass
    return total / 1e9


def private_mb(pid):
    """Memory that belongs to this process alone."""
    with open(f"/proc/{pid}/smaps_rollup") as f:
        kb = sum(int(n) for n in re.findall(r"^Private_\w+:\s+(\d+) kB", f.read(), re.M))
    return kb / 1024


class MemoryWatch:
    """Peak of the private memory of several processes together."""

    def __init__(self, pids, interval=0.05):
        self.pids, self.interval = pids, interval
        self.peak, self.peaks = 0.0, [0.0] * len(pids)

    def __enter__(self):
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self):
        while True:
            now = [private_mb(p) for p in self.pids]
            self.peak = max(self.peak, sum(now))
            self.peaks = [max(a, b) for a, b in zip(self.peaks, now)]
            if self.over.wait(self.interval):
                return

    def __exit__(self, *unused):
        self.over.set()
        self.thread.join()


class OthersWatch:
    """How many CPUs other processes than ours kept busy, on average."""

    def __init__(self, ours):
        self.ours = ours

    @staticmethod
    def busy():
        with open("/proc/stat") as f:
            ticks = [int(n) for n in f.readline().split()[1:9]]
        return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")

    def __enter__(self):
        self.began, self.cpu = time.monotonic(), self.busy()
        self.own = sum(cpu_seconds(p) for p in self.ours)
        return self

    def __exit__(self, *unused):
        spent = self.busy() - self.cpu
        own = sum(cpu_seconds(p) for p in self.ours) - self.own
        self.cpus = max(0.0, (spent - own) / (time.monotonic() - self.began))


def facts(server, kafka_program):
    with open("/proc/cpuinfo") as f:
        model = re.search(r"^model name\s*: (.*)", f.read(), re.M)
    with open("/proc/meminfo") as f:
        memory = int(re.search(r"MemTotal:\s+(\d+)", f.read()).group(1))
    version = subprocess.run([kafka_program, "--version"], capture_output=True, text=True).stdout
    return {
        "CPU": f"{os.cpu_count()} × {model.group(1) if model else platform.machine()}",
        "memory": f"{memory / 1024 / 1024:.0f} GB",
        "kernel": platform.release().split("-")[0],
        "PostgreSQL": server,
        "librdkafka": version.strip().split()[-1],
    }
