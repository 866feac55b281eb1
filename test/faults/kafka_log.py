"""What lies in the broker's log segments, and in PostgreSQL's WAL.

A stock consumer does not say which Kafka transaction a message belonged to.
The segments do: each batch names its producer and epoch, and a control batch
of the same producer ends the transaction in that partition.  The position
records, one in every Kafka transaction, tell the transactions of a producer
apart across partitions: a database transaction belongs into the first one
whose P is beyond its commit record.
"""
import bisect
import collections
import glob
import os
import re
import struct
import subprocess

HEADER = struct.Struct(">qiibIhiqqqhii")
POSITION = struct.Struct("<IH16sQ16sIQHqQ")
COMMIT = 1


class Batch:
    """One record batch: whose it is, and which offsets."""

    def __init__(self, raw):
        (self.first, _, _, _, _, attributes, delta, _, _, self.producer, self.epoch, _,
         _) = HEADER.unpack_from(raw)
        self.last = self.first + delta
        self.transactional = bool(attributes & 16)
        self.control = None
        if attributes & 32:
            # length, attributes, time and offset deltas, key length: one byte each
            self.control = struct.unpack_from(">hh", raw, HEADER.size + 5)[1]

    @property
    def who(self):
        return self.producer, self.epoch


def batches(folder):
    """All batches of a partition's folder, in order."""
    for path in sorted(glob.glob(f"{folder}/*.log")):
        with open(path, "rb") as f:
            raw = f.read()
        at = 0
        while at + HEADER.size <= len(raw):
            size = struct.unpack_from(">i", raw, at + 8)[0] + 12
            if size <= 12 or at + size > len(raw):
                break
            yield Batch(raw[at:at + size])
            at += size


def local_transactions(folder):
    """{offset: ((producer, epoch), offset of the marker)} of what was committed."""
    open_batches = collections.defaultdict(list)
    place = {}
    for batch in batches(folder):
        if not batch.transactional:
            continue
        if batch.control is None:
            open_batches[batch.who].append(batch)
            continue
        # a marker written for a fenced producer carries the next epoch
        for who in [w for w in open_batches if w[0] == batch.producer]:
            for b in open_batches.pop(who):
                if batch.control == COMMIT:
                    for offset in range(b.first, b.last + 1):
                        place[offset] = (who, batch.first)
    return place


def commit_order(server):
    """{xid: start of its commit record}, from all WAL that there is."""
    segments = sorted(n for n in os.listdir(f"{server.data}/pg_wal") if re.fullmatch("[0-9A-F]{24}", n))
    out = subprocess.run([f"{server.bin}/pg_waldump", "-r", "Transaction", "-p", f"{server.data}/pg_wal", segments[0],
                          segments[-1]], capture_output=True, text=True, errors="replace").stdout
    order = {}
    pattern = re.compile(r"tx:\s*(\d+), lsn: ([0-9A-F]+)/([0-9A-F]+).*desc: COMMIT(_PREPARED (\d+))?\b")
    for line in out.split("\n"):
        m = pattern.search(line)
        if m:
            order[m.group(5) or m.group(1)] = int(m.group(2), 16) << 32 | int(m.group(3), 16)
    return order


def torn(data, position_topic, positions, messages, commit_of):
    """Violations of "one database transaction, one Kafka transaction".

    positions: [(offset, raw record)] of the position topic, committed ones;
    messages: (topic, partition, offset, transaction) of all events;
    commit_of: {transaction: start of its commit record}.
    """
    places = {}

    def place(topic, partition, offset):
        folder = f"{data}/{topic}-{partition}"
        if folder not in places:
            places[folder] = local_transactions(folder)
        return places[folder].get(offset)

    spine = []
    for offset, raw in sorted(positions):
        where = place(position_topic, 0, offset)
        if where is not None:
            spine.append((POSITION.unpack_from(raw)[9], where[0]))
    found = []
    scanned = [p for p, _ in spine]
    if scanned != sorted(scanned):
        found.append("the position moved backwards")
    owner = {}
    for topic, partition, offset, txn in messages:
        where = place(topic, partition, offset)
        if where is None:
            found.append(f"{topic}[{partition}]@{offset} is in no committed Kafka transaction")
            continue
        n = bisect.bisect_right(scanned, commit_of[txn])
        if n == len(spine) or spine[n][1] != where[0]:
            found.append(f"{topic}[{partition}]@{offset} of transaction {txn} is not where its position record is")
        elif owner.setdefault((topic, partition, where), n) != n:
            found.append(f"{topic}[{partition}]@{offset}: one Kafka transaction with two position records")
    return found, len(spine)
