"""The control API: who may reach it and how, health, reflection, paging, and a record of each act."""

import json
import socket
import stat
import threading

import grpc
import pytest
from harness.h2_client import H2Client
from harness.gateway import PASSWORD


def channel(gateway):
    return grpc.insecure_channel(f"unix:{gateway.data_dir}/control.sock")


def call(on, method, request=b"", metadata=()):
    """A unary call of raw bytes: these tests need no generated code."""
    return on.unary_unary(method)(request, timeout=20, metadata=metadata)


def test_health_and_reflection(gateway):
    with channel(gateway) as on:
        assert call(on, "/grpc.health.v1.Health/Check") == b"\x08\x01", "SERVING"
        list_services = b"\x3a\x01*"  # ServerReflectionRequest.list_services = "*"
        stream = on.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
        answer = next(stream(iter([list_services]), timeout=20))
        for service in ("Account", "Resource", "Session", "Audit"):
            assert f"usher.v1.{service}Service".encode() in answer


def test_the_socket_is_the_owners_alone(gateway):
    path = gateway.data_dir / "control.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(gateway.data_dir.stat().st_mode) == 0o700


def test_nothing_of_grpc_is_on_the_public_port(gateway):
    """HTTP/2 is, and what looks like a call of gRPC is answered by the sign-in API."""
    with H2Client(gateway) as client:
        for method in ("usher.v1.AccountService/ListAccounts", "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"):
            fields = [(":method", "POST"), (":scheme", "https"), (":authority", "localhost"), (":path", f"/{method}")]
            call = client.request([*fields, ("content-type", "application/grpc"), ("te", "trailers")], body=bytes(5)).wait_over()
            assert call.status == 404
            assert "grpc-status" not in call.headers


def test_an_employee_does_not_get_a_tunnel_to_the_control_api(gateway):
    with gateway.connect("control.usher.internal:443", gateway.sign_in("alice")) as tunnel:
        assert tunnel.status == 403
    record = gateway.wait_record(lambda r: r["destination_host"] == "control.usher.internal")
    assert record["verdict"] == "DENIED"


@pytest.mark.parametrize("role", ["administrator", "auditor"])
def test_a_call_through_a_tunnel_is_nobody_until_it_shows_its_own_credential(gateway, role):
    gateway.account("boss", role=role)
    token = gateway.sign_in("boss")
    tunnel = gateway.connect("control.usher.internal:443", token)
    assert tunnel.status == 200
    local = Bridge(tunnel.sock)
    with grpc.insecure_channel(f"127.0.0.1:{local.port}") as on:
        for metadata in [(), (("authorization", "Bearer " + "A" * 43),), (("authorization", "Basic Ym9zczp4"),)]:
            with pytest.raises(grpc.RpcError) as refused:
                call(on, "/usher.v1.AccountService/ListAccounts", metadata=metadata)
            assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
        # An employee's token inside of an administrator's tunnel is the employee's.
        with pytest.raises(grpc.RpcError) as refused:
            call(on, "/usher.v1.AccountService/ListAccounts",
                 metadata=(("authorization", "Bearer " + gateway.sign_in("alice")),))
        assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED
        own = (("authorization", "Bearer " + token),)
        if role == "administrator":
            assert b"alice" in call(on, "/usher.v1.AccountService/ListAccounts", metadata=own)
        # Signed out, the tunnel ends.
        assert gateway.request("DELETE", "/.usher/v1/sessions/current", token=token)[0] == 204
        with pytest.raises(grpc.RpcError):
            call(on, "/usher.v1.AccountService/ListAccounts", metadata=own)


class Bridge:
    """One local TCP connection to and from a tunnel, by threads: gRPC wants a socket of its own."""

    def __init__(self, sock):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.sock = sock
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        plain, _ = self.listener.accept()
        self.listener.close()

        def pump(read, write, end):
            try:
                while data := read():
                    write(data)
            except OSError:
                pass
            end()

        threading.Thread(target=pump, args=(lambda: plain.recv(65536), self.sock.sendall, self.sock.close), daemon=True).start()
        pump(lambda: self.sock.recv(65536), plain.sendall, plain.close)


def test_lists_are_paged_and_complete(gateway):
    for i in range(25):
        gateway.account(f"user{i:02}")
    names = [a["username"] for a in gateway.ctl_json("account", "list")]
    assert sorted(names) == sorted(["alice"] + [f"user{i:02}" for i in range(25)])
    page, seen, token = b"\x08\x0a", 0, b""  # page_size = 10
    with channel(gateway) as on:
        while True:
            request = page + (b"\x12" + bytes([len(token)]) + token if token else b"")
            answer = call(on, "/usher.v1.AccountService/ListAccounts", request)
            seen += answer.count(b"accounts/") or answer.count(b"Finance")
            token = next_page_token(answer)
            if not token:
                break
    assert seen == 26
    with channel(gateway) as on, pytest.raises(grpc.RpcError) as refused:
        call(on, "/usher.v1.AccountService/ListAccounts", b"\x12\x05wrong")
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def next_page_token(answer):
    """Field 2 of a list's answer, by the wire format."""
    at, token = 0, b""
    while at < len(answer):
        key, at = varint(answer, at)
        assert key & 7 == 2, "lists hold messages and a string"
        length, at = varint(answer, at)
        if key >> 3 == 2:
            token = answer[at : at + length]
        at += length
    return token


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def test_each_act_is_an_event_with_before_and_after_and_without_secrets(gateway):
    gateway.account("bob", password="a password to look for")
    gateway.ctl("account", "update", "bob", "--department", "Sales")
    gateway.ctl("account", "set-password", "bob", "--password-stdin", input="another to look for\n")
    gateway.ctl("account", "disable", "bob")
    gateway.ctl("delete", "policy", "demo")
    assert gateway.ctl("account", "create", "bob", "--password-stdin", input=PASSWORD + "\n", check=False).returncode != 0
    text = gateway.ctl("audit", "tail", "--since", "1h", "-o", "json").stdout
    assert "to look for" not in text
    acts = [e["admin"] for e in map(json.loads, text.splitlines()) if "admin" in e]
    done = [(a["action"], a["resource"]) for a in acts if a["outcome"] == "DONE"]
    for expected in [("account.create", "accounts/bob"), ("account.update", "accounts/bob"), ("account.set-password", "accounts/bob"),
                     ("account.disable", "accounts/bob"), ("policy.delete", "policies/demo")]:
        assert expected in done, done
    update = next(a for a in acts if a["action"] == "account.update")
    assert json.loads(update["before_json"])["department"] == "Finance"
    assert json.loads(update["after_json"])["department"] == "Sales"
    assert all(a["actor"] == "local" for a in acts)


def test_a_flood_of_connections_to_the_socket_does_not_stop_the_gateway(gateway, echo):
    held = []
    for _ in range(200):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(gateway.data_dir / "control.sock"))
        held.append(sock)
    token = gateway.sign_in("alice")
    assert gateway.connect(echo.address, token).status == 200
    for sock in held:
        sock.close()
    assert gateway.ctl("account", "list").returncode == 0
