#!/usr/bin/python3
"""How long 'usherctl policy replay' takes over many accesses: policy_replay.py sqlite, or policy_replay.py postgresql://... (an empty database).

A real gateway makes the schema and one access. Of that come the others, over the last 30 days: of 200 accounts and 50 apps, each with its
own policy, four in five allowed; their payloads are the first one's with other fields. Then the current policies are judged, which must
change nothing, and the same policies with one group less. One line of JSON: seconds, accesses a second, what came out, and the most memory
that the gateway and the client have had resident.
"""

import argparse
import json
import re
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "system"))

from harness.gateway import PASSWORD  # noqa: E402
from harness.postgresql import psql  # noqa: E402
from harness.prepared import PreparedGateway  # noqa: E402

DAY = 86_400_000_000
DAYS, ACCOUNTS, APPS, GROUPS = 30, 200, 50, 5
CHUNK = 100_000


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


def field(number, value):
    """One field of a message: a number, or bytes. Later ones of a message win, so a payload is changed by what is put behind it."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def without(payload, unwanted):
    """The payload without one (repeated) field of bytes."""
    out, at = b"", 0

    def read():
        nonlocal at
        value = shift = 0
        while True:
            byte = payload[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(payload):
        begin = at
        tag = read()
        if tag & 7 == 2:
            length = read()
            at += length
        else:
            assert tag & 7 == 0
            read()
        if tag >> 3 != unwanted:
            out += payload[begin:at]
    return out


class Maker:
    """Rows of accesses like the one that there is."""

    def __init__(self, columns, row, accounts):
        self.columns, self.row, self.accounts = columns, dict(zip(columns, row)), accounts
        self.base = without(self.row["payload"], 24)
        self.now = self.row["opened_at"]

    def make(self, number, of):
        account_id, username, group = self.accounts[number % ACCOUNTS]
        app = number * 7 % APPS
        opened = self.now - DAYS * DAY + number * (DAYS * DAY // of)
        allowed = group != app % GROUPS  # see policies()
        reason = f"allow-rule app-{app}/allow[0] by group" if allowed else "no-allow-rule"
        access_id = f"01900000-0000-7000-8000-{number:012x}"
        host = f"app-{app}.example"
        changed = {"access_id": access_id, "account_id": account_id, "username": username, "app": f"app-{app}", "destination_host": host,
                   "opened_at": opened, "closed_at": opened + 1000, "reasons": f"\n{reason}\n", "verdict": "ALLOWED" if allowed else "DENIED"}
        stamp = field(1, opened // 1_000_000) + field(2, opened % 1_000_000 * 1000)
        changed["payload"] = self.base + b"".join((
            field(1, access_id), field(6, account_id), field(7, username), field(13, f"app-{app}"), field(14, host), field(16, 443),
            field(17, stamp), field(23, 1 if allowed else 2), field(24, reason)))
        return [changed.get(column, self.row[column]) for column in self.columns]


def policies(leave_out=()):
    return "---\n".join(
        f"kind: policy\nname: app-{app}\napps: [app-{app}]\nallow: [{{groups: {[f'g{g}' for g in range(GROUPS) if g != app % GROUPS and g not in leave_out]}}}]\n"
        for app in range(APPS))


def fill_sqlite(gateway, accounts, count):
    connection = sqlite3.connect(gateway.data_dir / "usher.db", timeout=60)
    columns = [row[1] for row in connection.execute("PRAGMA table_info(accesses)")]
    row = connection.execute("SELECT * FROM accesses WHERE app = 'demo'").fetchone()
    maker = Maker(columns, row, accounts)
    for begin in range(0, count, CHUNK):
        with connection:
            connection.executemany(f"INSERT INTO accesses VALUES ({', '.join('?' * len(columns))})",
                                   (maker.make(n, count) for n in range(begin, min(begin + CHUNK, count))))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def copy_text(value):
    """A value in the text format of COPY."""
    if isinstance(value, bytes):
        return "\\\\x" + value.hex()
    return str(value).replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")


def fill_postgresql(gateway, accounts, count):
    url = gateway.config["database"]

    def run(statement):
        return psql(url, "SET search_path = usher; " + statement).removeprefix("SET\n")

    columns = run("SELECT attname FROM pg_attribute WHERE attrelid = 'accesses'::regclass AND attnum > 0 ORDER BY attnum").split()
    row = json.loads(run("SELECT row_to_json(a) FROM accesses a WHERE app = 'demo'"))
    row["payload"] = bytes.fromhex(row["payload"].removeprefix("\\x"))
    maker = Maker(columns, [row[column] for column in columns], accounts)
    for day in range(maker.now // DAY - DAYS, maker.now // DAY + 1):
        run(f"SELECT make_audit_day({day}); INSERT INTO audit_days VALUES ('copies', {day}, 1, 1)")
    copy = subprocess.Popen(["psql", "-q", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", f"COPY usher.accesses ({', '.join(columns)}) FROM STDIN"],
                            stdin=subprocess.PIPE, text=True)
    for number in range(count):
        copy.stdin.write("\t".join(copy_text(value) for value in maker.make(number, count)) + "\n")
    copy.stdin.close()
    assert copy.wait(600) == 0
    psql(url, "VACUUM (ANALYZE)")


def prepare(gateway):
    """The accounts as (id, name, number of its group), the apps and their policies."""
    gateway.apply("---\n".join(f"kind: app\nname: app-{app}\ndestinations: ['app-{app}.example:443']\n" for app in range(APPS)))
    gateway.apply(policies())
    for number in range(ACCOUNTS):
        gateway.account(f"user{number}", groups=(f"g{number % GROUPS}",))
    found = {a["username"]: a["account_id"] for a in gateway.ctl_json("account", "list")}
    return [(found[f"user{n}"], f"user{n}", n % GROUPS) for n in range(ACCOUNTS)]


def replay(gateway, text=None):
    began = time.perf_counter()
    done = gateway.ctl("policy", "replay", "--since", f"{DAYS + 1}d", "-o", "json", *([] if text is None else ["-"]), input=text)
    took = time.perf_counter() - began
    judged, flips = map(int, re.search(r"^(\d+) accesses judged, (\d+) would", done.stderr, re.M).groups())
    assert flips == done.stdout.count("\n")
    return {"seconds": round(took, 2), "judged": judged, "flips": flips}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database")
    parser.add_argument("--accesses", type=int, default=10**6)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        gateway = PreparedGateway(Path(folder) / "gateway", database=options.database)
        gateway.prepare()
        accounts = prepare(gateway)
        with gateway.connect(gateway.app.address, token=gateway.sign_in("alice", PASSWORD)) as tunnel:
            tunnel.send(b"x")
            tunnel.recv_exactly(1)
        gateway.wait_closed()
        (fill_sqlite if options.database == "sqlite" else fill_postgresql)(gateway, accounts, options.accesses)
        current = replay(gateway)
        assert current["judged"] == options.accesses + 1 and current["flips"] == 0, current
        changed = replay(gateway, policies(leave_out=(1,)))
        status = Path(f"/proc/{gateway.process.pid}/status").read_text()
        print(json.dumps({
            "database": options.database.split(":")[0], "accesses": options.accesses, "current": current, "changed": changed,
            "accesses_a_second": round(current["judged"] / current["seconds"]),
            "gateway_mib": int(re.search(r"VmHWM:\s*(\d+)", status)[1]) // 1024,
            "client_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,
        }), flush=True)
        gateway.check()
        gateway.app.close()
        gateway.close()


if __name__ == "__main__":
    main()
