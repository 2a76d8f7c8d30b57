"""What OCSF 1.3.0 asks of the events that Usher writes: https://schema.ocsf.io/1.3.0/"""

# Of each class: its name, its activities, and the attributes that it requires beside those of every event.
CLASSES = {
    0: ("Base Event", {0, 99}, ()),
    3001: ("Account Change", {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 99}, ("user",)),
    3002: ("Authentication", {0, 1, 2, 3, 4, 5, 6, 99}, ("user",)),
    4001: ("Network Activity", {0, 1, 2, 3, 4, 5, 6, 7, 99}, ("dst_endpoint",)),
    6002: ("Application Lifecycle", {0, 1, 2, 3, 4, 5, 6, 7, 8, 99}, ("app",)),
    6003: ("API Activity", {0, 1, 2, 3, 4, 99}, ("actor", "api", "src_endpoint")),
}
REQUIRED = ("activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid")
ENUMS = {
    "severity_id": {0, 1, 2, 3, 4, 5, 6, 99},
    "status_id": {0, 1, 2, 99},
    "action_id": {0, 1, 2, 99},
    "disposition_id": {*range(28), 99},
    "logon_type_id": {0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 99},
}
ENDPOINT = {"ip", "uid", "name", "hostname", "svc_name"}


def check(event):
    """Asserts that an event has what its class requires, and numbers that the schema knows."""
    for name in REQUIRED:
        assert name in event, (name, event)
    name, activities, required = CLASSES[event["class_uid"]]
    assert event["class_name"] == name
    assert event["activity_id"] in activities
    assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
    assert event["category_uid"] == event["class_uid"] // 1000
    for attribute in required:
        assert attribute in event, (attribute, event)
    for attribute, known in ENUMS.items():
        if attribute in event:
            assert type(event[attribute]) is int and event[attribute] in known, (attribute, event)
    for attribute in ("time", "start_time", "end_time"):
        if attribute in event:
            # Milliseconds: not the seconds of this century, and not its microseconds.
            assert type(event[attribute]) is int and 10**12 < event[attribute] < 10**13, (attribute, event)
    metadata = event["metadata"]
    assert metadata["version"] == "1.3.0" and metadata["product"]["vendor_name"] and metadata["product"]["name"]
    for endpoint in ("src_endpoint", "dst_endpoint"):
        if endpoint in event:
            assert ENDPOINT & event[endpoint].keys(), event
            assert "os" not in event[endpoint] or {"name", "type_id"} <= event[endpoint]["os"].keys()
    for user in (event.get("user"), event.get("actor", {}).get("user")):
        assert user is None or {"name", "uid"} & user.keys(), event
    if "connection_info" in event:
        assert event["connection_info"]["direction_id"] in {0, 1, 2, 3, 99}
    if "security_control" in metadata.get("profiles", ()):
        assert "action_id" in event
    if event["class_uid"] == 3002:
        assert {"service", "dst_endpoint"} & event.keys()
    if event["class_uid"] == 6003:
        assert event["api"]["operation"]
