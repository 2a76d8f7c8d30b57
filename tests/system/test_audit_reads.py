"""Who reads the record is on the record: an auditor from elsewhere, and the machine's own administrator."""

import json
import subprocess

from harness.build import BIN
from harness.wait import wait_for

PASSWORD = "correct horse battery"


def reads(gateway, actor):
    """The reads on record of one actor, in their order."""
    events = gateway.ctl_json("audit", "tail", "--since", "1h", "--filter", f'type = admin AND username = "{actor}"')
    return [e["admin"] for e in events]


def test_an_auditors_reads_are_on_record_with_address_question_and_count(gateway, echo):
    token = gateway.sign_in("alice")
    for _ in range(3):
        gateway.connect(echo.address, token).close()
    wait_for(lambda: [r["event"] for r in gateway.records()] == ["CLOSED"] * 3, "three closed records")
    gateway.account("watcher", role="auditor", groups=(), department="IT")
    remote = ["--gateway", f"localhost:{gateway.port}", "--ca", str(gateway.ca)]
    gateway.client("usherctl", *remote, "login", "--username", "watcher", "--password-stdin", input=PASSWORD + "\n")
    shown = gateway.client("usherctl", *remote, "audit", "query", "-o", "json", "--filter", 'app = "demo"').stdout
    exported = gateway.client("usherctl", *remote, "audit", "export", "--limit", "1").stdout
    assert gateway.client("usherctl", *remote, "audit", "parked", "list").returncode == 0
    assert gateway.client("usherctl", *remote, "get", "holds").returncode == 0
    bad = gateway.client("usherctl", *remote, "audit", "query", "--filter", "ap = 1", check=False)
    assert bad.returncode != 0
    tailed = gateway.client("usherctl", *remote, "audit", "tail", "--since", "1h", "-o", "json").stdout

    on_record = reads(gateway, "watcher")
    assert all(r["client_ip"] == "127.0.0.1" and r["actor_session_id"] and r["outcome"] == "DONE" for r in on_record)
    assert [r["action"] for r in on_record][:5] == ["access.list", "access.list", "parked_record.list", "hold.list", "audit.tail"]
    query, export = (json.loads(r["request_json"]) for r in on_record[:2])
    assert query["filter"] == 'app = "demo"' and export["oldest_first"] is True
    assert int(on_record[0]["count"]) == len(shown.splitlines()) == 3
    assert int(on_record[1]["count"]) >= len(exported.splitlines()) == 1
    # It ends with its own start.
    last = json.loads(tailed.splitlines()[-1])["admin"]
    assert (last["actor"], last["action"]) == ("watcher", "audit.tail")
    assert [r["action"] for r in reads(gateway, "local")].count("audit.tail") == 2  # those of reads()


def test_an_auditor_gets_personal_fields_masked_and_a_privacy_officer_does_not(gateway):
    gateway.ctl("account", "create", "bob", "--mail", "bob@corp.example", "--phone", "+49 89 1234", "--employee-number", "4711",
                "--source", "hr", "--outside-id", "x-100", "--password-stdin", input=PASSWORD + " staple\n")
    personal = ["bob@corp.example", "+49 89 1234", "4711", "x-100"]

    def everything_seen_by(role):
        name = "the-" + role
        gateway.account(name, role=role, groups=(), department="IT")
        remote = ["--gateway", f"localhost:{gateway.port}", "--ca", str(gateway.ca)]
        gateway.client("usherctl", *remote, "login", "--username", name, "--password-stdin", input=PASSWORD + "\n")
        tail = ["audit", "tail", "--since", "1h", "-o", "json"]
        shown = [gateway.client("usherctl", *remote, *command).stdout for command in
                 (["account", "show", "bob"], ["account", "show", "bob", "-o", "json"], ["account", "list", "-o", "json"],
                  ["account", "list", "-o", "yaml"], tail)]
        refused = gateway.client("usherctl", *remote, "account", "update", name, "--role", "administrator", check=False)
        assert refused.returncode != 0 and "permission denied" in refused.stderr
        return shown

    for shown in everything_seen_by("privacy-officer"):
        assert all(value in shown for value in personal)
    details, one, *others = everything_seen_by("auditor")
    for shown in (details, one, *others):
        assert not any(value in shown for value in personal), shown
        assert "bob" in shown
    assert details.count("(not shown to your role)") == 4
    assert json.loads(one)["masked_fields"] == ["office_mail", "office_phone", "employee_number", "outside_id"]
    assert '[masked]' in others[-1]


def test_a_tail_that_follows_sees_its_own_start_once(gateway):
    command = [BIN / "usherctl", "--socket", gateway.data_dir / "control.sock", "audit", "tail", "--follow", "-o", "json"]
    reader = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        first = json.loads(reader.stdout.readline())
        assert first["admin"]["action"] == "audit.tail" and json.loads(first["admin"]["request_json"])["follow"] is True
        gateway.records()
        second = json.loads(reader.stdout.readline())
        assert second["admin"]["action"] == "access.list"
        assert int(second["sequence"]) == int(first["sequence"]) + 1
    finally:
        reader.kill()
        reader.wait()
    shown = gateway.ctl("audit", "tail", "--since", "1h").stdout
    assert 'local access.list accesses done' in shown and '"follow":true' in shown
