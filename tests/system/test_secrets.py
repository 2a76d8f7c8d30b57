"""What must stay secret stays so: canaries for passwords, tokens and personal data are put in at every way in, and the raw bytes of
everything that the gateway writes are searched for them."""

import base64
import hashlib
import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from harness.build import BIN, SANITIZER, SCALE
from harness.postgresql import psql
from harness.prepared import PreparedGateway, prepared  # noqa: F401
from harness.wait import wait_for
from harness.wire import exchange, head_is_there

LONG = 60 * SCALE
PASSWORD = "canary-Password-7f3a91"
WRONG = "canary-Wrong-52be08"
TYPED = "canary-Typed-c0d418"  # comes in by a sign-in only
MAIL, PHONE, NAME, DEVICE = "canary.mail@example.test", "+49 555 7130948", "Canary Realname", "canary-device-11c7"


def spellings(secret):
    """As it is, and as somebody might write it down without meaning to."""
    raw = secret.encode()
    padded = raw + b"=" * (-len(raw) % 4)
    forms = {raw, raw.hex().encode(), raw.hex().upper().encode(), base64.b64encode(raw).rstrip(b"="), base64.urlsafe_b64encode(raw).rstrip(b"=")}
    try:
        forms.add(base64.urlsafe_b64decode(padded))  # a token's own bytes
    except ValueError:
        pass
    return {f for f in forms if len(f) >= 12}


def files(folder):
    return [p for p in Path(folder).rglob("*") if p.is_file()]


def found(secret, content):
    return [form for form in spellings(secret) if form in content]


@pytest.fixture
def busy(prepared, database):
    """A gateway after sign-ins that worked and did not, accesses by Bearer and Basic, refusals, and requests of all kinds of badness."""
    gateway = prepared(database=database, config={"log": {"level": "debug"}, "journal": {"segment_size": "256KiB"}})
    gateway.ctl(
        "account", "create", "carol", "--department", "Finance", "--group", "staff", "--display-name", NAME, "--mail", MAIL, "--phone", PHONE,
        "--password-stdin", input=PASSWORD + "\n",
    )  # fmt: skip
    device = {"device_id": DEVICE, "name": "Canary Laptop", "os": "Debian"}
    status, session = gateway.request("POST", "/.usher/v1/sessions", {"username": "carol", "password": PASSWORD, "device": device})
    assert status == 201
    token = session["token"]
    assert gateway.request("POST", "/.usher/v1/sessions", {"username": "carol", "password": WRONG})[0] == 401
    assert gateway.request("POST", "/.usher/v1/sessions", {"username": "carol", "password": TYPED})[0] == 401
    # Once more with head and content in one record, by itself and behind another request: what is read together is wiped together.
    typed = json.dumps({"username": "carol", "password": TYPED}).encode()
    head = b"POST /.usher/v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n" % len(typed)
    first, last = head + b"\r\n" + typed, head + b"Connection: close\r\n\r\n" + typed
    for requests in (last, first + last, last, last):
        with gateway.open_raw() as sock:
            answers = exchange(sock, requests, timeout=LONG).answers
            assert [a.status for a in answers] == [401] * requests.count(b"POST")
    assert gateway.request("POST", "/.usher/v1/sessions", {"username": "nobody-here", "password": WRONG})[0] == 401
    for credentials in ({"token": token}, {"basic": ("carol", token)}):
        with gateway.connect(gateway.app.address, **credentials) as tunnel:
            assert tunnel.status == 200
            tunnel.send(b"canary-payload-0b6f")
            assert tunnel.recv_exactly(19) == b"canary-payload-0b6f"
            tunnel.half_close()
            assert tunnel.recv_all() == b""
    # A password where a token belongs, a token in a request that is broken behind it, one for a place that is not allowed, one that is cut.
    assert gateway.connect(gateway.app.address, basic=("carol", PASSWORD)).status == 407
    assert gateway.connect("elsewhere.example:443", token=token).status == 403
    for rest in (b"\r\nX\x00: 1\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n", b"\r\nX: " + b"y" * 20_000, b" " + WRONG.encode() + b"\r\n\r\n", b"\x01\r\n\r\n"):
        for field in (b"Proxy-Authorization", b"Authorization", b"Cookie"):
            with gateway.open_raw() as sock:
                exchange(sock, b"GET /.usher/v1/sessions/current HTTP/1.1\r\nHost: x\r\n" + field + b": Bearer " + token.encode() + rest, timeout=LONG, until=head_is_there)
    with gateway.open_raw() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nAuthorization: Bearer " + token.encode())
    with gateway.open_raw() as sock:
        exchange(sock, b"GET /" + token.encode() + b"?password=" + WRONG.encode() + b" HTTP/1.1\r\nHost: x\r\n\r\n", timeout=LONG)
    body = b'{"username":"carol","password":"%s","x' % PASSWORD.encode()
    with gateway.open_raw() as sock:
        head = b"POST /.usher/v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        exchange(sock, head + body, timeout=LONG)
    other = gateway.request("POST", "/.usher/v1/sessions", {"username": "carol", "password": PASSWORD})[1]["token"]
    assert gateway.request("DELETE", "/.usher/v1/sessions/current", token=other)[0] == 204
    gateway.ctl("account", "set-password", "carol", "--password-stdin", input=PASSWORD + "-2\n")
    gateway.secrets = [PASSWORD, WRONG, token, other, PASSWORD + "-2", "canary-payload-0b6f", TYPED]
    wait_for(gateway.shipped, "everything in the store", timeout=LONG)
    yield gateway


def test_no_secret_is_in_anything_that_the_gateway_writes(busy):
    places = {str(p): p.read_bytes() for p in files(busy.directory)}
    assert any(name.endswith(".usj") for name in places) and any(name.endswith("/log") for name in places)
    if busy.config["database"] != "sqlite":
        dump = subprocess.run(["pg_dump", busy.config["database"]], capture_output=True, check=True).stdout
        assert b"carol" in dump
        places["pg_dump"] = dump
    else:
        # The log of the database, or the file itself once it is stopped.
        assert any("usher.db" in name and b"carol" in content for name, content in places.items())
    hits = {(secret, name) for secret in busy.secrets for name, content in places.items() if found(secret, content)}
    # The URL of the database, with its password, is in the configuration file: that is where it belongs.
    assert not hits
    busy.stop()
    for path in files(busy.directory):
        content = path.read_bytes()
        assert not [s for s in busy.secrets if found(s, content)], path


def test_the_search_itself_finds_what_is_there(busy):
    """The database does hold the hash of the token, and nothing more."""
    digest = hashlib.sha256(b"canary").digest()
    assert found("canary-Password-7f3a91", b"x" + base64.b64encode(b"canary-Password-7f3a91"))
    assert not found("canary-Password-7f3a91", digest)
    everything = b"".join(p.read_bytes() for p in files(busy.data_dir))
    if busy.config["database"] == "sqlite":
        assert b"$argon2id$" in everything
    else:
        assert "$argon2id$" in psql(busy.config["database"], "SELECT password_hash FROM usher.accounts LIMIT 1")


def key_forms(der):
    """How a P-256 private key begins in PKCS#8 and in SEC 1, in the spellings of a dump."""
    return [form for form in (der, der.hex().encode(), base64.b64encode(der)[:-4]) if form]


PKCS8 = bytes.fromhex("308187020100301306072a8648ce3d020106082a8648ce3d030107046d")
SEC1 = bytes.fromhex("30770201010420")


def private_keys_in(content):
    return [f for der in (PKCS8, SEC1) for f in key_forms(der) if f in content] + [b"PRIVATE"] * (b"PRIVATE KEY" in content)


def test_a_dump_of_the_database_holds_no_key_of_the_devices_authority(busy):
    made = subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-outform", "DER"], check=True, capture_output=True).stdout
    assert private_keys_in(b"x" + made) and private_keys_in(made.hex().encode())
    if busy.config["database"] == "sqlite":
        dump = b"".join(p.read_bytes() for p in files(busy.data_dir) if "usher.db" in p.name)
    else:
        dump = subprocess.run(["pg_dump", busy.config["database"]], capture_output=True, check=True).stdout
    authority = b"Usher device CA "
    assert authority in dump or authority.hex().encode() in dump  # its certificate is there
    assert not private_keys_in(dump)
    for path in files(busy.data_dir):
        if path.suffix != ".key":  # of the gateway's own TLS certificate, and of the sealing
            assert not private_keys_in(path.read_bytes()), path


def test_no_personal_data_is_in_the_log_or_the_metrics(busy):
    text = (busy.log() + busy.metrics()).encode()
    for datum in (MAIL, PHONE, NAME, DEVICE, "Canary Laptop", "carol", "alice", "Finance", "elsewhere.example", *busy.secrets):
        assert datum.encode() not in text, datum


def test_no_error_text_repeats_a_secret(busy):
    token = busy.secrets[2]
    for arguments in (["account", "show", PASSWORD], ["session", "revoke", "x"], ["apply", "-f", "-"]):
        result = busy.ctl(*arguments, input="kind: app\nname: " + token + "x\ndestinations: [x]\n", check=False)
        assert result.returncode != 0
    with busy.connect("elsewhere.example:443", token=token) as tunnel:
        assert token not in json.dumps(tunnel.headers)
    # And the record of administrative acts shows before and after without the password.
    acts = [e["admin"] for e in busy.events() if "admin" in e]
    assert any(a["action"] == "account.create" and MAIL in a["after_json"] for a in acts)
    assert not [s for s in busy.secrets if s in json.dumps(acts)]


def test_the_files_are_the_owners_alone(busy):
    for path in [busy.data_dir, *busy.data_dir.rglob("*")]:
        mode = path.lstat()
        assert mode.st_uid == os.geteuid()
        assert stat.S_IMODE(mode.st_mode) & 0o077 == 0, (path, oct(mode.st_mode))
        if path.is_file():
            assert stat.S_IMODE(mode.st_mode) == 0o600, (path, oct(mode.st_mode))
    assert stat.S_ISSOCK((busy.data_dir / "control.sock").stat().st_mode)


def test_the_umask_of_whoever_starts_it_changes_nothing(tmp_path):
    old = os.umask(0)
    try:
        gateway = PreparedGateway(tmp_path / "open").start()
    finally:
        os.umask(old)
    try:
        for path in [gateway.data_dir, *gateway.data_dir.rglob("*")]:
            assert stat.S_IMODE(path.lstat().st_mode) & 0o077 == 0, path
    finally:
        gateway.app.close()
        gateway.close()


def leaves_no_core(pid):
    """A process that may not be dumped belongs to root below /proc, and cannot be traced by its own user."""
    limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
    core = next(line for line in limits if line.startswith("Max core file size"))
    return core.split()[4:6] == ["0", "0"] and Path(f"/proc/{pid}/mem").stat().st_uid == 0


def test_the_process_leaves_no_core_and_shows_nothing(busy):
    proc = Path("/proc") / str(busy.process.pid)
    assert leaves_no_core(busy.process.pid)
    status = (proc / "status").read_text()
    assert "NoNewPrivs:\t1" in status
    for name in ("cmdline", "environ"):
        content = (proc / name).read_bytes()
        assert not [s for s in busy.secrets if found(s, content)]


@pytest.mark.parametrize("program, arguments, secret", [
    ("usher", ["login", "--gateway", "127.0.0.1:{port}", "--ca", "{ca}", "--username", "carol", "--password-stdin"], PASSWORD + "-2"),
    ("usherctl", ["--socket", "{data}/control.sock", "account", "set-password", "carol", "--password-stdin"], PASSWORD + "-3"),
], ids=["usher", "usherctl"])  # fmt: skip
def test_a_password_is_in_no_command_line_environment_or_core(busy, program, arguments, secret):
    home = busy.directory / "home"
    home.mkdir(exist_ok=True)
    filled = [a.format(port=busy.port, ca=busy.ca, data=busy.data_dir) for a in arguments]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "USHER"))}
    process = subprocess.Popen(
        [BIN / program, *filled], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**environment, "HOME": str(home)}
    )
    # It waits for its password, so that it can be looked at.
    wait_for(lambda: leaves_no_core(process.pid), f"{program} to have begun")
    seen = b"".join((Path("/proc") / str(process.pid) / name).read_bytes() for name in ("cmdline", "environ"))
    output = b"".join(process.communicate(secret.encode() + b"\n", timeout=LONG))
    assert process.returncode == 0, output
    assert not found(secret, seen) and not found(secret, output)
    for path in files(home):
        assert not found(secret, path.read_bytes()), path


def test_the_agents_token_is_in_a_file_of_its_owner_alone(busy):
    home = busy.directory / "home"
    old = os.umask(0)
    try:
        busy.client("usher", "login", "--gateway", f"127.0.0.1:{busy.port}", "--ca", busy.ca, "--username", "carol", "--password-stdin", input=PASSWORD + "-2\n")
    finally:
        os.umask(old)
    token = busy.client("usher", "token").stdout.strip()
    assert len(token) == 43
    holding = [p for p in files(home) if token.encode() in p.read_bytes()]
    assert len(holding) == 1
    assert stat.S_IMODE(holding[0].stat().st_mode) == 0o600
    assert stat.S_IMODE(holding[0].parent.stat().st_mode) & 0o077 == 0
    assert token not in busy.log()
    busy.client("usher", "logout")
    assert not [p for p in files(home) if token.encode() in p.read_bytes()]


@pytest.mark.skipif(bool(SANITIZER), reason="an instrumented process keeps copies of what it freed")
def test_what_was_signed_in_with_is_not_left_in_memory(busy):
    """What root can read of the process afterwards: a password that came in by a sign-in is wiped. (One that an administrator sets
    came through gRPC, which wipes nothing.)"""
    if os.geteuid() != 0:
        pytest.skip("only root can read it")
    content = memory(busy.process.pid)
    assert b"usherd" in content
    assert TYPED.encode() not in content


def memory(pid):
    parts = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for line in maps:
            span, mode = line.split()[:2]
            if not mode.startswith("rw") or "[v" in line:
                continue
            begin, end = (int(x, 16) for x in span.split("-"))
            try:
                mem.seek(begin)
                parts.append(mem.read(end - begin))
            except OSError:
                continue  # a page that went away or cannot be read
    return b"".join(parts)
