"""Accounts as enterprises have them: usernames in any script, import from CSV, and what a deletion ends."""

import csv
import json
import os
import stat

import pytest

from harness.factors import sign_in
from harness.gateway import PASSWORD

STAFF = """username,display_name,department,groups,employee_number,role,valid_until
alice,"Lidell, Alice",Finance,staff;sales,1001,employee,
bob,Bob,Sales,,1002,auditor,2099-01-01T00:00:00Z
张伟,张伟,Finance,staff,1003,employee,
"""


@pytest.fixture
def stored(gateway_factory, database):
    made = gateway_factory(database).start()
    made.account("alice", department="Finance")
    return made


def accounts(gateway):
    return {account["username"]: account for account in gateway.ctl_json("account", "list")}


def test_a_username_is_the_same_in_every_width_and_case(gateway):
    gateway.ctl("account", "create", "JÜRGEN", "--password-stdin", input=PASSWORD + "\n")
    for spelling in ("jürgen", "Ju\u0308rgen", "ｊÜｒｇｅｎ"):
        status, session = sign_in(gateway, spelling)
        assert (status, session["username"]) == (201, "jürgen")
    again = gateway.ctl("account", "create", "ｊürgen", "--password-stdin", input=PASSWORD + "\n", check=False)
    assert again.returncode == 1 and "account 'jürgen' exists already" in again.stderr
    gateway.ctl("account", "create", "scope", "--password-stdin", input=PASSWORD + "\n")
    alike = gateway.ctl("account", "create", "ѕсоре", "--password-stdin", input=PASSWORD + "\n", check=False)
    assert alike.returncode == 1 and "cannot be told from 'scope' by its looks" in alike.stderr
    mixed = gateway.ctl("account", "create", "аlice", "--password-stdin", input=PASSWORD + "\n", check=False)
    assert mixed.returncode == 1 and "letters of one script" in mixed.stderr


def test_staff_is_imported_after_a_dry_run(stored, tmp_path):
    file, passwords = tmp_path / "staff.csv", tmp_path / "passwords.csv"
    file.write_text(STAFF)
    before = accounts(stored)
    dry = stored.ctl("account", "import", str(file), "--dry-run").stdout
    assert "2 created, 1 updated, 0 unchanged; nothing was changed, this was a dry run" in dry
    assert "display_name, groups, employee_number" in dry
    assert accounts(stored) == before

    done = stored.ctl("account", "import", str(file), "--passwords", str(passwords))
    assert "2 created, 1 updated, 0 unchanged\n" in done.stdout
    now = accounts(stored)
    assert now["alice"]["groups"] == ["sales", "staff"] and now["alice"]["display_name"] == "Lidell, Alice"
    assert now["bob"]["role"] == "AUDITOR" and now["bob"]["valid_until"].startswith("2099")
    assert now["张伟"]["employee_number"] == "1003"
    assert sign_in(stored)[0] == 201  # alice has the password that she had

    assert stat.S_IMODE(os.stat(passwords).st_mode) == 0o600
    rows = list(csv.DictReader(passwords.open(newline="")))
    assert [row["username"] for row in rows] == ["bob", "张伟"]
    for row in rows:
        assert sign_in(stored, row["username"], password=row["password"]) == (403, {"error": "password-change-required"})
        assert row["password"] not in done.stdout + done.stderr + stored.log()

    once_more = stored.ctl("account", "import", str(file))
    assert once_more.stdout == "0 created, 0 updated, 3 unchanged\n"
    taken = stored.ctl("account", "import", str(file), "--passwords", str(passwords), check=False)
    assert taken.returncode == 1 and "exists already; passwords go into a new file" in taken.stderr


def test_a_file_that_is_wrong_imports_nothing_and_says_where(gateway, tmp_path):
    gateway.ctl("account", "update", "alice", "--employee-number", "1")
    file = tmp_path / "staff.csv"
    for text, expected in [
        ("username,departement\nbob,x\n", "staff.csv:1: there is no column 'departement'; did you mean 'department'?"),
        ("username,role\nbob,boss\n", "staff.csv:2: role: 'boss' is no role; expected employee, auditor, privacy-officer or administrator"),
        ("username,department\nbob,\"x\n", "staff.csv:2: a quote is opened here and never closed"),
        ("username,employee_number\n\ncarol,2\nbob,1\n", "staff.csv:4: employee_number: '1' is the number of account 'alice' already"),
        ("username,department\nbob,x\ncarol,y\nBOB,z\n", "staff.csv:4: username: 'bob' is given twice, first by line 2"),
        ("username\nbob smith\n", "staff.csv:2: username: 'bob smith' must be 1 to 64 letters"),
    ]:
        file.write_text(text)
        refused = gateway.ctl("account", "import", str(file), check=False)
        assert refused.returncode == 1 and expected in refused.stderr, refused.stderr
    assert set(accounts(gateway)) == {"alice"}
    missing = gateway.ctl("account", "import", str(tmp_path / "none.csv"), check=False)
    assert missing.returncode == 1 and "cannot read" in missing.stderr


def test_who_is_imported_without_a_password_cannot_sign_in(gateway):
    done = gateway.ctl("account", "import", "-", input="username\nbob\n")
    assert "1 new accounts have no password" in done.stderr
    assert sign_in(gateway, "bob", password="")[0] in (400, 401)
    assert sign_in(gateway, "bob")[0] == 401
    gateway.ctl("account", "set-password", "bob", "--password-stdin", input=PASSWORD + "\n")
    assert sign_in(gateway, "bob")[0] == 201


def test_a_change_of_an_import_cuts_what_it_no_longer_allows(gateway, echo):
    tunnel = gateway.connect(echo.address, gateway.sign_in("alice"))
    assert tunnel.status == 200
    gateway.ctl("account", "import", "-", input="username,department,groups\nalice,Sales,\n")
    assert gateway.wait_closed()["close_reason"] == "POLICY_CHANGED"
    assert "account.update" in gateway.ctl("audit", "tail", "--since", "1h", "-o", "json").stdout


def test_a_deletion_says_first_what_it_ends(gateway, echo):
    gateway.apply("kind: policy\nname: hers\napps: [demo]\nallow: [{accounts: [alice]}]\n")
    tunnel = gateway.connect(echo.address, gateway.sign_in("alice"))
    assert tunnel.status == 200
    told = "and with it end 1 session, 1 open access and 0 enrolled devices"
    dry = gateway.ctl("account", "delete", "alice", "--dry-run").stdout
    assert told in dry and "would count for another account of this name: hers" in dry
    (said,) = gateway.ctl_json("account", "delete", "alice", "--dry-run")
    assert said["open_accesses"]["here"] == "1" and said["open_accesses"]["elsewhere_error"] == "" and said["policies"] == ["hers"]
    assert "alice" in accounts(gateway)
    done = gateway.ctl("account", "delete", "ALICE").stdout
    assert told in done and done.endswith("deleted\n")
    assert gateway.wait_closed()["close_reason"] == "REVOKED"
    missing = gateway.ctl("account", "delete", "alice", check=False)
    assert missing.returncode == 1 and "account 'alice' does not exist" in missing.stderr
