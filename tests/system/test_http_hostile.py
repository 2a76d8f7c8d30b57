"""Requests that are not what they seem, over real TLS: each gets its one answer and a closed connection, the app sees nothing of
them, and each is counted and on record. The classes are those of gateways that were broken before: framing that two parsers read
differently, lengths that overflow, bytes behind a CONNECT."""

import socket
import ssl
import subprocess
import warnings
from collections import Counter

import pytest

from harness.apps import EchoApp, RefusingPort
from harness.build import SCALE
from harness.prepared import module_prepared  # noqa: F401
from harness.wait import wait_for
from harness.wire import exchange, head_is_there

warnings.filterwarnings("ignore", category=DeprecationWarning, module="ssl")

HOST = b"Host: gateway.example\r\n"
API = b"/.usher/v1/sessions/current"
LONG = 30 * SCALE


class Stage:
    """A gateway, an app behind it that must see nothing, and somebody who is signed in."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.app = gateway.app
        self.token = gateway.sign_in("alice").encode()
        self.target = gateway.app.address.encode()

    def send(self, data, **options):
        with self.gateway.open_raw() as sock:
            return exchange(sock, data, timeout=LONG, **options)

    def connect(self, target=None, host=None, extra=b"", version=b"HTTP/1.1"):
        target = self.target if target is None else target
        host = target if host is None else host
        return b"CONNECT %s %s\r\nHost: %s\r\nProxy-Authorization: Bearer %s\r\n%s\r\n" % (target, version, host, self.token, extra)

    def refused(self, data, status, reason=None):
        """One answer, closed properly, and the app saw no connection."""
        seen = len(self.app.connections)
        got = self.send(data)
        assert got.end == "eof", (got, data[:200])
        assert [a.status for a in got.answers] == [status], (got.data, data[:200])
        answer = got.answers[0]
        assert answer.header("connection") == "close" and answer.header("cache-control") == "no-store", got.data
        if reason is not None:
            assert answer.body.decode() == reason + "\n", data[:200]
        assert len(self.app.connections) == seen
        return answer


@pytest.fixture(scope="module")
def stage(module_prepared):
    return Stage(module_prepared())


@pytest.fixture(autouse=True)
def stays_up(stage):
    yield
    assert stage.gateway.process.poll() is None
    with stage.gateway.connect(stage.app.address, token=stage.token.decode()) as tunnel:
        assert tunnel.status == 200
        # Once it has answered, the app knows of the connection: the next test counts from there.
        tunnel.send(b"x")
        assert tunnel.sock.recv(1) == b"x"


def denied(gateway):
    """Denials by reason, as the metrics count them."""
    counts = Counter()
    for line in gateway.metrics().splitlines():
        if line.startswith('usher_denied_total{reason="'):
            labels, value = line.rsplit(" ", 1)
            counts[labels.split('"')[1]] += int(float(value))
    return counts


def on_record(gateway):
    """Denials of nobody in particular by reason, as the records count them."""
    counts = Counter()
    for record in gateway.records('event = "DENIED"'):
        if not record.get("username"):
            counts[record["reasons"][0].split(" ")[0]] += int(record.get("count", 0)) or 1
    return counts


# --- F1, F2: Transfer-Encoding -----------------------------------------------------------------------------------------------

TRANSFER_ENCODINGS = [
    b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    b"Transfer-Encoding: chunked, chunked\r\n",
    b"Transfer-Encoding: chunked, identity\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding: xchunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Transfer-Encoding:\r\n",
    b"Transfer-Encoding:\r\n chunked\r\n",
    b"Transfer-Encoding:\x0bchunked\r\n",
    b"Transfer-Encoding:\xa0chunked\r\n",
    b"Transfer-Encoding: \x00chunked\r\n",
    b'Transfer-Encoding: "chunked"\r\n',
    b"TRANSFER-ENCODING: CHUNKED\r\n",
    b"tRaNsFeR-eNcOdInG: chunked\r\n",
]
SMUGGLED = b"0\r\n\r\nGET /.usher/v1/apps HTTP/1.1\r\nHost: gateway.example\r\n\r\n"


@pytest.mark.parametrize("field", TRANSFER_ENCODINGS)
@pytest.mark.parametrize("line", [b"POST /.usher/v1/sessions HTTP/1.1\r\n", b"GET " + API + b" HTTP/1.1\r\n", b"POST / HTTP/1.0\r\n"])
def test_a_transfer_encoding_is_refused_however_it_is_spelled(stage, line, field):
    stage.refused(line + HOST + field + b"\r\n" + SMUGGLED, 400)


@pytest.mark.parametrize(
    "field",
    [
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding\t: chunked\r\n",
        b" Transfer-Encoding: chunked\r\n",
        b"\tTransfer-Encoding: chunked\r\n",
        b"X: y\r\n Transfer-Encoding: chunked\r\n",
        b"X: y\rTransfer-Encoding: chunked\r\n",
        b"X: y\nTransfer-Encoding: chunked\r\n",
        b"X: y\x00Transfer-Encoding: chunked\r\n",
        b"Transfer_Encoding: chunked\r\n",
        b"Transfer-Encoding\x00: chunked\r\n",
        b"Transfer-Encoding\xff: chunked\r\n",
        b"\xefTransfer-Encoding: chunked\r\n",
        b"Transfer Encoding: chunked\r\n",
    ],
)
def test_a_transfer_encoding_that_hides_from_one_parser_is_refused(stage, field):
    stage.refused(b"POST /.usher/v1/sessions HTTP/1.1\r\n" + HOST + field + b"\r\n" + SMUGGLED, 400)


# --- F3: Content-Length ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        b"", b" ", b"+3", b"-3", b"0x3", b"3 ,3", b"3, 3", b"3,3", b"3;", b"3 3", b"3.0", b"1e1", b"0b11", b"3_", b'"3"', b"three",
        b"9223372036854775808", b"18446744073709551616", b"18446744073709551619", b"9" * 40, b"0" * 40 + b"3",
        "３".encode(), b"3\x00", b"3\x0b", b"\x0b3", b"3\r 3",
    ],
)  # fmt: skip
def test_a_content_length_that_is_no_plain_number_is_refused(stage, value):
    stage.refused(b"POST /.usher/v1/sessions HTTP/1.1\r\n" + HOST + b"Content-Length: " + value + b"\r\n\r\n{}x", 400)


@pytest.mark.parametrize("second", [b"Content-Length: 2\r\n", b"Content-Length: 3\r\n", b"content-length: 2\r\n"])
def test_two_content_lengths_are_refused_even_when_they_agree(stage, second):
    stage.refused(b"POST /.usher/v1/sessions HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n" + second + b"\r\n{}", 400, "duplicate-field")


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"TRACE"])
def test_content_where_none_belongs_never_becomes_a_request(stage, method):
    stage.refused(method + b" " + API + b" HTTP/1.1\r\n" + HOST + b"Content-Length: 60\r\n\r\n" + SMUGGLED, 400)


# --- F4, F5, F13: sizes and counts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [255, 256])
def test_a_long_field_name_within_the_bound_is_read_whole(stage, length):
    answers = stage.send(b"GET /none HTTP/1.1\r\n" + HOST + b"A" * length + b": v\r\n\r\n").answers
    assert [a.status for a in answers] == [404]


@pytest.mark.parametrize("length", [257, 511, 512, 4096, 16383, 16384, 16385, 65535, 65536, 70000])
def test_a_field_name_past_the_bound_is_refused(stage, length):
    # A name that is cut to 8 bits, or at a bound, would be another name.
    name = b"A" * (length - 14) + b"Content-Length"
    stage.refused(b"GET /none HTTP/1.1\r\n" + HOST + name + b": 0\r\n\r\n", 431)


@pytest.mark.parametrize("size", [16 * 1024, 65535, 65536, 1 << 20])
def test_a_field_value_past_the_bound_is_refused(stage, size):
    stage.refused(b"GET /none HTTP/1.1\r\n" + HOST + b"X: " + b"v" * size + b"\r\n\r\n", 431)


@pytest.mark.parametrize("count", [65, 1000, 10_000])
def test_too_many_fields_are_refused(stage, count):
    stage.refused(b"GET /none HTTP/1.1\r\n" + HOST + b"".join(b"a%d: \r\n" % i for i in range(count)) + b"\r\n", 431)


@pytest.mark.parametrize("size", [4096, 65536, 3 << 20])
def test_a_target_past_the_bound_is_refused(stage, size):
    stage.refused(b"GET /" + b"a" * size + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414, "target-too-long")


def test_a_connect_target_past_every_bound_is_refused(stage):
    for size, status in ((254, 400), (4000, 400), (5000, 414)):
        stage.refused(stage.connect(target=b"a" * size + b":80"), status)


@pytest.mark.parametrize("name", [b"", b" ", b"\t", b"X Y", b"X\t", b"X(", b"X\x00", b"X\x7f", b"X\xc3\xa9", b"X_Y", b"X@", b'"X"'])
def test_a_field_name_that_is_no_token_is_refused(stage, name):
    stage.refused(b"GET " + API + b" HTTP/1.1\r\n" + HOST + name + b": v\r\nAuthorization: Bearer " + stage.token + b"\r\n\r\n", 400)


def test_a_field_without_a_colon_is_refused(stage):
    stage.refused(b"GET " + API + b" HTTP/1.1\r\n" + HOST + b"Authorization\r\n\r\n", 400)


# --- F6: every odd byte at every place ---------------------------------------------------------------------------------------

ODD_BYTES = [0x00, 0x09, 0x0A, 0x0B, 0x0D, 0x20, 0x7F, 0x80, 0xFF]


@pytest.mark.parametrize("byte", ODD_BYTES)
def test_an_odd_byte_anywhere_in_a_connect_is_refused_or_changes_nothing(stage, byte):
    """Put in at every position of a CONNECT that is good without it."""
    request = stage.connect(extra=b"User-Agent: a b\r\n")
    blank = byte in (0x09, 0x20)
    seen = len(stage.app.connections)
    accepted = 0
    for at in range(len(request)):
        if at == len(request) - 1 and byte == 0x0A:
            continue  # that is the same as one behind the head, where it is the tunnel's
        got = stage.send(request[:at] + bytes([byte]) + request[at:], until=head_is_there)
        assert got.data.startswith(b"HTTP/1.1 "), (at, got)
        status = int(got.data[9:12])
        if status == 200:
            # Only white space that RFC 9112 allows around a value, or inside one that means nothing to the gateway.
            line = request[request.rfind(b"\n", 0, at) + 1 : request.find(b"\n", at) + 1]
            column = at - (request.rfind(b"\n", 0, at) + 1)
            value = line.find(b":") + 1
            around = column in (value, value + 1, len(line) - 2)
            assert blank and not line.startswith(b"CONNECT") and (around or line.startswith(b"User-Agent") and column >= value), (at, line, column)
            accepted += 1
        else:
            assert status in (400, 407, 505), (at, got)
    assert accepted == (3 * 3 + 2 if blank else 0), accepted
    wait_for(lambda: len(stage.app.connections) == seen + accepted, "the app's connections")


# --- F11: CONNECT ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        b"db.example", b"db.example:", b":5432", b":", b"db.example:0", b"db.example:65536", b"db.example:-1", b"db.example:+1", b"db.example:0x50",
        b"db.example:080", b"db.example:80:80", b"db.example:80/", b"db.example:80?x", b"db.example:80#x", b"/db.example:80", b"/", b"*",
        b"http://db.example:80/", b"http://db.example:80", b"//db.example:80", b"user@db.example:80", b"user:pw@db.example:80",
        b"db.example:80@evil.example:80", b"::1:80", b"[::1:80", b"::1]:80", b"[::1]80", b"[::1]", b"[]:80", b"[db.example]:80", b"[127.0.0.1]:80",
        b"[fe80::1%25eth0]:80", b"[fe80::1%eth0]:80", b"[v1.x]:80", b"db..example:80", b".db.example:80", b"-db.example:80", b"db_x%00.example:80",
        b"db%2eexample:80", b"db\\.example:80", "db.exämple:80".encode(), "①②⑦.⓪.⓪.①:80".encode(), b"127.1:80", b"2130706433:80", b"0x7f.1:80",
        b"0177.0.0.1:80", b"127.0.0.1.:80", b"256.0.0.1:80", b"a" * 64 + b".example:80", b"db.example,x:80", b"db.example;x:80", b"*.example:80",
        b"db.example\t:80", b"db.example:80\x00", b"db.example:\xef\xbc\x98\xef\xbc\x90",
    ],
)  # fmt: skip
def test_a_connect_target_that_is_no_authority_is_refused(stage, target):
    seen = len(stage.app.connections)
    got = stage.send(stage.connect(target=target))
    assert got.end == "eof"
    # An address in an odd spelling is either malformed or a name that no app has.
    assert [a.status for a in got.answers] in ([400], [403]), got.data
    if target.count(b".") != 1 or not target.replace(b".", b"").split(b":")[0].isalnum():
        assert got.answers[0].status == 400, got.data
    assert len(stage.app.connections) == seen


@pytest.mark.parametrize(
    "field, reason",
    [
        (b"Content-Length: 5\r\n", "connect-with-content"),
        (b"Content-Length: 0\r\n", "connect-with-content"),
        (b"Transfer-Encoding: chunked\r\n", "transfer-encoding"),
        (b"Upgrade: websocket\r\nConnection: upgrade\r\n", "upgrade"),
        (b"Connection: upgrade\r\n", "connection-option"),
        (b"Connection: proxy-authorization\r\n", "connection-option"),
        (b"Host: other.example:1\r\n", "duplicate-field"),
        (b"Proxy-Authorization: Bearer x\r\n", "duplicate-field"),
    ],
)
def test_a_connect_with_what_does_not_belong_is_refused(stage, field, reason):
    stage.refused(stage.connect(extra=field) + b"hello", 400, reason)


def test_an_expectation_is_refused(stage):
    stage.refused(stage.connect(extra=b"Expect: 100-continue\r\n"), 417, "expect")
    stage.refused(b"POST /.usher/v1/sessions HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}", 417, "expect")


@pytest.mark.parametrize("host", [b"", b"other.example:443", b"127.0.0.1", b"127.0.0.1:1", b"user@{}", b"{},x", b"{}/", b"http://{}", b"{} {}"])
def test_a_host_that_is_not_the_target_is_refused(stage, host):
    if host == b"127.0.0.1":
        stage.target = stage.target  # the port may be left out: some clients do so, and it names the same host
        assert stage.send(stage.connect(host=host), until=head_is_there).data.startswith(b"HTTP/1.1 200 ")
        return
    stage.refused(stage.connect(host=host.replace(b"{}", stage.target)), 400)


# --- Host and other fields that decide ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "hosts",
    [
        b"", b"Host:\r\n", b"Host: a\r\nHost: a\r\n", b"Host: a\r\nhost: b\r\n", b"Host: a b\r\n", b"Host: a, b\r\n", b"Host: a@b\r\n", b"Host: a/b\r\n",
        b"Host: a:0\r\n", b"Host: a:99999\r\n", b"Host: a:b\r\n", b"Host: [::1\r\n", b"Host: ::1\r\n", b"Host: a\x00\r\n", b"Host: a%00\r\n",
        b"Host: http://a\r\n", b"Host : a\r\n", b" Host: a\r\n", b"Host\r\n",
    ],
)  # fmt: skip
def test_a_bad_host_is_refused(stage, hosts):
    stage.refused(b"GET " + API + b" HTTP/1.1\r\n" + hosts + b"\r\n", 400)


@pytest.mark.parametrize("name", [b"Authorization", b"Cookie", b"Content-Type", b"Connection"])
def test_a_second_field_of_those_that_decide_is_refused(stage, name):
    value = b"close" if name == b"Connection" else b"Bearer " + stage.token
    field = name + b": " + value + b"\r\n"
    stage.refused(b"GET " + API + b" HTTP/1.1\r\n" + HOST + field + field.upper() + b"\r\n", 400, "duplicate-field")


@pytest.mark.parametrize(
    "field",
    [
        b"Upgrade: websocket\r\nConnection: upgrade\r\n", b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        b"Upgrade: TLS/1.0\r\n", b"Connection: close, authorization\r\n", b"Connection: ,\r\n", b"Connection: keep-alive x\r\n",
    ],
)  # fmt: skip
def test_an_upgrade_or_a_nominated_field_is_refused(stage, field):
    stage.refused(b"GET " + API + b" HTTP/1.1\r\n" + HOST + field + b"\r\n" + SMUGGLED, 400)


# --- F13: the request line ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line, status",
    [
        (b"GET " + API + b"\r\n", 400), (b"GET " + API + b" \r\n", 400), (b"GET\r\n", 400), (b"\r\n", 400), (b"\n", 400), (b" \r\n", 400),
        (b"GET " + API + b" HTTP/0.9\r\n", 505), (b"GET " + API + b" HTTP/1.9\r\n", 505), (b"GET " + API + b" HTTP/2.0\r\n", 505),
        (b"GET " + API + b" HTTP/3\r\n", 505), (b"GET " + API + b" HTTP/1.10\r\n", 400), (b"GET " + API + b" HTTP/1.\r\n", 400),
        (b"GET " + API + b" HTTP/01.1\r\n", 505), (b"GET " + API + b" http/1.1\r\n", 400), (b"GET " + API + b" HTTP/1.1 \r\n", 400),
        (b"GET " + API + b" HTTP/1.1\n", 400), (b"GET " + API + b" HTTP/1.1\r\r\n", 400), (b"GET " + API + b" HTTPS/1.1\r\n", 400),
        (b"GET  " + API + b" HTTP/1.1\r\n", 400), (b"GET " + API + b"  HTTP/1.1\r\n", 400), (b"GET\t" + API + b" HTTP/1.1\r\n", 400),
        (b" GET " + API + b" HTTP/1.1\r\n", 400), (b"\r\nGET " + API + b" HTTP/1.1\r\n", 400), (b"\x00GET " + API + b" HTTP/1.1\r\n", 400),
        (b"get " + API + b" HTTP/1.1\r\n", 400), (b"Get " + API + b" HTTP/1.1\r\n", 400), (b"G-T " + API + b" HTTP/1.1\r\n", 400),
        (b"connect a:1 HTTP/1.1\r\n", 400), (b"A" * 17 + b" " + API + b" HTTP/1.1\r\n", 400), (b"A" * 100_000 + b"\r\n", 400),
        (b"GET http://gateway.example" + API + b" HTTP/1.1\r\n", 400), (b"GET https://x" + API + b" HTTP/1.1\r\n", 400),
        (b"GET * HTTP/1.1\r\n", 400), (b"OPTIONS * HTTP/1.1\r\n", 400), (b"GET gateway.example:80 HTTP/1.1\r\n", 400),
        (b"GET //gateway.example" + API + b" HTTP/1.1\r\n", 400), (b"GET \\\\x HTTP/1.1\r\n", 400), (b"GET /a\\b HTTP/1.1\r\n", 400),
        (b"GET " + API + b"#x HTTP/1.1\r\n", 400), (b"GET /\xff HTTP/1.1\r\n", 400), (b"GET /%2e%2e/ HTTP/1.1\r\n", 400),
        (b"GET /../.usher/v1/apps HTTP/1.1\r\n", 400), (b"GET /./ HTTP/1.1\r\n", 400), (b"GET /a\x0bb HTTP/1.1\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505), (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 400), (b"SSH-2.0-OpenSSH_9.2\r\n", 400), (b"\x05\x01\x00", 400),
    ],
)  # fmt: skip
def test_a_request_line_that_is_none_is_refused(stage, line, status):
    stage.refused(line + HOST + b"Authorization: Bearer " + stage.token + b"\r\n\r\n", status)


@pytest.mark.parametrize("fold", [b"X: a\r\n b\r\n", b"X: a\r\n\tb\r\n", b"\r\n folded: x\r\n"[2:], b"X:\r\n \r\n"])
def test_a_folded_field_is_refused(stage, fold):
    stage.refused(b"GET " + API + b" HTTP/1.1\r\n" + HOST + fold + b"\r\n", 400)


# --- one connection, several requests ----------------------------------------------------------------------------------------


def test_requests_in_one_go_are_answered_one_after_the_other(stage):
    one = b"GET " + API + b" HTTP/1.1\r\n" + HOST + b"Authorization: Bearer " + stage.token + b"\r\n"
    got = stage.send((one + b"\r\n") * 5 + one + b"Connection: close\r\n\r\n" + one + b"\r\n")
    assert got.end == "eof"
    assert [a.status for a in got.answers] == [200] * 6  # nothing behind a close is a request


def test_nothing_behind_a_refused_request_is_a_request(stage):
    good = b"GET " + API + b" HTTP/1.1\r\n" + HOST + b"Authorization: Bearer " + stage.token + b"\r\n\r\n"
    got = stage.send(good + b"GET /\x00 HTTP/1.1\r\n" + HOST + b"\r\n" + good * 3)
    assert got.end == "eof"
    assert [a.status for a in got.answers] == [200, 400]


def test_a_head_in_single_bytes_is_the_same_head(stage):
    with stage.gateway.open_raw() as sock:
        for byte in stage.connect():
            sock.send(bytes([byte]))
        assert exchange(sock, b"", timeout=LONG, until=head_is_there).data.startswith(b"HTTP/1.1 200 ")


# --- F10: what follows a CONNECT at once --------------------------------------------------------------------------------------


def second_request(stage):
    return b"GET " + API + b" HTTP/1.1\r\n" + HOST + b"Authorization: Bearer " + stage.token + b"\r\n\r\n"


def test_bytes_behind_a_connect_that_policy_denies_are_never_a_request(stage):
    stage.refused(stage.connect(target=b"nobody.example:5432") + second_request(stage), 403)
    stage.refused(stage.connect(target=b"nobody.example:5432") + stage.connect(), 403)


def test_bytes_behind_a_connect_without_credentials_are_never_a_request(stage):
    bare = b"CONNECT " + stage.target + b" HTTP/1.1\r\nHost: " + stage.target + b"\r\n\r\n"
    stage.refused(bare + second_request(stage), 407)
    stage.refused(bare + stage.connect(), 407)


def test_bytes_behind_a_connect_to_an_app_that_refuses_are_never_a_request(stage):
    with RefusingPort() as closed:
        stage.gateway.allow("refusing", closed.address)
        stage.refused(stage.connect(target=closed.address.encode()) + second_request(stage), 502)


@pytest.mark.parametrize("size", [1, 100, 16_384, 300_000])
def test_bytes_behind_a_connect_reach_the_app_and_come_behind_the_200(stage, size):
    early = (b"GET /.usher/v1/apps HTTP/1.1\r\n\r\n" * (size // 32 + 1))[:size]
    seen = len(stage.app.connections)
    got = stage.send(stage.connect() + early, until=lambda data: data.endswith(early) and len(data) > size)
    assert got.data == b"HTTP/1.1 200 Connection Established\r\n\r\n" + early
    wait_for(lambda: len(stage.app.connections) == seen + 1 and stage.app.connections[-1].received == size, "the app's ledger")


def test_a_megabyte_behind_a_connect_that_is_denied_costs_nothing(stage):
    got = stage.send(stage.connect(target=b"nobody.example:5432") + b"x" * (1 << 20))
    # More than the gateway reads to its end may be answered with a reset, but never with a second answer.
    assert got.end in ("eof", "reset") and got.data.count(b"HTTP/1.1 ") <= 1


# --- answers tell a stranger nothing -----------------------------------------------------------------------------------------


def test_a_denied_app_and_an_unknown_one_get_the_same_answer(stage):
    with EchoApp() as secret:
        stage.gateway.apply(f"kind: app\nname: secret\ndestinations: ['{secret.address}', 'hidden.example:443']\nallow_addresses: ['127.0.0.0/8']\n")
        answers = {
            stage.send(stage.connect(target=target)).data
            for target in (b"hidden.example:443", b"unknown.example:443", secret.address.encode(), b"127.0.0.1:9", b"192.0.2.7:80", b"[2001:db8::1]:80")
        }
        assert len(answers) == 1 and answers.pop().startswith(b"HTTP/1.1 403 ")
        assert secret.connections == []


@pytest.mark.parametrize("scheme, status", [(b"Bearer", 407), (b"Basic", 400)])
def test_a_wrong_credential_gets_the_same_answer_for_every_target(stage, scheme, status):
    answers = set()
    for target in (stage.target, b"hidden.example:443", b"unknown.example:443", b"control.usher.internal:443"):
        head = b"CONNECT " + target + b" HTTP/1.1\r\nHost: " + target + b"\r\nProxy-Authorization: " + scheme
        answers.add(stage.send(head + b" " + b"A" * 43 + b"\r\n\r\n").data)
    assert len(answers) == 1 and answers.pop().startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.parametrize(
    "value, status",
    [
        (b"", 407), (b"Bearer", 400), (b"Bearer ", 400), (b"Bearer  x", 400), (b"Bearer x y", 400), (b"Digest x", 407), (b"Negotiate AAAA", 407),
        (b"Basic", 400), (b"Basic !", 400), (b"Basic QQ==", 400), (b"Basic OkE=", 400), (b"Basic QTo=", 407), (b"Basic YWxpY2UAOng=", 400),
        (b"Bearer " + b"A" * 5000, 400), (b"Bearer " + b"A" * 42, 407), (b"Bearer " + b"A" * 44, 407), (b"bearer " + b"=" * 10, 400),
    ],
)  # fmt: skip
def test_credentials_in_a_wrong_form(stage, value, status):
    stage.refused(b"CONNECT " + stage.target + b" HTTP/1.1\r\nHost: " + stage.target + b"\r\nProxy-Authorization: " + value + b"\r\n\r\n", status)


def test_every_bit_of_a_token_counts(stage):
    token = bytearray(stage.token)
    head = b"GET " + API + b" HTTP/1.1\r\n" + HOST + b"Connection: keep-alive\r\nAuthorization: Bearer %s\r\n\r\n"
    requests = b""
    for at in range(len(token)):
        changed = token.copy()
        # The last character holds 4 bits of the token and 2 that must be zero: a second spelling of a token is no token.
        changed[at] = ord("A") if changed[at] != ord("A") else ord("B")
        requests += head % bytes(changed)
    got = stage.send(requests + b"GET " + API + b" HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
    assert [a.status for a in got.answers] == [401] * (len(token) + 1)


# --- the sign-in API's own content -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body, status",
    [
        (b"", 400), (b"{}", 400), (b"[]", 400), (b"null", 400), (b"{", 400), (b'{"username":"alice"}', 400), (b'{"username":"alice","password":1}', 400),
        (b'{"username":"alice","username":"bob","password":"x"}', 400), (b'{"username":"alice","password":"x","extra":"y"}', 400),
        (b'{"username":"alice","password":"x"}{}', 400), (b'{"username":"alice\\u0000","password":"x"}', 401), (b'{"username":"\xff","password":"x"}', 400),
        (b'{"username":"alice","password":"x","device":{"name":"\\u001b[2J"}}', 400), (b'{"username":' + b"[" * 4000 + b"}", 400),
        (b'{"username":"alice","password":"' + b"x" * 8192 + b'"}', 413), (b"\xef\xbb\xbf{}", 400), (b'{"username":"alice","password":"\\ud800"}', 400),
    ],
)  # fmt: skip
def test_a_sign_in_that_is_malformed(stage, body, status):
    head = b"POST /.usher/v1/sessions HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    got = stage.send(head % len(body) + body)
    assert [a.status for a in got.answers] == [status] or (status == 401 and got.answers[0].status == 400), got.data


@pytest.mark.parametrize("method, path, status", [
    (b"GET", b"/", 404), (b"GET", b"/.usher/v1/sessions/", 404), (b"GET", b"/.USHER/v1/apps", 404), (b"PUT", API, 405), (b"HEAD", API, 405),
    (b"GET", b"/.usher/v1/sessions", 405), (b"TRACE", b"/", 404), (b"OPTIONS", b"/.usher/v1/apps", 405), (b"GET", b"/metrics", 404),
])  # fmt: skip
def test_other_paths_and_methods(stage, method, path, status):
    got = stage.send(method + b" " + path + b" HTTP/1.1\r\n" + HOST + b"\r\n")
    assert got.end == "eof" and got.answers[0].status == status


# --- TLS ---------------------------------------------------------------------------------------------------------------------


def tls(stage, **changes):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(stage.gateway.ca)
    for name, value in changes.items():
        if callable(getattr(context, name)):
            getattr(context, name)(value)
        else:
            setattr(context, name, value)
    with socket.create_connection(("127.0.0.1", stage.gateway.port), timeout=LONG) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as sock:
            return sock.version(), sock.cipher()[0], sock.selected_alpn_protocol()


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\n\r\n", b"\x05\x01\x00", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x00" * 100, b"\xff" * 70_000],
)
def test_what_is_not_tls_is_closed(stage, data):
    with socket.create_connection(("127.0.0.1", stage.gateway.port)) as plain:
        got = exchange(plain, data, timeout=LONG)
    assert got.end in ("eof", "reset")
    assert b"HTTP" not in got.data and len(got.data) <= 7  # at most an alert


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_tls_is_refused(stage, version):
    with pytest.raises((ssl.SSLError, ConnectionResetError)) as refused:
        tls(stage, minimum_version=ssl.TLSVersion.TLSv1, maximum_version=version, set_ciphers="ALL:@SECLEVEL=0")
    assert "PROTOCOL" in str(refused.value).upper()


@pytest.mark.parametrize("ciphers", ["AES128-SHA", "AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA", "DHE-RSA-AES128-GCM-SHA256", "AECDH-AES128-SHA"])
def test_weak_ciphers_are_refused(stage, ciphers):
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        tls(stage, maximum_version=ssl.TLSVersion.TLSv1_2, set_ciphers=ciphers + ":@SECLEVEL=0")


def test_a_client_that_speaks_another_protocol_is_refused_in_the_handshake(stage):
    with pytest.raises((ssl.SSLError, ConnectionResetError)) as refused:
        tls(stage, set_alpn_protocols=["h3", "spdy/3.1"])
    assert "no application protocol" in str(refused.value).replace("_", " ").lower()


def test_tls_1_2_and_1_3_with_and_without_alpn(stage):
    assert tls(stage, maximum_version=ssl.TLSVersion.TLSv1_2)[0] == "TLSv1.2"
    assert tls(stage)[0] == "TLSv1.3"
    assert tls(stage)[2] is None
    assert tls(stage, set_alpn_protocols=["http/1.1"])[2] == "http/1.1"
    assert tls(stage, set_alpn_protocols=["http/1.1", "h2"])[2] == "h2"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_session_is_resumed(stage, version):
    """Neither under the same name nor under another one: there is nothing to take up."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(stage.gateway.ca)
    context.maximum_version = version
    session = None
    for name in ("localhost", "localhost", "127.0.0.1"):
        with socket.create_connection(("127.0.0.1", stage.gateway.port), timeout=LONG) as plain:
            with context.wrap_socket(plain, server_hostname=name, session=session) as sock:
                sock.sendall(b"GET /.usher/v1/apps HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert sock.recv(100).startswith(b"HTTP/1.1 401")  # what a server sends behind the handshake has come
                assert not sock.session_reused
                assert sock.session is None or not sock.session.has_ticket
                session = sock.session if sock.session is not None else session


def test_a_silent_peer_is_probed_on_each_connection(stage):
    with stage.gateway.open_raw():
        listed = subprocess.run(
            ["ss", "-tnoH", "state", "established", f"( sport = :{stage.gateway.port} )"], capture_output=True, text=True, check=True
        ).stdout
    assert "timer:(keepalive,2" in listed or "timer:(keepalive,30" in listed, listed


def test_a_tls_record_that_was_changed_on_the_way_ends_the_connection(stage):
    """A byte of garbage behind a good handshake."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(stage.gateway.ca)
    client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", stage.gateway.port), timeout=LONG) as plain:
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                plain.sendall(outgoing.read())
                incoming.write(plain.recv(65536))
        plain.sendall(outgoing.read())
        client.write(second_request(stage))
        record = bytearray(outgoing.read())
        record[-1] ^= 1
        got = exchange(plain, record, timeout=LONG)
    assert got.end in ("eof", "reset")
    try:
        incoming.write(got.data)
        while True:
            assert not client.read(65536), "an answer to a request that was forged"
    except ssl.SSLError:
        pass


# --- counted and on record ---------------------------------------------------------------------------------------------------


def test_every_refusal_is_counted_and_on_record_however_many_there_are(stage):
    floods = {b"GET  / HTTP/1.1\r\n\r\n": "malformed-bad-target", b"get / HTTP/1.1\r\n\r\n": "malformed-bad-method"}
    count = 150
    # What came before is on record by now, or it would be counted here.
    wait_for(lambda: all(on_record(stage.gateway)[r] == denied(stage.gateway)[r] for r in floods.values()), "earlier records")
    before = denied(stage.gateway)
    for request in floods:
        for _ in range(count):
            with stage.gateway.open_raw() as sock:
                assert exchange(sock, request, timeout=LONG).data.startswith(b"HTTP/1.1 400 ")
    after = denied(stage.gateway)
    assert {reason: after[reason] - before[reason] for reason in floods.values()} == {reason: count for reason in floods.values()}
    wait_for(lambda: all(on_record(stage.gateway)[r] == after[r] for r in floods.values()), "the records of all denials")
    # Equal ones within a second share a record.
    rows = [r for r in stage.gateway.records('event = "DENIED"') if r["reasons"][0] in floods.values()]
    assert len(rows) < sum(after[r] for r in floods.values())
    assert all(r["verdict"] == "DENIED" and r["client_ip"] == "127.0.0.1" for r in rows)


def test_a_denial_of_somebody_who_is_signed_in_has_its_own_record(stage):
    target = b"own-record.example:443"
    for _ in range(3):
        stage.refused(stage.connect(target=target), 403)
    mine = 'event = "DENIED" AND destination_host = "own-record.example"'
    wait_for(lambda: len(stage.gateway.records(mine)) >= 3, "three records")
    records = stage.gateway.records(mine)
    assert len(records) == 3
    for record in records:
        assert record["username"] == "alice" and record["verdict"] == "DENIED" and record["reasons"] == ["no-app"]
        assert record["destination_port"] == 443
