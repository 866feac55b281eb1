#!/usr/bin/env python3
"""Confluent's Java client, unchanged (test/http/java/Client.java)."""
import subprocess
import sys

from httptest import ROOT, Server

server = Server(writes=True)
done = subprocess.run([ROOT + "/test/support/registry-java", "run", "http://127.0.0.1:%d" % server.port])
sys.exit(done.returncode)
