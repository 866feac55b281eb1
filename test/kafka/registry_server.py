#!/usr/bin/env python3
"""A small schema registry that misbehaves on demand.

It speaks enough of the Confluent API to register, look up and read, and lies in
as many ways as tests ask for; what a real registry does is tested on a real one.

	registry_server.py [--tls DIR [--mtls]] [--basic USER:PASSWORD] [--bearer TOKEN] [--base PATH]

prints its URL and serves until its standard input closes.  DIR has ca.pem,
server.pem and server.key.  PUT /_fault with {"fault": NAME, "path": REGEX,
"times": N} makes the next N requests (0: all) whose "METHOD path" matches
misbehave, {} ends it; GET /_calls gives what was asked, with headers.
"""
import argparse
import base64
import http.server
import json
import re
import socket
import ssl
import sys
import threading
import time
import urllib.parse

MEGABYTE = b"x" * 1000000


class Store:
    def __init__(self):
        self.lock = threading.Lock()
        self.fault = {}
        self.calls = []
        self.ids = {}           # (context, schema) -> id
        self.subjects = {}      # subject -> [id]
        self.schemas = {}       # (context, id) -> (schema, references)
        self.modes = {}
        self.next = 0

    @staticmethod
    def context(subject):
        m = re.match(r":\.([^:]*):", subject or "")
        return m.group(1) if m else ""

    def register(self, subject, schema, references=None, id=None):
        context = self.context(subject)
        key = (context, schema)
        if id is not None:
            if self.modes.get(subject) != "IMPORT":
                return None
            self.ids[key] = id
        elif key not in self.ids:
            self.next += 1
            self.ids[key] = self.next
        self.schemas[(context, self.ids[key])] = (schema, references)
        versions = self.subjects.setdefault(subject, [])
        if self.ids[key] not in versions:
            versions.append(self.ids[key])
        return self.ids[key]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "TestRegistry"

    def log_message(self, *args):
        pass

    def answer(self, status, value, content_type="application/vnd.schemaregistry.v1+json", headers=()):
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        for k, v in headers:
            self.send_header(k, v)
        self.end_headers()
        self.wfile.write(data)

    def error(self, status, code, message):
        self.answer(status, {"error_code": code, "message": message})

    # ---- lies
    def misbehave(self, fault):
        name, _, arg = fault.partition(":")
        if name == "slow":
            time.sleep(float(arg or 30))
            return False        # and then the truth
        if name == "status":
            self.error(int(arg), int(arg) * 100 + 1 if int(arg) >= 500 else int(arg), "asked to say so")
        elif name == "refuse":
            status, code, message = arg.split(":", 2)
            self.error(int(status), int(code), message)
        elif name == "redirect":
            self.answer(302, b"", headers=[("Location", arg or "http://169.254.169.254/latest/meta-data/")])
        elif name == "huge":
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            if arg == "announced":
                self.send_header("Content-Length", "1000000000")
            else:
                self.send_header("Connection", "close")
            self.end_headers()
            sent = 0
            try:
                while sent < 1000:
                    self.wfile.write(MEGABYTE)
                    sent += 1
            finally:
                self.server.store.calls.append({"huge_sent": sent})
        elif name == "headers":
            self.send_response(200)
            for i in range(100000):
                self.send_header("X-Fill-%d" % i, "y" * 1000)
            self.end_headers()
        elif name == "drip":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            for _ in range(60):
                self.wfile.write(b" ")
                self.wfile.flush()
                time.sleep(0.5)
        elif name == "close":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif name == "early":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b'{"id": ')
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif name == "json":
            self.answer(200, arg.encode())
        elif name == "html":
            self.answer(int(arg or 200), b"<html><body>Welcome to nginx</body></html>", "text/html")
        elif name == "echo":
            self.error(422, 42201, "you sent " + self.headers.get("Authorization", "nothing"))
        else:
            raise ValueError(name)
        return True

    # ---- truth
    def serve(self, method):
        store = self.server.store
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        if self.path == "/_calls":
            return self.answer(200, store.calls)
        if self.path == "/_fault":
            store.fault = json.loads(body)
            return self.answer(200, {})
        store.calls.append({"method": method, "path": self.path, "body": body.decode(),
                            "headers": dict(self.headers)})
        fault = store.fault
        if fault and re.search(fault.get("path", "."), method + " " + self.path):
            if fault.get("times"):
                fault["times"] -= 1
                if fault["times"] == 0:
                    store.fault = {}
            if self.misbehave(fault["fault"]):
                return None
        want = self.server.authorization
        if want and self.headers.get("Authorization") != want:
            return self.error(401, 40101, "Unauthorized")
        base = self.server.base
        url = urllib.parse.urlsplit(self.path)
        if not url.path.startswith(base):
            return self.error(404, 404, "HTTP 404 Not Found")
        parts = [urllib.parse.unquote(p) for p in url.path[len(base):].strip("/").split("/")]
        query = urllib.parse.parse_qs(url.query)
        with store.lock:
            return self.api(store, method, parts, query, json.loads(body or b"{}"))

    def api(self, store, method, parts, query, body):
        if method == "PUT" and parts[0] == "mode":
            store.modes[parts[1]] = body["mode"]
            return self.answer(200, body)
        if method == "GET" and parts[:2] == ["schemas", "ids"]:
            found = store.schemas.get((store.context(query.get("subject", [""])[0]), int(parts[2])))
            if not found:
                return self.error(404, 40403, "Schema %s not found" % parts[2])
            return self.answer(200, dict({"schema": found[0]}, **({"references": found[1]} if found[1] else {})))
        if parts[0] != "subjects" or len(parts) < 2:
            return self.error(404, 404, "HTTP 404 Not Found")
        subject = parts[1]
        versions = store.subjects.get(subject)
        if method == "POST" and parts[2:] == ["versions"]:
            id = store.register(subject, body["schema"], body.get("references"), body.get("id"))
            if id is None:
                return self.error(422, 42205, "Subject %s is not in import mode" % subject)
            return self.answer(200, {"id": id})
        if versions is None:
            return self.error(404, 40401, "Subject '%s' not found." % subject)
        if method == "POST" and len(parts) == 2:
            id = store.ids.get((store.context(subject), body["schema"]))
            if id not in versions:
                return self.error(404, 40403, "Schema not found")
            return self.answer(200, {"subject": subject, "id": id, "version": versions.index(id) + 1,
                                     "schema": body["schema"]})
        if method == "GET" and parts[2:] == ["versions", "latest"]:
            id = versions[-1]
            return self.answer(200, {"subject": subject, "id": id, "version": len(versions),
                                     "schema": store.schemas[(store.context(subject), id)][0]})
        return self.error(404, 404, "HTTP 404 Not Found")

    def do_GET(self):
        self.serve("GET")

    def do_POST(self):
        self.serve("POST")

    def do_PUT(self):
        self.serve("PUT")


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass                    # clients go away; that is what is tested


def start(base="", basic=None, bearer=None, tls=None, mtls=False, port=0, host="127.0.0.1"):
    """A server in a thread: .url, .store, .fault(...), .shutdown()"""
    server = Server((host, port), Handler)
    server.store = Store()
    server.base = base
    server.authorization = None
    if basic:
        server.authorization = "Basic " + base64.b64encode(basic.encode()).decode()
    if bearer:
        server.authorization = "Bearer " + bearer
    scheme = "http"
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls + "/server.pem", tls + "/server.key")
        if mtls:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(tls + "/ca.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    server.url = "%s://%s:%d%s" % (scheme, host, server.server_address[1], base)

    def fault(name=None, path=".", times=0):
        server.store.fault = {"fault": name, "path": path, "times": times} if name else {}
    server.fault = fault
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return server


def main():
    p = argparse.ArgumentParser()
    for name in ("base", "basic", "bearer", "tls"):
        p.add_argument("--" + name, default="" if name == "base" else None)
    p.add_argument("--mtls", action="store_true")
    p.add_argument("--port", type=int, default=0)
    server = start(**vars(p.parse_args()))
    print(server.url, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
