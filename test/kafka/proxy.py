"""A TCP proxy in front of a broker that knows where requests begin.

A hook sees each request (api key, bytes) and says what becomes of it:
  "pass"   to the broker
  "lose"   to the broker, but the connection is cut instead of the answer
  "hold"   not to the broker, kept in held; the connection is cut
  seconds  a number: to the broker, that much later, and what follows behind it
  bytes    not to the broker: this is the answer's body
  (seconds, bytes)  both
"""
import socket
import struct
import threading
import time

END_TXN = 26


class Proxy:
    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.address = "127.0.0.1:%d" % self.port
        self.target = None
        self.hook = lambda api, frame: "pass"
        self.held = []
        self.seen = {}
        self.lock = threading.Lock()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            try:
                broker = socket.create_connection(self.target)
            except OSError:
                client.close()
                continue
            for s in (client, broker):
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            state = {"cut": False, "lock": threading.Lock()}
            threading.Thread(target=self.requests, args=(client, broker, state), daemon=True).start()
            threading.Thread(target=self.answers, args=(client, broker, state), daemon=True).start()

    @staticmethod
    def exactly(s, n):
        out = b""
        while len(out) < n:
            more = s.recv(n - len(out))
            if not more:
                raise OSError
            out += more
        return out

    @staticmethod
    def close(*sockets):
        for s in sockets:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()

    def requests(self, client, broker, state):
        try:
            while True:
                head = self.exactly(client, 4)
                frame = head + self.exactly(client, struct.unpack(">i", head)[0])
                api = struct.unpack_from(">h", frame, 4)[0]
                with self.lock:
                    self.seen[api] = self.seen.get(api, 0) + 1
                    action = self.hook(api, frame)
                if action == "hold":
                    self.held.append(frame)
                    break
                wait, answer = action if isinstance(action, tuple) else (action, action)
                if isinstance(wait, (int, float)):
                    time.sleep(wait)
                if isinstance(answer, bytes):
                    with state["lock"]:
                        client.sendall(struct.pack(">i", 4 + len(answer)) + frame[8:12] + answer)
                    continue
                if action == "lose":
                    state["cut"] = True
                broker.sendall(frame)
        except OSError:
            pass
        self.close(client, broker)

    def answers(self, client, broker, state):
        try:
            while True:
                head = self.exactly(broker, 4)
                data = head + self.exactly(broker, struct.unpack(">i", head)[0])
                if state["cut"]:
                    break
                with state["lock"]:
                    client.sendall(data)
        except OSError:
            pass
        self.close(client, broker)

    def release(self):
        """Deliver what was held, late; the answers' error codes."""
        codes = []
        for frame in self.held:
            with socket.create_connection(self.target) as s:
                s.settimeout(10)
                s.sendall(frame)
                n = struct.unpack(">i", self.exactly(s, 4))[0]
                codes.append(self.exactly(s, n))
        self.held = []
        return codes
