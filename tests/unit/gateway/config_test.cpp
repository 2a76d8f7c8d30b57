#include "gateway/config.hpp"

#include "catch.hpp"

using namespace usher;
using gateway::parse_config;

namespace {
std::string error_of(const std::string& text) {
    auto config = parse_config(text, "usher.yaml");
    return config ? "" : config.error().message;
}
bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }
}  // namespace

TEST_CASE("a configuration of one line has the documented defaults") {
    const auto config = parse_config("listen: 127.0.0.1:8443\n", "usher.yaml");
    REQUIRE(config);
    CHECK(config->listen.to_string() == "127.0.0.1:8443");
    CHECK(config->data_dir == "./data");
    CHECK(config->database == "sqlite");
    CHECK_FALSE(config->metrics);
    CHECK(config->workers == 0);
    CHECK(config->timeouts.drain == base::Microseconds{10'000'000});
}

TEST_CASE("every key of the documentation is read") {
    const auto config = parse_config(
        "listen: '[::1]:8443'\nmetrics: 127.0.0.1:9464\ndata_dir: /var/lib/usher\ndatabase: "
        "postgresql://usher@db/usher\n"
        "tls: {certificate: a.pem, private_key: b.pem}\nworkers: 2\nlog: {level: warning, format: json, file: u.log}\n"
        "timeouts: {handshake: 1s, header: 2s, connect: 3s, idle: 4s, keep_alive: 5s, half_open: 6s, drain: 0s, "
        "max_duration: 1h, tail: 7s}\n"
        "sessions: {idle: 1h, absolute: 2h, per_account: 3}\ndns: {servers: ['127.0.0.1:53', '[::1]:53'], timeout: "
        "2s}\n"
        "journal: {segment_size: 1MiB}\nlimits: {connections: 10, connections_per_address: 5, handshakes_per_second: "
        "6, handshakes_burst: 7, "
        "streams_per_connection: 8, tunnels_per_account: 9, tunnels_per_device: 11, sign_ins_per_minute: 12, "
        "sign_ins_burst: 13, app_lists_per_minute: 14, app_lists_burst: 15}\nhashing: {memory: "
        "19MiB, operations: 2}\n",
        "usher.yaml");
    if (!config) FAIL(config.error().message);
    CHECK(config->listen.to_string() == "[::1]:8443");
    CHECK(config->metrics->port == 9464);
    CHECK(config->tls.private_key == "b.pem");
    CHECK(config->log.format == base::LogFormat::json);
    CHECK(config->timeouts.drain.count() == 0);
    CHECK(config->timeouts.max_duration == base::Microseconds{3'600'000'000});
    CHECK(config->timeouts.tail == base::Microseconds{7'000'000});
    CHECK(config->sessions.per_account == 3);
    CHECK(config->dns.servers.size() == 2);
    CHECK(config->journal.segment_bytes == 1u << 20);
    CHECK(config->timeouts.half_open == base::Microseconds{6'000'000});
    CHECK(config->limits.connections_per_address == 5);
    CHECK(config->limits.handshakes_per_second == 6);
    CHECK(config->limits.handshakes_burst == 7);
    CHECK(config->limits.streams_per_connection == 8);
    CHECK(config->limits.tunnels_per_account == 9);
    CHECK(config->limits.tunnels_per_device == 11);
    CHECK(config->limits.sign_ins_per_minute == 12);
    CHECK(config->limits.sign_ins_burst == 13);
    CHECK(config->limits.app_lists_per_minute == 14);
    CHECK(config->limits.app_lists_burst == 15);
}

TEST_CASE("an unknown key is named with file, line and column, and the nearest known one is suggested") {
    CHECK(error_of("listen: 127.0.0.1:8443\nlistenn: 127.0.0.1:1\n") ==
          "usher.yaml:2:1: unknown key 'listenn' in the top level; did you mean 'listen'?");
    CHECK(contains(error_of("listen: 127.0.0.1:1\ntimeouts:\n  handshak: 1s\n"),
                   "usher.yaml:3:3: unknown key 'handshak' in 'timeouts'; did you mean 'handshake'?"));
}

TEST_CASE("wrong values say what was found and what was expected") {
    CHECK(contains(error_of(""), "listen"));
    CHECK(contains(error_of("data_dir: x\n"), "'listen' is missing"));
    for (const char* listen :
         {"localhost:8443", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "127.1:80", "::1:80", ":80"}) {
        INFO(listen);
        CHECK(contains(error_of("listen: '" + std::string(listen) + "'\n"), "usher.yaml:1:9: 'listen' is '"));
    }
    CHECK(contains(error_of("listen: 127.0.0.1:1\nworkers: many\n"),
                   "usher.yaml:2:10: 'workers' is 'many', expected a whole number"));
    CHECK(contains(error_of("listen: 127.0.0.1:1\ntimeouts: {idle: 5}\n"), "'idle' is '5', expected a duration"));
    CHECK(contains(error_of("listen: 127.0.0.1:1\ndatabase: mysql://x\n"),
                   "'database' must be sqlite or a postgresql:// URL"));
    CHECK(contains(error_of("listen: 127.0.0.1:1\ntls: {certificate: a.pem}\n"), "names no 'private_key'"));
    CHECK(contains(error_of("listen: 127.0.0.1:1\nlisten: 127.0.0.1:2\n"), "given twice"));
    CHECK(contains(error_of("listen: [1, 2\n"), "not well-formed YAML"));
    CHECK(contains(error_of("listen: 127.0.0.1:1\n---\nlisten: 127.0.0.1:1\n"), "one YAML document"));
    CHECK(contains(error_of("- a\n"), "must be a mapping"));
}

TEST_CASE("a configuration file that is not there is named") {
    const auto config = gateway::load_config("/nonexistent/usher.yaml");
    REQUIRE_FALSE(config);
    CHECK(contains(config.error().message, "/nonexistent/usher.yaml: cannot be read: No such file"));
}

TEST_CASE("sinks are read, each with a name of its own") {
    const auto config = parse_config(
        "listen: 127.0.0.1:1\nsinks:\n- {name: siem, kind: syslog, address: 'Logs.Corp.example:6514', ca: ca.pem, "
        "certificate: c.pem, private_key: k.pem, server_name: syslog.corp.example, filter: 'type = access'}\n"
        "- {name: b-2, kind: otlp, address: '[2001:db8::1]:6514', ca: ca.pem}\n",
        "usher.yaml");
    if (!config) FAIL(config.error().message);
    REQUIRE(config->sinks.size() == 2);
    const auto& siem = config->sinks[0];
    CHECK(siem.name == "siem");
    CHECK(siem.address() == "logs.corp.example:6514");
    CHECK(siem.ca == "ca.pem");
    CHECK(siem.certificate == "c.pem");
    CHECK(siem.private_key == "k.pem");
    CHECK(siem.server_name == "syslog.corp.example");
    CHECK(siem.filter == "type = access");
    CHECK(config->sinks[1].address() == "[2001:db8::1]:6514");
    CHECK(config->sinks[1].server_name.empty());
    CHECK(config->sinks[1].kind == audit::sinks::Settings::Kind::otlp);
}

TEST_CASE("a sink that is not right says what was found and what was expected") {
    const auto sink = [](const std::string& lines) { return error_of("listen: 127.0.0.1:1\nsinks:\n" + lines); };
    const std::string right = "- {name: a, kind: syslog, address: 'h.example:1', ca: c}\n";
    CHECK(sink(right).empty());
    CHECK(sink("  []\n") == "usher.yaml:3:3: 'sinks' must be a list of 1 to 8 sinks");
    CHECK(
        sink("- {name: Siem, kind: syslog, address: 'h.example:1', ca: c}\n") ==
        "usher.yaml:3:10: 'name' is 'Siem', expected 1 to 40 lower-case letters, digits and hyphens, beginning with a "
        "letter");
    CHECK(sink("- {name: a, kind: beats, address: 'h.example:1', ca: c}\n") ==
          "usher.yaml:3:19: 'kind' is 'beats', expected syslog, otlp or kafka");
    for (const char* address :
         {"h.example", "h.example:0", "h.example:65536", "::1:514", "[10.0.0.1]:1", ":1", "a b:1"})
        CHECK(contains(sink("- {name: a, kind: syslog, ca: c, address: '" + std::string(address) + "'}\n"),
                       "expected HOST:PORT"));
    CHECK(sink("- {name: a, kind: syslog, address: 'h.example:1'}\n") == "usher.yaml:3:3: a sink names no 'ca'");
    CHECK(sink("- {kind: syslog, address: 'h.example:1', ca: c}\n") == "usher.yaml:3:3: a sink names no 'name'");
    CHECK(sink("- {name: a, address: 'h.example:1', ca: c}\n") == "usher.yaml:3:3: a sink names no 'kind'");
    CHECK(sink("- {name: a, kind: syslog, ca: c}\n") == "usher.yaml:3:3: a sink names no 'address'");
    CHECK(contains(sink("- {name: a, kind: syslog, address: 'h.example:1', ca: c, certificate: x}\n"),
                   "the sink 'a' names no 'private_key'; give both, or neither"));
    CHECK(contains(sink("- {name: a, kind: syslog, address: 'h.example:1', ca: c, server_name: 'a b'}\n"),
                   "'server_name' is 'a b'"));
    CHECK(contains(sink("- {name: a, kind: syslog, address: 'h.example:1', ca: c, filter: 'ap = 1'}\n"),
                   "unknown field 'ap'"));
    CHECK(contains(sink("- {name: a, kind: syslog, address: 'h.example:1', ca: c, verify: no}\n"),
                   "unknown key 'verify'"));
    CHECK(contains(sink(right + right), "usher.yaml:4:3: two sinks have the name 'a'"));
}

TEST_CASE("a Kafka sink has brokers and a topic, and no address") {
    const auto config = parse_config(
        "listen: 127.0.0.1:1\nsinks:\n- {name: lake, kind: kafka, brokers: ['K1.corp.example:9093', "
        "'[2001:db8::1]:9093'], "
        "topic: usher.audit, ca: ca.pem, username: usher, password_file: p, mechanism: SCRAM-SHA-256}\n",
        "usher.yaml");
    if (!config) FAIL(config.error().message);
    const auto& lake = config->sinks.at(0);
    CHECK(lake.kind == audit::sinks::Settings::Kind::kafka);
    CHECK(lake.brokers == "k1.corp.example:9093,[2001:db8::1]:9093");
    CHECK(lake.address() == lake.brokers);
    CHECK(lake.topic == "usher.audit");
    CHECK(lake.username == "usher");
    CHECK(lake.password_file == "p");
    CHECK(lake.mechanism == "SCRAM-SHA-256");
    const auto sink = [](const std::string& keys) {
        return error_of("listen: 127.0.0.1:1\nsinks:\n- {name: a, kind: kafka, " + keys + "}\n");
    };
    const std::string right = "ca: c, brokers: ['h.example:1'], topic: t";
    CHECK(sink(right).empty());
    CHECK(sink("ca: c, topic: t") == "usher.yaml:3:3: a sink names no 'brokers'");
    CHECK(sink("ca: c, brokers: ['h.example:1']") == "usher.yaml:3:3: a sink names no 'topic'");
    CHECK(sink("topic: t, brokers: ['h.example:1']") == "usher.yaml:3:3: a sink names no 'ca'");
    CHECK(contains(sink("ca: c, topic: t, brokers: 'h.example:1'"), "'brokers' must be a list of 1 to 16 HOST:PORT"));
    CHECK(contains(sink("ca: c, topic: t, brokers: ['h.example']"), "'brokers' is 'h.example', expected HOST:PORT"));
    // It would be another setting of librdkafka's list.
    CHECK(contains(sink("ca: c, topic: t, brokers: ['a.example:1,b.example:2']"), "expected HOST:PORT"));
    for (const char* topic : {"a b", "..", "a/b"})
        CHECK(contains(sink("ca: c, brokers: ['h.example:1'], topic: '" + std::string(topic) + "'"), "'topic' is '"));
    CHECK(contains(sink(right + ", address: 'h.example:1'"), "of kind kafka, which has no 'address'"));
    CHECK(contains(sink(right + ", server_name: h.example"), "of kind kafka, which has no 'server_name'"));
    CHECK(contains(sink(right + ", username: u"), "the sink 'a' names no 'password_file'; give both, or neither"));
    CHECK(contains(sink(right + ", password_file: u"), "the sink 'a' names no 'username'; give both, or neither"));
    CHECK(contains(sink(right + ", mechanism: PLAIN"), "'mechanism' is 'PLAIN', expected SCRAM-SHA-256 or"));
    CHECK(contains(sink(right + ", mechanism: SCRAM-SHA-256"), "has a 'mechanism' and no 'username'"));
    CHECK(contains(
        error_of("listen: 127.0.0.1:1\nsinks:\n- {name: a, kind: otlp, address: 'h.example:1', ca: c, topic: t}\n"),
        "the sink 'a' is of kind otlp, and 'topic' is a key of kafka alone"));
}
