"""Peers in a network namespace that hold connections to the gateway, until they vanish from one moment to the next, and the app that
their tunnels lead to. `python3 half_open.py peers NAMESPACE HOST PORT CA TARGET TUNNELS OTHERS` is all of them in a process of its own,
with the token in USHER_TOKEN, and `python3 half_open.py app` the app."""

import ctypes
import os
import resource
import select
import socket
import ssl
import subprocess
import sys
import threading

CLONE_NEWNET = 0x40000000
CONNECTORS = 16


class Child:
    """This file as a process of its own, which says a line when it is ready and lives until it is ended."""

    def __init__(self, *arguments, env=None):
        self.process = subprocess.Popen(
            [sys.executable, __file__, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, **(env or {})},
        )  # fmt: skip

    def ready(self):
        """What it says; AssertionError when it ends instead."""
        line = self.process.stdout.readline()
        assert line, f"it ended with {self.process.wait()}"
        return line.strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


class Peers(Child):
    """`tunnels` that are open, each on a connection of its own, and `others`: connections that have shaken hands and ask for nothing."""

    def __init__(self, namespace, gateway, token, target, tunnels, others):
        super().__init__("peers", namespace.name, namespace.here, gateway.port, gateway.ca, target, tunnels, others, env={"USHER_TOKEN": token})


class EchoProcess(Child):
    """An echo for thousands of connections. `address` is where it is."""

    def __init__(self):
        super().__init__("app")
        self.address = self.ready()

    def connections(self):
        """How many are open now."""
        self.process.stdin.write("?\n")
        self.process.stdin.flush()
        return int(self.ready())


def enter(namespace):
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/run/netns/{namespace}") as handle:
        if libc.setns(handle.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")


def peers(namespace, host, port, ca, target, tunnels, others):
    enter(namespace)  # before there is another thread
    context = ssl.create_default_context(cafile=ca)
    token = os.environ["USHER_TOKEN"]
    left = iter([True] * int(tunnels) + [False] * int(others))
    held, errors, lock = [], [], threading.Lock()

    def one(tunnel):
        sock = context.wrap_socket(socket.create_connection((host, int(port)), timeout=120), server_hostname="localhost")
        held.append(sock)
        if not tunnel:
            return
        sock.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: Bearer {token}\r\n\r\n".encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            byte = sock.recv(1)
            assert byte, f"the gateway closed after {answer}"
            answer += byte
        assert answer.startswith(b"HTTP/1.1 200"), answer
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"

    def connect():
        try:
            while not errors:
                with lock:
                    tunnel = next(left, None)
                if tunnel is None:
                    return
                one(tunnel)
        except Exception as error:  # noqa: BLE001: told by the main thread
            errors.append(error)

    threads = [threading.Thread(target=connect) for _ in range(CONNECTORS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    print(len(held), flush=True)
    sys.stdin.read()


def app():
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    print("%s:%d" % listener.getsockname(), flush=True)
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    poll.register(sys.stdin.fileno(), select.EPOLLIN)
    connections = {}
    while True:
        for fd, _ in poll.poll():
            if fd == sys.stdin.fileno():
                if not os.read(fd, 100):
                    return
                print(len(connections), flush=True)
            elif fd == listener.fileno():
                sock, _ = listener.accept()
                connections[sock.fileno()] = sock
                poll.register(sock, select.EPOLLIN)
            else:
                try:
                    data = connections[fd].recv(65536)
                    if data:
                        connections[fd].sendall(data)  # a byte or so: there is room
                except OSError:
                    data = b""
                if not data:
                    poll.unregister(fd)
                    connections.pop(fd).close()


def main():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return {"peers": peers, "app": app}[sys.argv[1]](*sys.argv[2:])


if __name__ == "__main__":
    main()
