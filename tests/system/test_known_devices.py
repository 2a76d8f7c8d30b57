"""What a stranger can do to somebody whose device is enrolled: not keep them out by tries at their address, not by a flood of
passwords, and not fill the gateway with requests for certificates."""

import threading

from harness.build import SCALE
from harness.gateway import PASSWORD
from test_devices import CERTIFICATE, DEVICES, Device, enrolled


def guess(gateway, name, source="127.0.0.1"):
    return gateway.request("POST", "/.usher/v1/sessions", {"username": name, "password": "not this one, surely"}, source=source)[0]


def test_a_stranger_at_the_same_address_keeps_no_enrolled_device_out(gateway_factory, tmp_path):
    # A rate at which nothing comes back while the test takes its time.
    gateway = gateway_factory(config={"limits": {"sign_ins_burst": 20, "sign_ins_per_minute": 1}}).start()
    gateway.account("alice")
    device = enrolled(gateway, tmp_path)
    gateway.ctl("session", "revoke", "--account", "alice")
    # Their own tries of the account there, and then the address's of anybody.
    for name in ["alice"] * 12 + [f"nobody{i}" for i in range(30)]:
        last = guess(gateway, name)
    assert last == 429 and guess(gateway, "alice") == 429
    assert gateway.request("POST", "/.usher/v1/sessions", {"username": "alice", "password": PASSWORD})[0] == 429
    assert device.sign_in(gateway)[0] == 201
    # Whoever has the device but no password has no more tries than anybody: behind ten even the right one looks wrong.
    assert [device.sign_in(gateway, password="not this one, surely")[0] for _ in range(10)] == [401] * 10
    assert device.sign_in(gateway)[0] == 401
    # And it is worth nothing for another account.
    gateway.account("bob")
    assert device.sign_in(gateway, name="bob")[0] == 429


def test_a_flood_of_passwords_keeps_neither_a_device_nor_an_administrator_waiting(gateway_factory, tmp_path):
    gateway = gateway_factory(config={"limits": {"sign_ins_burst": 100_000, "sign_ins_per_minute": 100_000}}).start()
    gateway.account("alice")
    device = enrolled(gateway, tmp_path)
    over = threading.Event()
    statuses = []

    def flood(number):
        for i in range(1_000_000):
            if over.is_set():
                return
            try:
                statuses.append(guess(gateway, f"nobody{number}-{i}"))
            except OSError:
                pass  # it waited too long for its turn, as a flood does

    threads = [threading.Thread(target=flood, args=(n,), daemon=True) for n in range(80)]
    for thread in threads:
        thread.start()
    try:
        from harness.wait import wait_for

        # As many as may wait do; the others get 503.
        wait_for(lambda: 503 in statuses, "the queue to be full", timeout=60)
        for i in range(3):
            assert device.sign_in(gateway)[0] == 201
            gateway.account(f"made-{i}")
        assert gateway.metric("usher_limits_reached_total") > 0
    finally:
        over.set()
        for thread in threads:
            thread.join(60 * SCALE)


def test_a_flood_of_passwords_keeps_nobody_out_who_comes_from_elsewhere(gateway_factory):
    gateway = gateway_factory(config={"limits": {"sign_ins_burst": 100_000, "sign_ins_per_minute": 100_000}}).start()
    gateway.account("alice")
    over = threading.Event()
    sources = [f"127.0.1.{n}" for n in range(1, 81)]
    in_vain = dict.fromkeys(sources, 0.0)  # each of its own thread

    def flood(source):
        for i in range(1_000_000):
            if over.is_set():
                return
            try:
                status = guess(gateway, f"nobody{i}", source)
            except OSError:
                continue  # it waited too long for its turn, as a flood does
            in_vain[source] += 1 if status == 401 else 0.25

    threads = [threading.Thread(target=flood, args=(source,), daemon=True) for source in sources]
    for thread in threads:
        thread.start()
    try:
        from harness.wait import wait_for

        # Until then they are new themselves. Those that find no room stand behind, and may never be judged.
        wait_for(lambda: min(in_vain.values()) >= 1, "tries of each address to be in vain", timeout=60)
        assert any(tries % 1 for tries in in_vain.values())
        for n in range(1, 4):
            form = {"username": "alice", "password": PASSWORD}
            assert gateway.request("POST", "/.usher/v1/sessions", form, source=f"127.0.2.{n}")[0] == 201
    finally:
        over.set()
        for thread in threads:
            thread.join(60 * SCALE)


def test_requests_for_certificates_have_a_rate(gateway, tmp_path):
    token = gateway.sign_in("alice")
    device = Device(tmp_path / "devices")
    form = {"name": "x", "certificate_request": device.request()}
    assert gateway.request("POST", DEVICES, form, token)[0] == 201
    for _ in range(9):
        assert gateway.request("POST", DEVICES, form, token)[0] == 409
    assert gateway.request("POST", DEVICES, {"name": "x"}, token) == (429, {"error": "too-many-certificates"})
    # It is the account's, over all of its sessions, and nobody else's.
    assert gateway.request("POST", DEVICES, form, gateway.sign_in("alice"))[0] == 429
    gateway.account("bob")
    other = Device(tmp_path / "devices", "other")
    other.enroll(gateway, gateway.sign_in("bob"))
    # A device that renews has tries of its own.
    bound = other.token(gateway, "bob")
    statuses = [other.ask(gateway, "POST", CERTIFICATE, token=bound)[0] for _ in range(11)]
    assert statuses == [200] * 10 + [429]
    assert gateway.metric('usher_limits_reached_total{limit="device_certificates"}') >= 3
