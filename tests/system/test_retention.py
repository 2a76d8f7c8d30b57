"""How long the record is kept: floor, ceiling, holds, and the guard that wants a person to confirm what is unusual."""

import json
import sqlite3

import pytest

from harness.postgresql import psql
from harness.prepared import prepared  # noqa: F401
from harness.wait import wait_for

DAY = 86_400_000_000  # microseconds

CEILING = "kind: retention_class\nname: access\nmax_days: {days}\n"


@pytest.fixture
def gateway(prepared, database):  # noqa: F811
    made = prepared(database=database)
    made.account("bob")
    return made


def sql(gateway, statement):
    """Runs one statement in the gateway's database; rows of texts and numbers."""
    if gateway.config["database"] != "sqlite":
        rows = psql(gateway.config["database"], "SET search_path = usher; " + statement).splitlines()
        return [tuple(row.split("|")) for row in rows if row not in ("SET", "")]
    connection = sqlite3.connect(gateway.data_dir / "usher.db", timeout=30)
    try:
        with connection:
            return connection.execute(statement).fetchall()
    finally:
        connection.close()


def access(gateway, username="alice"):
    """A tunnel of theirs, opened and closed; its access id."""
    before = {r["access_id"] for r in gateway.records()}
    with gateway.connect(gateway.app.address, token=gateway.sign_in(username)) as tunnel:
        tunnel.send(b"hello")
        assert tunnel.recv_exactly(5) == b"hello"
    return gateway.wait_closed(lambda r: r["access_id"] not in before)["access_id"]


def age(gateway, access_id, days):
    """As if the access had been so long ago."""
    wait_for(gateway.shipped, "everything to be in the store")
    sql(gateway, f"UPDATE audit_events SET recorded_at = recorded_at - {days * DAY} WHERE access_id = '{access_id}'")


def ids(gateway):
    return {r["access_id"] for r in gateway.records()}


def events_of(gateway, access_id):
    ((count,),) = sql(gateway, f"SELECT COUNT(*) FROM audit_events WHERE access_id = '{access_id}'")
    return int(count)


def count_of(run, name="access"):
    (count,) = [c for c in run["counts"] if c["retention_class"] == name]
    return {key: int(count[key]) for key in ("removable", "held", "removed")}


def acts(gateway, action):
    return [e["admin"] for e in gateway.ctl_json("audit", "tail", "--since", "24h") if e.get("admin", {}).get("action") == action]


def run(gateway, *options, check=True):
    result = gateway.ctl("retention", "run", *options, "-o", "json", check=check)
    return json.loads(result.stdout.splitlines()[0])


def test_a_floor_is_not_undercut_and_the_error_says_where(gateway):
    refused = gateway.apply("kind: retention_class\nname: access\nmin_days: 30\n", check=False)
    assert refused.returncode == 1
    assert "standard input:3:11: min_days: is 30 days; records of class 'access' must be kept for at least 183 days" in refused.stderr
    refused = gateway.apply("kind: retention_class\nname: access\nmin_days: 400\nmax_days: 399\n", check=False)
    assert ":4:11: max_days: is 399 days, below the floor of class 'access', 400 days" in refused.stderr
    refused = gateway.apply("kind: hold\nname: all\ncase: '17'\n", check=False)
    assert "the hold would keep every record" in refused.stderr
    refused = gateway.apply(CEILING.format(days=400) + "---\nkind: app\nname: x\ndestinations: ['x.example:1']\n", check=False)
    assert "applied by themselves" in refused.stderr
    classes = {c["name"]: c for c in gateway.ctl_json("get", "retention_classes")}
    assert {name: c["min_days"] for name, c in classes.items()} == {
        "access": "183", "sign-in": "183", "administration": "365", "denial": "183"
    }
    assert all("max_days" not in c for c in classes.values())

    gateway.apply(CEILING.format(days=400))
    text = gateway.ctl("get", "retention_classes", "-o", "yaml").stdout
    assert "max_days: 400" in text
    assert "unchanged" in gateway.apply(text).stdout
    gateway.ctl("delete", "retention_class", "access")
    assert all("max_days" not in c for c in gateway.ctl_json("get", "retention_classes"))
    assert [a["outcome"] for a in acts(gateway, "retention_class.delete")] == ["DONE"]


def test_a_day_past_its_ceiling_goes_and_nothing_else(gateway):
    old, young, kept = access(gateway), access(gateway), access(gateway)
    age(gateway, old, 366)
    age(gateway, young, 364)
    assert run(gateway)["state"] == "COMPLETE"  # there is no ceiling
    assert ids(gateway) == {old, young, kept}
    gateway.apply(CEILING.format(days=365))
    preview = run(gateway, "--dry-run")
    assert preview["state"] == "PREVIEW" and preview["reason"] == ""
    assert count_of(preview) == {"removable": 1, "held": 0, "removed": 0}
    assert ids(gateway) == {old, young, kept}
    # The newest record is today's, and the guard looks at how far back the oldest one reaches behind the ceiling.
    with gateway.connect(gateway.app.address, token=gateway.sign_in("alice")) as live:
        done = run(gateway)
        assert done["state"] == "COMPLETE"
        assert count_of(done) == {"removable": 1, "held": 0, "removed": 1}
        live.send(b"still here")
        assert live.recv_exactly(10) == b"still here"
    assert {young, kept} <= ids(gateway) and old not in ids(gateway)
    assert events_of(gateway, old) == 0 and events_of(gateway, young) >= 2
    (before,) = acts(gateway, "retention.run")[1:]
    (after,) = acts(gateway, "retention.removed")
    assert json.loads(before["after_json"])["access"]["removable"] == 1
    assert json.loads(after["after_json"])["access"]["removed"] == 1
    assert before["actor"] == after["actor"] == "local"
    (status,) = gateway.ctl_json("retention", "status")
    assert [r["state"] for r in status["runs"]] == ["COMPLETE", "COMPLETE"]
    assert "for ever" in gateway.ctl("retention", "status").stdout
    assert gateway.metric("usher_retention_removed_records_total") == 1
    gateway.assert_dense()  # the journal still has them: a reader that is there has missed nothing


def test_two_holds_keep_a_record_until_both_are_gone(gateway):
    alices, bobs = access(gateway), access(gateway, "bob")
    for each in (alices, bobs):
        age(gateway, each, 366)
    gateway.apply(
        CEILING.format(days=365)
        + "---\nkind: hold\nname: one\ncase: 2026-17\naccount: Alice\n"
        + "---\nkind: hold\nname: two\ncase: 2026-18\napp: demo\nuntil: 2099-01-01T00:00:00Z\n"
    )
    assert {h["name"]: h["case_id"] for h in gateway.ctl_json("get", "holds")} == {"one": "2026-17", "two": "2026-18"}
    preview = run(gateway, "--dry-run")
    assert count_of(preview) == {"removable": 0, "held": 2, "removed": 0}
    assert {h["hold"]: int(h["records"]) for h in preview["holds"]} == {"one": 1, "two": 2}
    assert count_of(run(gateway))["removed"] == 0
    gateway.ctl("delete", "hold", "two")
    assert count_of(run(gateway)) == {"removable": 1, "held": 1, "removed": 1}
    assert ids(gateway) == {alices}
    gateway.ctl("delete", "hold", "one")
    assert count_of(run(gateway))["removed"] == 1
    assert ids(gateway) == set()
    assert len(acts(gateway, "hold.apply")) == 2 and len(acts(gateway, "hold.delete")) == 2
    missing = gateway.ctl("delete", "hold", "two", check=False)
    assert missing.returncode == 1 and "hold 'two' does not exist" in missing.stderr


def test_more_than_two_days_worth_is_removed_only_when_it_is_confirmed(gateway):
    ancient, old, kept = access(gateway), access(gateway), access(gateway)
    age(gateway, ancient, 800)
    age(gateway, old, 400)
    gateway.apply(CEILING.format(days=183))
    stopped = gateway.ctl("retention", "run", check=False)
    assert stopped.returncode == 1
    assert "stopped: class 'access': 2 records would go, of 617 days from" in stopped.stdout.replace("618 days", "617 days")
    assert "--confirm" in stopped.stderr
    assert ids(gateway) == {ancient, old, kept}
    assert gateway.metric("usher_retention_attention") == 1
    assert "retention removed nothing" in gateway.log()
    (act,) = acts(gateway, "retention.run")
    assert act["outcome"] == "FAILED" and act["detail"].startswith("class 'access': 2 records")
    preview = run(gateway, "--dry-run")
    assert preview["reason"] == act["detail"]
    done = run(gateway, "--confirm")
    assert count_of(done)["removed"] == count_of(preview)["removable"] == 2
    assert ids(gateway) == {kept}
    assert gateway.metric("usher_retention_attention") == 0


def test_the_command_line(gateway):
    usage = gateway.ctl("retention", "run", "--dry-run", "--confirm", check=False)
    assert usage.returncode == 2
    assert gateway.ctl("retention", "status").stdout.rstrip().endswith("no run yet")
    assert "--confirm" in gateway.ctl("retention", "run", "--help").stdout


def test_a_day_of_which_everything_may_go_is_dropped_whole(gateway):
    if gateway.config["database"] == "sqlite":
        pytest.skip("SQLite has no days")
    old, young = access(gateway), access(gateway)
    wait_for(gateway.shipped, "everything to be in the store")
    ago = 400 * DAY
    sql(gateway, f"UPDATE audit_events SET recorded_at = recorded_at - {ago}, started_at = started_at - {ago} WHERE access_id = '{old}'")
    sql(gateway, f"UPDATE accesses SET opened_at = opened_at - {ago}, closed_at = closed_at - {ago} WHERE access_id = '{old}'")
    ((day,),) = sql(gateway, f"SELECT opened_at / {DAY} FROM accesses WHERE access_id = '{old}'")
    sql(gateway, f"SELECT make_audit_day({day})")
    tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'usher'::regnamespace AND relkind = 'r' AND relname ~ '_[0-9]{8}$'"
    ((before,),) = sql(gateway, tables)
    assert int(before) == 2 * (9 + 1)  # made by the gateway: yesterday to a week ahead
    gateway.apply(CEILING.format(days=365) + "---\nkind: retention_class\nname: denial\nmax_days: 365\n")
    done = run(gateway, "--confirm")
    assert done["state"] == "COMPLETE" and count_of(done) == {"removable": 1, "held": 0, "removed": 1}
    ((after,),) = sql(gateway, tables)
    assert int(after) == int(before) - 2
    assert events_of(gateway, old) == 0 and young in ids(gateway)
    assert "could not be dropped" not in gateway.log()
    (removed,) = acts(gateway, "retention.removed")
    assert '"removed":1' in removed["after_json"]
