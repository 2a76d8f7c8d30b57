"""Departments as a tree: applied, shown, moved and deleted, and what policies make of them for accounts that had one before."""

import pytest

from harness.prepared import prepared  # noqa: F401
from harness.tunnel import ends_within


def department(code, parent="", name=""):
    return f"kind: department\ncode: {code}\n" + (f"name: {name}\n" if name else "") + (f"parent: {parent}\n" if parent else "")


def policy(departments):
    return f"kind: policy\nname: demo\napps: [demo]\nallow: [{{departments: [{departments}]}}]\n"


@pytest.fixture
def gateway(prepared, database):  # noqa: F811
    """alice of Finance, a text that she had before there were departments, may use demo."""
    return prepared(database=database)


def test_a_rule_about_a_department_is_about_what_lies_in_it(gateway):
    token = gateway.sign_in("alice")
    gateway.apply("---\n".join((department("Finance", "Group", "Money"), department("Group"), policy("Group"))))
    shown = gateway.ctl("get", "departments").stdout.splitlines()
    assert [line.split()[:3] for line in shown[1:]] == [["Finance", "Money", "Group"], ["Group", *shown[2].split()[1:3]]]
    as_yaml = gateway.ctl("get", "departments", "-o", "yaml").stdout
    assert "unchanged" in gateway.apply(as_yaml).stdout
    with gateway.connect(gateway.app.address, token) as tunnel:
        assert tunnel.status == 200
        explained = gateway.ctl("policy", "explain", "--account", "alice", "--app", "demo").stdout
        assert explained.startswith("alice may use demo: allow-rule demo/allow[0] by department")
        lost = gateway.ctl("policy", "diff", "-", input=department("Finance")).stdout
        assert "loses" in lost and "0 gained, 1 lost" in lost
        gateway.apply(department("Finance"))
        ends_within(tunnel, 10)
    record = gateway.wait_closed()
    assert (record["close_reason"], record["department"]) == ("POLICY_CHANGED", "Finance")
    with gateway.connect(gateway.app.address, token) as tunnel:
        assert tunnel.status == 403


def test_what_is_no_tree_is_refused_with_its_place(gateway):
    gateway.apply("---\n".join((department("Finance", "Group"), department("Group"))))
    for text, complaint in [
        (department("Group", "Finance"), "standard input:3:9: parent: the department lies in itself: 'Finance' in 'Group' in 'Finance'"),
        (department("Tax", "Finanse"), "standard input:3:9: parent: department 'Finanse' does not exist; did you mean 'Finance'?"),
        (department("Tax").replace("code", "cod"), "unknown key 'cod' in department; did you mean 'code'?"),
        ("kind: department\nname: Tax\n", "'code' is missing in department"),
        ("---\n".join([department("d1"), *(department(f"d{n}", f"d{n - 1}") for n in range(2, 18))]), "on level 17 of at most 16"),
    ]:
        refused = gateway.apply(text, check=False)
        assert refused.returncode == 1 and complaint in refused.stderr, (complaint, refused.stderr)
    for code, complaint in [("Finance", "has accounts (1)"), ("Group", "lies in 'Group'"), ("Taxes", "does not exist")]:
        refused = gateway.ctl("delete", "department", code, check=False)
        assert refused.returncode == 1 and complaint in refused.stderr, refused.stderr
    gateway.ctl("account", "update", "alice", "--department", "Elsewhere")
    gateway.ctl("delete", "department", "Finance")
    assert gateway.stop() == 0
    gateway.start()
    assert [d["code"] for d in gateway.ctl_json("get", "departments")] == ["Group"]
