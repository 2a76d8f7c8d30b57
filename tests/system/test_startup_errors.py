"""What usherd says when it cannot start: exit code 1, one line that names what is wrong and where, nothing left behind, nothing lost."""

import fcntl
import os
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from harness.build import BIN, SCALE

NOBODY = 65534


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def usherd(config, *options, directory=None, timeout=20 * SCALE, **run):
    """Runs usherd to its end: (exit code, standard error, seconds)."""
    started = time.monotonic()
    done = subprocess.run(
        [BIN / "usherd", *options, "--config", config], cwd=directory, capture_output=True, text=True, timeout=timeout, **run
    )
    return done.returncode, done.stderr, time.monotonic() - started


def refused(config, *parts, **run):
    """usherd refuses to start with one line that holds all of `parts`."""
    code, errors, seconds = usherd(config, **run)
    assert code == 1, errors
    assert errors.startswith("usherd: ") and errors.count("\n") == 1 and errors.endswith("\n"), errors
    for part in parts:
        assert str(part) in errors
    return errors, seconds


def config_file(directory, text):
    path = directory / "usher.yaml"
    path.write_text(text)
    return path


def minimal(directory, **keys):
    keys = {"listen": f"127.0.0.1:{free_port()}", "data_dir": directory / "data", **keys}
    return config_file(directory, "".join(f"{key}: {value}\n" for key, value in keys.items()))


def lock_is_free(data_dir):
    with open(data_dir / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return True


@pytest.fixture
def running():
    """Starts daemons that are ended with the test."""
    daemons = []

    def start(config):
        log = tempfile.TemporaryFile("w+")
        daemon = subprocess.Popen([BIN / "usherd", "--config", config], stderr=log)
        daemons.append((daemon, log))
        deadline = time.monotonic() + 30 * SCALE
        while True:
            log.seek(0)
            text = log.read()
            if "usherd serves" in text:
                return daemon
            assert daemon.poll() is None, text
            assert time.monotonic() < deadline, text
            time.sleep(0.01)

    yield start
    for daemon, log in daemons:
        daemon.kill()
        daemon.wait()
        log.close()


# --- the configuration -------------------------------------------------------------------------------------------------------

BAD_CONFIGURATIONS = [
    # text, place, what the line must name
    ("listenn: 127.0.0.1:8443\n", "1:1", ["unknown key 'listenn'", "did you mean 'listen'?"]),
    ("listen: 127.0.0.1:8443\ntimeouts:\n  idel: 3s\n", "3:3", ["unknown key 'idel' in 'timeouts'", "'idle'"]),
    ("listen: 127.0.0.1:8443\ntls: {certificat: a.pem}\n", "2:7", ["unknown key 'certificat' in 'tls'"]),
    ("listen: 127.0.0.1:8443\ntls: {certificate: a.pem}\n", "2:6", ["'private_key'"]),
    ("listen: 127.0.0.1:8443\nlisten: 127.0.0.1:8444\n", "2:1", ["'listen' is given twice"]),
    ("listen: localhost:8443\n", "1:9", ["'listen' is 'localhost:8443'", "ADDRESS:PORT"]),
    ("listen: 127.0.0.1:0\n", "1:9", ["'listen'"]),
    ("listen: 127.0.0.1:65536\n", "1:9", ["'listen'"]),
    ("listen: '::1:8443'\n", "1:9", ["'listen'"]),
    ("listen: 127.0.0.1:8443\nmetrics: 9464\n", "2:10", ["'metrics' is '9464'"]),
    ("listen: 127.0.0.1:8443\ntimeouts: {idle: 10}\n", "2:18", ["'idle' is '10'", "10s"]),
    ("listen: 127.0.0.1:8443\ntimeouts: {idle: -1s}\n", "2:18", ["'idle'"]),
    ("listen: 127.0.0.1:8443\ntimeouts: {header: 1h}\n", "2:20", ["'header' is 1h"]),
    ("listen: 127.0.0.1:8443\ntimeouts: 10s\n", "2:11", ["'timeouts' must be a mapping"]),
    ("listen: 127.0.0.1:8443\nworkers: 0\n", "2:10", ["'workers' is '0'", "1 to 256"]),
    ("listen: 127.0.0.1:8443\nworkers: two\n", "2:10", ["'workers' is 'two'"]),
    ("listen: 127.0.0.1:8443\nlog: {level: verbose}\n", "2:14", ["'level' must be debug"]),
    ("listen: 127.0.0.1:8443\nlog: {format: xml}\n", "2:15", ["'format' must be text or json"]),
    ("listen: 127.0.0.1:8443\ndatabase: mysql://x/y\n", "2:11", ["'database' must be sqlite or a postgresql:// URL"]),
    ("listen: 127.0.0.1:8443\njournal: {segment_size: 16}\n", "2:25", ["'segment_size' is '16'"]),
    ("listen: 127.0.0.1:8443\ndns: {servers: []}\n", "2:16", ["'servers' must be a list"]),
    ("listen: 127.0.0.1:8443\ndns: {servers: [dns.example]}\n", "2:17", ["'dns.example'"]),
    ("listen: 127.0.0.1:8443\nlimits: {connections: 1e9}\n", "2:23", ["'connections' is '1e9'"]),
    ("listen: 127.0.0.1:8443\n? [a]\n: b\n", "2:3", ["must be plain text"]),
    # not YAML
    ("listen: [127.0.0.1:8443\n", "2:1", ["not well-formed YAML"]),
    ("listen: 127.0.0.1:8443\n\tworkers: 2\n", "2:1", ["not well-formed YAML"]),
    ("listen: 127.0.0.1:8443\nmetrics: *there\n", "2:10", ["not well-formed YAML"]),
    ('listen: "127.0.0.1:8443" x\n', "1:26", ["not well-formed YAML"]),
]


@pytest.mark.parametrize("text, place, parts", BAD_CONFIGURATIONS)
def test_a_mistake_in_the_configuration_is_named_with_file_line_column_and_key(tmp_path, text, place, parts):
    path = config_file(tmp_path, text)
    refused(path, f"{path}:{place}: ", *parts)
    refused(path, f"{path}:{place}: ", *parts, directory=tmp_path)  # --check would say the same:
    code, errors, _ = usherd(path, "--check")
    assert code == 1 and f"{path}:{place}: " in errors
    assert os.listdir(tmp_path) == ["usher.yaml"]


@pytest.mark.parametrize(
    "text",
    ["", "# nothing\n", "workers: 2\n", "- listen\n", "just text\n", "listen: 127.0.0.1:1\n---\nlisten: 127.0.0.1:2\n", "\0\0\0"],
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path, text):
    path = config_file(tmp_path, text)
    refused(path, path)
    assert os.listdir(tmp_path) == ["usher.yaml"]


def test_a_terminal_is_not_harmed_by_what_the_file_holds(tmp_path):
    path = config_file(tmp_path, 'listen: "127.0.0.1\\e[2J\\a:1"\n')
    errors, _ = refused(path, "'listen'")
    assert all(c == "\n" or c.isprintable() for c in errors)
    path = config_file(tmp_path, '"\\e]52;c;AAAA\\a": 1\n')
    errors, _ = refused(path, "unknown key")
    assert all(c == "\n" or c.isprintable() for c in errors)


def test_the_configuration_cannot_be_read(tmp_path):
    refused(tmp_path / "none.yaml", tmp_path / "none.yaml", "No such file")
    refused(tmp_path, tmp_path, "cannot be read")
    big = config_file(tmp_path, "listen: 127.0.0.1:8443\n" + "#" * (1 << 20))
    refused(big, big, "larger than 1 MiB")


@pytest.mark.parametrize("arguments", [[], ["--config"], ["--confg", "x"], ["x.yaml"]])
def test_a_wrong_command_line_is_exit_code_2(arguments):
    done = subprocess.run([BIN / "usherd", *arguments], capture_output=True, text=True, timeout=20 * SCALE)
    assert done.returncode == 2 and done.stderr


def test_check_accepts_a_good_configuration_and_touches_nothing(tmp_path):
    path = minimal(tmp_path)
    assert usherd(path, "--check")[0] == 0
    assert os.listdir(tmp_path) == ["usher.yaml"]


# --- certificates ------------------------------------------------------------------------------------------------------------


def make_certificate(directory, name, days=30, key_type=("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")):
    certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-nodes", *key_type, "-keyout", key, "-out", certificate, "-days", str(days), "-subj", f"/CN={name}"],
        check=True,
        capture_output=True,
    )
    return certificate, key


def expired_certificate(directory):
    certificate, key = make_certificate(directory, "old")
    subprocess.run(
        ["openssl", "x509", "-x509toreq", "-in", certificate, "-signkey", key, "-out", directory / "old.csr"], check=True, capture_output=True
    )
    # `openssl ca` is the one that takes dates.
    (directory / "index.txt").write_text("")
    (directory / "serial").write_text("01\n")
    (directory / "ca.cnf").write_text(
        f"[ca]\ndefault_ca=d\n[d]\ndatabase={directory}/index.txt\nserial={directory}/serial\nnew_certs_dir={directory}\n"
        "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n"
    )
    subprocess.run(
        ["openssl", "ca", "-batch", "-selfsign", "-config", directory / "ca.cnf", "-in", directory / "old.csr", "-keyfile", key,
         "-startdate", "20200101000000Z", "-enddate", "20200201000000Z", "-out", certificate, "-notext"],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


def certificate_case(directory, case):
    """(certificate, key, what the line must name)"""
    good, key = make_certificate(directory, "good")
    if case == "missing certificate":
        return directory / "none.pem", key, ["none.pem", "No such file"]
    if case == "missing key":
        return good, directory / "none.key", ["none.key", "No such file"]
    if case == "a directory":
        return directory, key, [directory]
    if case == "empty":
        (directory / "empty.pem").touch()
        return directory / "empty.pem", key, ["empty.pem"]
    if case == "not PEM":
        (directory / "text.pem").write_text("this is no certificate\n")
        return directory / "text.pem", key, ["text.pem", "is not a PEM certificate"]
    if case == "cut":
        (directory / "cut.pem").write_text(good.read_text()[:200])
        return directory / "cut.pem", key, ["cut.pem", "is not a PEM certificate"]
    if case == "swapped":
        return key, good, [key, "is not a PEM certificate"]
    if case == "another key":
        return good, make_certificate(directory, "other")[1], ["other.key", "good.pem"]
    if case == "another kind of key":
        return good, make_certificate(directory, "rsa", key_type=("-newkey", "rsa:2048"))[1], ["rsa.key", "good.pem"]
    assert case == "expired"
    certificate, key = expired_certificate(directory)
    return certificate, key, ["old.pem", "has expired"]


@pytest.mark.parametrize(
    "case",
    ["missing certificate", "missing key", "a directory", "empty", "not PEM", "cut", "swapped", "another key", "another kind of key", "expired"],
)
def test_a_certificate_that_cannot_be_used(tmp_path, case):
    certificate, key, parts = certificate_case(tmp_path, case)
    path = minimal(tmp_path, tls=f"{{certificate: {certificate}, private_key: {key}}}")
    refused(path, "'tls'", *parts)
    code, errors, _ = usherd(path, "--check")
    assert code == 1 and "'tls'" in errors and str(parts[0]) in errors
    assert not (tmp_path / "data" / "control.sock").exists()
    assert lock_is_free(tmp_path / "data")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_a_key_that_this_user_may_not_read():
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        certificate, key = make_certificate(directory, "good")
        key.chmod(0o600)
        path = minimal(directory, tls=f"{{certificate: {certificate}, private_key: {key}}}")
        shutil.chown(directory, NOBODY)
        refused(path, "'tls'", key, "Permission denied", user=NOBODY, group=NOBODY, extra_groups=[])


# --- ports -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["listen", "metrics"])
def test_a_port_in_use(tmp_path, key):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        path = minimal(tmp_path, **{key: f"127.0.0.1:{port}"})
        _, seconds = refused(path, f"'{key}' 127.0.0.1:{port}", "Address already in use", "another program listens there")
    assert not (tmp_path / "data" / "control.sock").exists()
    assert lock_is_free(tmp_path / "data")


def test_the_port_of_another_usherd_is_not_shared_with_it(tmp_path, running):
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    listen = f"127.0.0.1:{free_port()}"
    running(minimal(tmp_path / "first", listen=listen))
    refused(minimal(tmp_path / "second", listen=listen), f"'listen' {listen}", "Address already in use")


def test_the_same_port_for_both_listeners(tmp_path):
    listen = f"127.0.0.1:{free_port()}"
    refused(minimal(tmp_path, listen=listen, metrics=listen), f"'metrics' {listen}", "Address already in use")


def test_an_address_of_another_machine(tmp_path):
    refused(minimal(tmp_path, listen="203.0.113.9:8443"), "'listen' 203.0.113.9:8443", "this machine has no such address")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_a_port_that_needs_a_privilege():
    with tempfile.TemporaryDirectory() as name:
        shutil.chown(name, NOBODY)
        limit = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
        if limit <= 443:
            pytest.skip("every port is free for all here")
        path = minimal(Path(name), listen="127.0.0.1:443")
        refused(path, "'listen' 127.0.0.1:443", "CAP_NET_BIND_SERVICE", user=NOBODY, group=NOBODY, extra_groups=[])


# --- data_dir ----------------------------------------------------------------------------------------------------------------


def somebody_elses_directory(tmp_path):
    if os.geteuid() == 0:
        data = tmp_path / "data"
        data.mkdir(mode=0o700)
        os.chown(data, NOBODY, NOBODY)
        return data, NOBODY
    return Path("/etc"), 0


def test_a_data_dir_of_somebody_else(tmp_path):
    data, owner = somebody_elses_directory(tmp_path)
    before = sorted(os.listdir(data))
    refused(minimal(tmp_path, data_dir=data), data, f"user id {owner}", f"user id {os.geteuid()}")
    assert sorted(os.listdir(data)) == before


def test_a_data_dir_that_others_may_enter(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(0o750)
    refused(minimal(tmp_path), data, "chmod 700")
    assert os.listdir(data) == []


def test_a_data_dir_that_cannot_be_made(tmp_path):
    refused(minimal(tmp_path, data_dir=tmp_path / "none" / "data"), "none/data", "No such file or directory")
    (tmp_path / "file").touch()
    refused(minimal(tmp_path, data_dir=tmp_path / "file"), "is not a directory")
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    refused(minimal(tmp_path, data_dir=tmp_path / "link"), "is not a directory")
    assert os.listdir(tmp_path / "real") == []


def test_a_data_dir_in_use_by_another_daemon_is_refused_within_a_second(tmp_path, running):
    first = running(minimal(tmp_path))
    before = {p: p.stat().st_size for p in (tmp_path / "data").rglob("*") if p.is_file()}
    (tmp_path / "second").mkdir()
    _, seconds = refused(
        minimal(tmp_path / "second", data_dir=tmp_path / "data"), tmp_path / "data", "in use by another usherd", f"(process {first.pid})"
    )
    assert seconds < 1 * SCALE
    # The one that runs has not noticed.
    assert first.poll() is None
    assert {p: p.stat().st_size for p in (tmp_path / "data").rglob("*") if p.is_file()} == before
    assert stat.S_ISSOCK((tmp_path / "data" / "control.sock").stat().st_mode)
    assert status(tmp_path / "data").returncode == 0


def status(data_dir):
    return subprocess.run(
        [BIN / "usherctl", "--socket", data_dir / "control.sock", "audit", "status"], capture_output=True, text=True, timeout=20 * SCALE
    )


def test_what_is_left_of_a_daemon_that_was_killed_is_no_obstacle(tmp_path, running):
    path = minimal(tmp_path)
    first = running(path)
    first.kill()
    first.wait()
    assert (tmp_path / "data" / "control.sock").exists()
    running(path)
    assert status(tmp_path / "data").returncode == 0


def test_an_embedded_database_that_is_none(tmp_path):
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    (data / "usher.db").write_bytes(b"this is no database" * 1000)
    (data / "usher.db").chmod(0o600)
    refused(minimal(tmp_path), "'database'", "usher.db")
    assert (data / "usher.db").read_bytes() == b"this is no database" * 1000


# --- PostgreSQL --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["127.0.0.1:{closed}", "no.such.host.invalid", "127.0.0.1:99999"])
def test_an_unreachable_postgresql_at_the_start(tmp_path, place):
    url = "postgresql://usher:canary-secret@" + place.format(closed=free_port()) + "/usher"
    errors, _ = refused(minimal(tmp_path, database=url), "'database'", "postgresql://usher@", "PostgreSQL")
    assert "canary-secret" not in errors
    assert lock_is_free(tmp_path / "data")


def test_a_postgresql_that_takes_the_connection_and_says_nothing(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://usher:canary-secret@127.0.0.1:{silent.getsockname()[1]}/usher"
        errors, seconds = refused(minimal(tmp_path, database=url), "'database'", timeout=60 * SCALE)
        assert seconds < 30 * SCALE
        assert "canary-secret" not in errors


# --- nothing is lost ---------------------------------------------------------------------------------------------------------


def usherctl(data_dir, *arguments):
    return subprocess.run(
        [BIN / "usherctl", "--socket", data_dir / "control.sock", *arguments],
        capture_output=True, text=True, timeout=20 * SCALE, check=True,
    ).stdout  # fmt: skip


def test_a_start_that_failed_loses_nothing(tmp_path, running):
    data = tmp_path / "data"
    path = minimal(tmp_path)
    good = path.read_text()
    daemon = running(path)
    subprocess.run(
        [BIN / "usherctl", "--socket", data / "control.sock", "account", "create", "alice", "--password-stdin"],
        input="a long enough password\n", text=True, check=True, capture_output=True, timeout=20 * SCALE,
    )  # fmt: skip
    before = usherctl(data, "audit", "tail", "--since", "1h", "-o", "json").splitlines()
    daemon.terminate()
    assert daemon.wait(timeout=30 * SCALE) == 0

    with socket.create_server(("127.0.0.1", 0)) as other:
        path.write_text(good + f"metrics: 127.0.0.1:{other.getsockname()[1]}\n")
        refused(path, "'metrics'")
    path.write_text(good + "tls: {certificate: none.pem, private_key: none.key}\n")
    refused(path, "'tls'")
    path.write_text(good)
    running(path)

    events = usherctl(data, "audit", "tail", "--since", "1h", "-o", "json").splitlines()
    assert events[: len(before)] == before
    assert "alice" in usherctl(data, "account", "list")
