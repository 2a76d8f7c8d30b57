"""What may be dialled: the address that was judged is the one connected to."""

import json
import socket
import struct
import threading

import pytest
from harness.apps import EchoApp
from harness.gateway import free_port
from test_sessions import open_tunnel


class NameServer:
    """A small DNS server over UDP: answers A queries from `names`, where a value is a list of addresses, or a callable."""

    def __init__(self, names):
        self.names = names
        self.asked = []
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.sock.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                query, peer = self.sock.recvfrom(2048)
            except OSError:
                return
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1 : at + 1 + query[at]].decode())
                at += 1 + query[at]
            name, (kind,) = ".".join(labels).lower(), struct.unpack("!H", query[at + 1 : at + 3])
            self.asked.append(name)
            known = self.names.get(name)
            if known == "silent":
                continue
            addresses = (known() if callable(known) else known) if known is not None and kind == 1 else []
            flags = 0x8180 if known is not None else 0x8183
            answer = query[:2] + struct.pack("!HHHHH", flags, 1, len(addresses), 0, 0) + query[12 : at + 5]
            for address in addresses:
                answer += struct.pack("!HHHIH", 0xC00C, 1, 1, 0, 4) + socket.inet_aton(address)
            self.sock.sendto(answer, peer)

    def close(self):
        self.sock.close()


@pytest.fixture
def names(gateway_factory, echo):
    """A gateway that asks a name server of the test; every address on loopback is allowed to the app `all`."""
    server = NameServer({})
    gateway = gateway_factory(config={"dns": {"servers": [server.address], "timeout": "2s"}}).start()
    gateway.account("alice")
    gateway.server = server
    yield gateway
    server.close()


def destinations(gateway, name, *destinations, allowed=()):
    gateway.apply(
        f"kind: app\nname: {name}\ndestinations: {json.dumps(list(destinations))}\n"
        f"allow_addresses: {json.dumps(list(allowed))}\n---\n"
        f"kind: policy\nname: {name}\napps: [{name}]\nallow: [{{departments: [Finance]}}]\n"
    )


def without_demo(gateway):
    gateway.ctl("delete", "policy", "demo")
    gateway.ctl("delete", "app", "demo")


def refusal(gateway, target, token):
    with gateway.connect(target, token) as tunnel:
        return tunnel.status


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "127.1.2.3", "169.254.169.254", "0.0.0.0", "224.0.0.1", "255.255.255.255", "[::1]", "[fe80::1]",
     "[::ffff:127.0.0.1]", "[::ffff:169.254.169.254]", "[64:ff9b::7f00:1]", "[fd00:ec2::254]", "[::]", "[ff02::1]",
     "[2002:7f00:1::1]"],
)
def test_addresses_that_are_never_an_app_are_refused_even_when_a_cidr_holds_them(gateway, echo, address):
    without_demo(gateway)
    destinations(gateway, "everything", f"0.0.0.0/0:{echo.port}", f"[::/0]:{echo.port}")
    with gateway.connect(f"{address}:{echo.port}", gateway.sign_in("alice")) as tunnel:
        # A spelling that no standard knows is malformed; every other one is understood and denied.
        assert tunnel.status in (400, 403)
    assert echo.connections == []
    assert gateway.wait_record(lambda r: r["event"] == "DENIED")["verdict"] == "DENIED"


@pytest.mark.parametrize("spelling", ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.0.0.1.", "127.0.0.01"])
def test_numeric_spellings_are_no_names(gateway, echo, spelling):
    destinations(gateway, "everything", f"*.example:{echo.port}", f"0.0.0.0/0:{echo.port}", allowed=["127.0.0.0/8"])
    assert refusal(gateway, f"{spelling}:{echo.port}", gateway.sign_in("alice")) in (400, 403)
    assert echo.connections == []


def test_the_gateways_own_listener_is_never_dialled(gateway):
    token = gateway.sign_in("alice")
    gateway.allow("self", f"127.0.0.1:{gateway.port}", f"127.0.0.1:{gateway.metrics_port}")
    assert refusal(gateway, f"127.0.0.1:{gateway.port}", token) == 403
    assert refusal(gateway, f"127.0.0.1:{gateway.metrics_port}", token) == 403


def test_a_name_an_exact_host_and_a_wildcard(names, echo):
    names.server.names.update({"a.corp.example": ["127.0.0.1"], "x.y.corp.example": ["127.0.0.1"], "corp.example": ["127.0.0.1"],
                               "evilcorp.example": ["127.0.0.1"]})
    token = names.sign_in("alice")
    destinations(names, "wild", f"*.corp.example:{echo.port}", allowed=["127.0.0.1"])
    open_tunnel_to(names, f"a.corp.example:{echo.port}", token)
    open_tunnel_to(names, f"A.CORP.example:{echo.port}", token)
    open_tunnel_to(names, f"x.y.corp.example:{echo.port}", token)
    for target in ("corp.example", "evilcorp.example"):
        assert refusal(names, f"{target}:{echo.port}", token) == 403
    assert "evilcorp.example" not in names.server.asked, "what is denied is not even asked for"
    record = names.wait_record(lambda r: r["destination_host"] == "a.corp.example")
    assert record["destination_ip"] == "127.0.0.1"


def open_tunnel_to(gateway, target, token):
    tunnel = gateway.connect(target, token)
    assert tunnel.status == 200, (target, tunnel.status)
    tunnel.send(b"ping")
    assert tunnel.recv_exactly(4) == b"ping"
    tunnel.close()


def test_ports_are_part_of_a_destination(gateway, echo):
    without_demo(gateway)
    token = gateway.sign_in("alice")
    destinations(gateway, "range", f"127.0.0.1:{echo.port - 1}-{echo.port}", allowed=["127.0.0.1"])
    open_tunnel(gateway, echo, token).close()
    assert refusal(gateway, f"127.0.0.1:{echo.port + 1}", token) == 403
    destinations(gateway, "range", f"127.0.0.1:{echo.port + 1}", allowed=["127.0.0.1"])
    assert refusal(gateway, echo.address, token) == 403


def test_a_name_that_turns_to_a_forbidden_address_is_refused(names, echo):
    """DNS rebinding: each resolution is judged, and what was judged is dialled without asking again."""
    answers = [["127.0.0.1"], ["169.254.169.254"], ["127.0.0.1", "169.254.169.254"]]
    current = {"index": 0}
    names.server.names["app.corp.example"] = lambda: answers[current["index"]]
    token = names.sign_in("alice")
    destinations(names, "app", f"app.corp.example:{echo.port}", allowed=["127.0.0.1"])
    open_tunnel_to(names, f"app.corp.example:{echo.port}", token)
    current["index"] = 1
    assert refusal(names, f"app.corp.example:{echo.port}", token) == 403
    current["index"] = 2
    # One bad address among good ones: the whole answer is not to be trusted, or only the good one is dialled.
    with names.connect(f"app.corp.example:{echo.port}", token) as tunnel:
        assert tunnel.status in (200, 403)
    assert {c.sock.getsockname()[0] for c in echo.connections if not c.ended} <= {"127.0.0.1"}


def test_a_name_that_does_not_exist_and_one_without_addresses(names, echo):
    names.server.names["empty.corp.example"] = []
    token = names.sign_in("alice")
    destinations(names, "corp", f"*.corp.example:{echo.port}", allowed=["127.0.0.1"])
    for host in ("none.corp.example", "empty.corp.example"):
        assert refusal(names, f"{host}:{echo.port}", token) == 502
        record = names.wait_record(lambda r, host=host: r["destination_host"] == host)
        assert record["verdict"] == "FAILED"


def test_a_silent_name_server_slows_no_other_app(names, echo):
    names.server.names.update({"dead.corp.example": "silent", "live.corp.example": ["127.0.0.1"]})
    token = names.sign_in("alice")
    destinations(names, "corp", f"*.corp.example:{echo.port}", allowed=["127.0.0.1"])
    statuses = []
    waiting = [
        threading.Thread(target=lambda: statuses.append(refusal(names, f"dead.corp.example:{echo.port}", token)))
        for _ in range(8)
    ]
    for thread in waiting:
        thread.start()
    while "dead.corp.example" not in names.server.asked:
        pass
    for _ in range(20):
        open_tunnel_to(names, f"live.corp.example:{echo.port}", token)
    assert statuses == [], "the dead name was still being waited for"
    for thread in waiting:
        thread.join()
    assert statuses == [504] * 8


def test_ipv6(gateway):
    try:
        app = EchoApp(host="::1")
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with app:
        gateway.allow("six", f"[::1]:{app.port}")
        open_tunnel_to(gateway, f"[::1]:{app.port}", gateway.sign_in("alice"))
        assert gateway.wait_closed()["destination_ip"] == "::1"


def test_nothing_listens(gateway):
    gateway.allow("nothing", f"127.0.0.1:{free_port()}")
    (app,) = [a for a in gateway.ctl_json("get", "apps") if a["name"] == "nothing"]
    assert refusal(gateway, app["destinations"][0], gateway.sign_in("alice")) == 502
