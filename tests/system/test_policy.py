"""Apps and policies: default deny, deny wins, changes take effect at once on what is live."""

from harness.apps import EchoApp
from test_sessions import ends_within, open_tunnel


def policy(name, apps, allow="", deny=""):
    text = f"kind: policy\nname: {name}\napps: {apps}\n"
    if allow:
        text += f"allow: {allow}\n"
    if deny:
        text += f"deny: {deny}\n"
    return text


def app(name, *destinations):
    return f"kind: app\nname: {name}\ndestinations: {list(destinations)}\nallow_addresses: ['127.0.0.0/8']\n"


def test_an_app_without_a_policy_is_denied_like_one_that_is_not_there(gateway):
    with EchoApp() as lonely:
        gateway.apply(app("lonely", lonely.address))
        token = gateway.sign_in("alice")
        with gateway.connect(lonely.address, token) as denied, gateway.connect("192.0.2.1:443", token) as absent:
            assert denied.status == absent.status == 403
            assert denied.headers == absent.headers
            assert denied.body() == absent.body()
        record = gateway.wait_record(lambda r: r["event"] == "DENIED" and r["app"] == "lonely")
        assert record["username"] == "alice"
        assert record["verdict"] == "DENIED"
        assert record["reasons"] == ["no-policy"] or record["reasons"], record
        assert lonely.connections == []


def test_a_deny_wins_over_every_allow(gateway):
    with EchoApp() as shop:
        gateway.apply(
            app("shop", shop.address)
            + "---\n" + policy("all", "[shop]", allow="[{groups: [staff]}]")
            + "---\n" + policy("not-alice", "[shop]", deny="[{accounts: [alice]}]")
        )
        gateway.account("bob")
        assert gateway.connect(shop.address, gateway.sign_in("alice")).status == 403
        assert gateway.connect(shop.address, gateway.sign_in("bob")).status == 200
        record = gateway.wait_record(lambda r: r["event"] == "DENIED" and r["app"] == "shop")
        assert any("not-alice" in reason for reason in record["reasons"]), record["reasons"]


def test_rules_by_account_group_and_department(gateway):
    gateway.account("bob", department="Sales", groups=("field",))
    with EchoApp() as one, EchoApp() as two, EchoApp() as three, EchoApp() as four:
        gateway.apply(
            "---\n".join(
                [app("one", one.address), policy("one", "[one]", allow="[{accounts: [bob]}]"),
                 app("two", two.address), policy("two", "[two]", allow="[{groups: [field]}]"),
                 app("three", three.address), policy("three", "[three]", allow="[{departments: [Sales]}]"),
                 app("four", four.address),
                 policy("four", "[four]", allow="[{departments: [Sales], groups: [staff]}]")]
            )
        )
        alice, bob = gateway.sign_in("alice"), gateway.sign_in("bob")
        for target in (one, two, three):
            assert gateway.connect(target.address, bob).status == 200
            assert gateway.connect(target.address, alice).status == 403
        # Every list of a rule must match.
        assert gateway.connect(four.address, bob).status == 403
        assert gateway.connect(four.address, alice).status == 403


def test_a_policy_that_denies_cuts_what_is_live(gateway, echo):
    gateway.account("bob")
    token = gateway.sign_in("alice")
    tunnel, other = open_tunnel(gateway, echo, token), open_tunnel(gateway, echo, gateway.sign_in("bob"))
    gateway.apply(policy("no-alice", "[demo]", deny="[{accounts: [alice]}]"))
    ends_within(tunnel, 1)
    record = gateway.wait_closed()
    assert record["close_reason"] == "POLICY_CHANGED"
    assert record["username"] == "alice"
    assert gateway.connect(echo.address, token).status == 403
    other.send(b"ok")
    assert other.recv_exactly(2) == b"ok"
    gateway.ctl("delete", "policy", "no-alice")
    open_tunnel(gateway, echo, token)


def test_a_change_of_department_or_app_cuts_what_is_live(gateway, echo):
    token = gateway.sign_in("alice")
    tunnel = open_tunnel(gateway, echo, token)
    gateway.ctl("account", "update", "alice", "--department", "Sales")
    ends_within(tunnel, 1)
    gateway.ctl("account", "update", "alice", "--department", "Finance")
    tunnel = open_tunnel(gateway, echo, token)
    gateway.allow("demo", "198.51.100.1:1")
    ends_within(tunnel, 1)


def test_a_policy_of_an_unknown_app_changes_nothing(gateway, echo):
    before = gateway.ctl("get", "policies", "-o", "yaml").stdout
    result = gateway.apply(
        policy("fine", "[demo]", allow="[{groups: [staff]}]") + "---\n" + policy("bad", "[dmeo]", allow="[{groups: [a]}]"),
        check=False,
    )
    assert result.returncode != 0
    assert "dmeo" in result.stderr
    assert gateway.ctl("get", "policies", "-o", "yaml").stdout == before


def test_malformed_yaml_is_refused_with_file_line_column_and_key(gateway, tmp_path):
    cases = {
        "kind: app\nname: crm\ndestinatons: [a:1]\n": ":3:1: unknown key 'destinatons'",
        "kind: app\nname: crm\ndestinations: [1.2.3.4:99999]\n": ":3:16:",
        "kind: app\nname: crm\ndestinations: [\n": ":4:",
        "kind: policy\nname: p\napps: [demo]\n": "p",
        "kind: apple\nname: p\n": ":1:7: unknown kind 'apple'",
        "kind: app\nname: a\nname: b\ndestinations: [h:1]\n": ":3:",
        "\tkind: app\n": ":1:",
    }
    for text, expected in cases.items():
        file = tmp_path / "r.yaml"
        file.write_text(text)
        result = gateway.ctl("apply", "-f", str(file), check=False)
        assert result.returncode != 0, text
        assert str(file) in result.stderr and expected in result.stderr, (text, result.stderr)
        assert len(result.stderr.splitlines()) == 1
