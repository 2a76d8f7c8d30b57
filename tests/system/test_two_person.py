"""Deleting the record takes two administrators, where the configuration says so."""

import json
import sqlite3

from harness.gateway import PASSWORD
from harness.wait import wait_for

HOLD = "kind: hold\nname: case-17\naccount: alice\n{more}"
DAY = 86_400_000_000  # microseconds


class Person:
    """An administrator at a machine of their own."""

    def __init__(self, gateway, name):
        self.gateway, self.name = gateway, name
        self("login", "--username", name, "--password-stdin", input=PASSWORD + "\n")

    def __call__(self, *command, check=True, **options):
        remote = ["--gateway", f"localhost:{self.gateway.port}", "--ca", str(self.gateway.ca)]
        return self.gateway.client("usherctl", *remote, *command, home=self.gateway.directory / self.name, check=check, **options)

    def is_told(self, text, *command, **options):
        answer = self(*command, check=False, **options)
        assert answer.returncode == 1 and text in answer.stderr, answer.stderr
        return answer.stderr


def of_yesterday(gateway):
    """As if nobody had changed an account for a day, and everything had been recorded long ago."""
    gateway.stop()
    connection = sqlite3.connect(gateway.data_dir / "usher.db")
    with connection:
        connection.execute(f"UPDATE accounts SET created_at = created_at - {DAY}, updated_at = updated_at - {DAY}")
        connection.execute(f"UPDATE audit_events SET recorded_at = recorded_at - {300 * DAY}")
    connection.close()
    gateway.start()


def test_what_deletes_the_record_takes_two_administrators(gateway_factory):
    gateway = gateway_factory(config={"two_person_deletion": "required"}).start()
    for name in ("ann", "ben"):
        gateway.account(name, role="administrator", groups=(), department="IT")
    gateway.account("eve", role="auditor", groups=(), department="IT")
    gateway.apply(HOLD.format(more=""))  # keeps more: one is enough
    ann = Person(gateway, "ann")
    ann.is_told("your account does not count", "delete", "hold", "case-17")
    of_yesterday(gateway)

    ann, ben, eve = (Person(gateway, name) for name in ("ann", "ben", "eve"))
    told = ann.is_told("takes two administrators. It waits as order ", "delete", "hold", "case-17")
    ann.is_told("you have asked for this yourself", "delete", "hold", "case-17")
    eve.is_told("permission denied", "delete", "hold", "case-17")
    order = json.loads(eve("retention", "pending", "-o", "json").stdout)
    assert order["name"].split("/")[1] in told and (order["asked_by"], order["resource"]) == ("ann", "holds/case-17")
    assert json.loads(order["before_json"])["account"] == "alice" and order["after_json"] == ""
    assert "case-17" in ben("get", "holds").stdout
    ben("delete", "hold", "case-17")
    assert "case-17" not in ben("get", "holds").stdout
    assert ben("retention", "pending", "-o", "json").stdout == ""

    # Without a ceiling no run is stopped, whenever the daily one comes.
    ann.is_told("nothing to confirm", "retention", "run", "--confirm")

    # Changing what is kept, another content than was asked for, and taking it back.
    ceiling = "kind: retention_class\nname: sign-in\nmax_days: {days}\n"
    ann.is_told("waits as order", "apply", "-f", "-", input=ceiling.format(days=200))
    ben.is_told("waits as order", "apply", "-f", "-", input=ceiling.format(days=190))
    assert len(ben("retention", "pending", "-o", "json").stdout.splitlines()) == 2
    ben("apply", "-f", "-", input=ceiling.format(days=200))
    assert "200" in ben("get", "retention_classes").stdout
    (left,) = [json.loads(line) for line in ann("retention", "pending", "-o", "json").stdout.splitlines()]
    ann("retention", "withdraw", left["name"].split("/")[1])
    ann.is_told("no order", "retention", "withdraw", left["name"].split("/")[1])
    ann("apply", "-f", "-", input=ceiling.format(days=200))  # changes nothing

    # The machine's own administrator is one person; who was cut off is none.
    gateway.apply(HOLD.format(more=""))
    ann.is_told("waits as order", "apply", "-f", "-", input=HOLD.format(more="app: demo\n"))
    # A minute after the start; it would be another stopped run than the one that was asked for.
    wait_for(lambda: "gateway" in gateway.ctl("retention", "status").stdout, "the daily run", 120)
    ann.is_told("nothing was removed", "retention", "run")
    ann.is_told("waits as order", "retention", "run", "--confirm")
    gateway.ctl("account", "disable", "ann")
    assert gateway.ctl("retention", "run", "--confirm", check=False).returncode == 1
    ben("retention", "run", "--confirm")

    acts = [e["admin"] for e in gateway.ctl_json("audit", "tail", "--since", "1h", "--filter", "type = admin")]
    of_hold = [(a["actor"], a["outcome"]) for a in acts if a["action"] == "hold.delete" and a["outcome"] != "REFUSED"]
    assert of_hold == [("ann", "ASKED"), ("ben", "APPROVED"), ("ben", "DONE")]
    runs = [(a["actor"], a["outcome"]) for a in acts if a["action"] == "retention.run"]
    assert [run for run in runs if run[1] in ("ASKED", "APPROVED")] == [("ann", "ASKED"), ("local", "ASKED"), ("ben", "APPROVED")]


def test_one_administrator_is_enough_where_the_configuration_does_not_ask_for_two(gateway):
    gateway.apply(HOLD.format(more=""))
    gateway.ctl("delete", "hold", "case-17")
    assert gateway.ctl("retention", "pending", "-o", "json").stdout == ""
    refused = gateway.ctl("retention", "withdraw", "0123456789abcdef", check=False)
    assert refused.returncode == 1 and "two_person_deletion" in refused.stderr
