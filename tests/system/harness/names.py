"""A name server of the test's own, on loopback."""

import ipaddress
import socket
import struct
import threading


class NameServer:
    """Answers the names in `answers` with their addresses, those in `rebound` with one of theirs in turns, and everything else with
    "no such name". It stays silent when it is told to: altogether, for AAAA, or for names below those in `silent_names`."""

    def __init__(self):
        self.answers, self.rebound = {}, {}
        self.ttl = 0
        self.silent = self.silent_for_v6 = False
        self.silent_names = set()
        self.asked = []
        self.turns = {}
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.sock.getsockname()[1]}"
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while True:
            query, client = self.sock.recvfrom(4096)
            if query == b"end":
                return
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1 : at + 1 + query[at]].decode().lower())
                at += 1 + query[at]
            name, (kind,) = ".".join(labels), struct.unpack(">H", query[at + 1 : at + 3])
            self.asked.append(name)
            if self.silent or (self.silent_for_v6 and kind == 28) or any(name.endswith("." + s) for s in self.silent_names):
                continue
            self.sock.sendto(self._answer(query, query[12 : at + 5], name, kind), client)

    def _answer(self, query, question, name, kind):
        addresses = self.answers.get(name)
        if name in self.rebound:
            # Two questions, A and AAAA, belong to one look-up.
            turn = self.turns[name] = self.turns.get(name, -1) + 1
            addresses = [self.rebound[name][turn // 2 % len(self.rebound[name])]]
        records = b""
        count = 0
        for address in map(ipaddress.ip_address, addresses or []):
            if (address.version == 4) == (kind == 1):
                packed = address.packed
                records += b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, self.ttl, len(packed)) + packed
                count += 1
        flags = 0x8180 if addresses is not None else 0x8183
        return query[:2] + struct.pack(">HHHHH", flags, 1, count, 0, 0) + question + records

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.sendto(b"end", self.sock.getsockname())
        self.thread.join(30)
        self.sock.close()
