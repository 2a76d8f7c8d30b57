"""Another machine, as far as TCP can tell: a network namespace behind a pair of virtual links, which can vanish without a word."""

import ctypes
import itertools
import os
import socket
import subprocess
import threading

import pytest

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count()


def _ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


class Namespace:
    """`here` is this machine's address as it is seen from there, and `there` the other way round."""

    def __init__(self):
        number = (os.getpid() * 8 + next(_numbers) % 8) % 16_384
        self.name = f"usher-{number}"
        self.link = f"ush{number}"
        block = f"10.213.{number // 64}.{number % 64 * 4}".rsplit(".", 1)
        self.here, self.there = (f"{block[0]}.{int(block[1]) + i}" for i in (1, 2))

    def __enter__(self):
        try:
            _ip("netns", "add", self.name)
        except (FileNotFoundError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no network namespaces here: {getattr(error, 'stderr', error)}")
        try:
            _ip("link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", self.name)
            _ip("addr", "add", f"{self.here}/30", "dev", self.link)
            _ip("link", "set", self.link, "up")
            _ip("-n", self.name, "addr", "add", f"{self.there}/30", "dev", "eth0")
            _ip("-n", self.name, "link", "set", "eth0", "up")
        except subprocess.CalledProcessError as error:
            self.__exit__()
            pytest.skip(f"no virtual links here: {error.stderr}")
        return self

    def __exit__(self, *_):
        subprocess.run(["ip", "netns", "delete", self.name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "delete", self.link], check=False, capture_output=True)  # with its other end

    def vanish(self):
        """What arrives there is received, and nothing comes back any more: no end, no reset, no answer."""
        _ip("-n", self.name, "route", "add", "blackhole", f"{self.here}/32")

    def run(self, make):
        """make(), by a thread that lives in the namespace: sockets stay where they were made."""
        results = []

        def inside():
            try:
                with open(f"/run/netns/{self.name}") as namespace:
                    if _libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
                        raise OSError(ctypes.get_errno(), "setns")
                results.append(make())
            except BaseException as error:  # noqa: BLE001: handed on to who waits
                results.append(error)

        thread = threading.Thread(target=inside)
        thread.start()
        thread.join()
        if isinstance(results[0], BaseException):
            raise results[0]
        return results[0]

    def connect(self, port):
        return self.run(lambda: socket.create_connection((self.here, port), timeout=60))
