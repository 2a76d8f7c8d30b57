#include "gateway/config.hpp"

#include <yaml-cpp/yaml.h>

#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <sstream>

#include "audit/filter.hpp"
#include "auth/sealing.hpp"
#include "base/text.hpp"

namespace usher::gateway {
namespace {

using base::Errc;
using base::Error;

struct ConfigError {
    Error error;
};

/// Reads a YAML mapping key by key; whatever it does not know is an error with its place.
class Reader {
public:
    explicit Reader(std::string name) : name_(std::move(name)) {}

    [[noreturn]] void fail(const YAML::Mark& mark, const std::string& what) const {
        std::string place = name_;
        if (!mark.is_null()) place += ":" + std::to_string(mark.line + 1) + ":" + std::to_string(mark.column + 1);
        throw ConfigError{{Errc::invalid_argument, place + ": " + what}};
    }

    using Handler = std::function<void(const YAML::Node&, const std::string& key)>;

    void mapping(const YAML::Node& node, const std::string& where,
                 const std::map<std::string, Handler>& handlers) const {
        if (!node.IsMap()) fail(node.Mark(), where + " must be a mapping of keys to values");
        std::vector<std::string_view> known;
        for (const auto& [key, handler] : handlers) known.push_back(key);
        std::set<std::string> seen;
        for (const auto& entry : node) {
            if (!entry.first.IsScalar()) fail(entry.first.Mark(), "a key in " + where + " must be plain text");
            const std::string key = entry.first.Scalar();
            const auto handler = handlers.find(key);
            if (handler == handlers.end()) {
                std::string what = "unknown key '" + base::escape_for_terminal(key, 100) + "' in " + where;
                if (const auto near = base::closest(key, known)) what += "; did you mean '" + std::string(*near) + "'?";
                fail(entry.first.Mark(), what);
            }
            if (!seen.insert(key).second) fail(entry.first.Mark(), "the key '" + key + "' is given twice in " + where);
            handler->second(entry.second, key);
        }
    }

    std::string text(const YAML::Node& node, const std::string& key) const {
        if (!node.IsScalar() || node.Scalar().empty())
            fail(node.Mark(), "'" + key + "' must be a text that is not empty");
        return node.Scalar();
    }

    base::Microseconds duration(const YAML::Node& node, const std::string& key, base::Microseconds min,
                                base::Microseconds max, bool zero_is_off = false) const {
        const std::string found = text(node, key);
        if (zero_is_off && (found == "0" || found == "0s")) return base::Microseconds{0};
        const auto value = base::parse_duration(found);
        if (!value)
            fail(node.Mark(), "'" + key + "' is '" + base::escape_for_terminal(found, 60) +
                                  "', expected a duration such as 500ms, 10s, 15m, 1h or 7d");
        if (*value < min || *value > max)
            fail(node.Mark(), "'" + key + "' is " + found + ", expected " + base::format_duration(min) + " to " +
                                  base::format_duration(max));
        return *value;
    }

    std::uint64_t number(const YAML::Node& node, const std::string& key, std::uint64_t min, std::uint64_t max) const {
        const std::string found = text(node, key);
        const auto value = base::parse_unsigned(found, max);
        if (!value || *value < min)
            fail(node.Mark(), "'" + key + "' is '" + base::escape_for_terminal(found, 60) +
                                  "', expected a whole number from " + std::to_string(min) + " to " +
                                  std::to_string(max));
        return *value;
    }

    std::uint64_t size(const YAML::Node& node, const std::string& key, std::uint64_t min, std::uint64_t max) const {
        const std::string found = text(node, key);
        const auto value = base::parse_byte_size(found);
        if (!value || *value < min || *value > max)
            fail(node.Mark(), "'" + key + "' is '" + base::escape_for_terminal(found, 60) +
                                  "', expected a size such as 16MiB, from " + std::to_string(min) + " to " +
                                  std::to_string(max) + " bytes");
        return *value;
    }

    ListenAddress listen(const YAML::Node& node, const std::string& key) const {
        const std::string found = text(node, key);
        const auto colon = found.rfind(':');
        std::string host = colon == std::string::npos ? "" : found.substr(0, colon);
        if (host.size() > 2 && host.front() == '[' && host.back() == ']')
            host = host.substr(1, host.size() - 2);
        else if (host.find(':') != std::string::npos)
            host.clear();
        const auto address = base::IpAddress::parse(host);
        const auto port =
            colon == std::string::npos ? std::nullopt : base::parse_unsigned(found.substr(colon + 1), 65535);
        if (!address || !port || *port == 0)
            fail(node.Mark(), "'" + key + "' is '" + base::escape_for_terminal(found, 80) +
                                  "', expected ADDRESS:PORT with an IP address, such as 0.0.0.0:8443 or [::]:8443");
        return {*address, static_cast<std::uint16_t>(*port)};
    }

private:
    std::string name_;
};

using std::chrono::hours;
constexpr base::Microseconds ms{1000}, second{1'000'000}, day{24LL * 3600 * 1'000'000};

void read_tls(const Reader& r, const YAML::Node& node, Config& c) {
    r.mapping(node, "'tls'",
              {{"certificate", [&](auto& n, auto& k) { c.tls.certificate = r.text(n, k); }},
               {"private_key", [&](auto& n, auto& k) { c.tls.private_key = r.text(n, k); }}});
    if (c.tls.certificate.empty() != c.tls.private_key.empty())
        r.fail(node.Mark(), std::string("'tls' names no ") +
                                (c.tls.certificate.empty() ? "'certificate'" : "'private_key'") +
                                "; give both, or leave 'tls' out for a generated certificate");
}

void read_log(const Reader& r, const YAML::Node& node, Config& c) {
    const auto level = [&](const YAML::Node& n, const std::string& k) {
        static const std::map<std::string, base::LogLevel> levels{{"debug", base::LogLevel::debug},
                                                                  {"info", base::LogLevel::info},
                                                                  {"warning", base::LogLevel::warning},
                                                                  {"error", base::LogLevel::error}};
        const auto found = levels.find(r.text(n, k));
        if (found == levels.end()) r.fail(n.Mark(), "'level' must be debug, info, warning or error");
        c.log.level = found->second;
    };
    const auto format = [&](const YAML::Node& n, const std::string& k) {
        const std::string found = r.text(n, k);
        if (found != "text" && found != "json") r.fail(n.Mark(), "'format' must be text or json");
        c.log.format = found == "json" ? base::LogFormat::json : base::LogFormat::text;
    };
    r.mapping(node, "'log'",
              {{"level", level}, {"format", format}, {"file", [&](auto& n, auto& k) { c.log.file = r.text(n, k); }}});
}

void read_timeouts(const Reader& r, const YAML::Node& node, Config& c) {
    auto& t = c.timeouts;
    const auto within = [&](base::Microseconds& into, base::Microseconds min, base::Microseconds max,
                            bool zero = false) {
        return [&r, &into, min, max, zero](const YAML::Node& n, const std::string& k) {
            into = r.duration(n, k, min, max, zero);
        };
    };
    r.mapping(node, "'timeouts'",
              {{"handshake", within(t.handshake, 100 * ms, 300 * second)},
               {"header", within(t.header, 100 * ms, 300 * second)},
               {"connect", within(t.connect, 100 * ms, 300 * second)},
               {"idle", within(t.idle, second, 30 * day)},
               {"keep_alive", within(t.keep_alive, second, day)},
               {"half_open", within(t.half_open, 2 * second, 3600 * second)},
               {"drain", within(t.drain, base::Microseconds{0}, day, true)},
               {"max_duration", within(t.max_duration, second, 365 * day, true)},
               {"tail", within(t.tail, second, 3600 * second)}});
}

void read_sessions(const Reader& r, const YAML::Node& node, Config& c) {
    r.mapping(node, "'sessions'",
              {{"idle", [&](auto& n, auto& k) { c.sessions.idle = r.duration(n, k, second, 365 * day); }},
               {"absolute", [&](auto& n, auto& k) { c.sessions.absolute = r.duration(n, k, second, 365 * day); }},
               {"per_account", [&](auto& n, auto& k) { c.sessions.per_account = r.number(n, k, 1, 10'000); }}});
}

void read_dns(const Reader& r, const YAML::Node& node, Config& c) {
    const auto servers = [&](const YAML::Node& n, const std::string& k) {
        if (!n.IsSequence() || n.size() == 0 || n.size() > 8)
            r.fail(n.Mark(), "'servers' must be a list of 1 to 8 ADDRESS:PORT");
        for (const auto& entry : n) c.dns.servers.push_back(r.listen(entry, k).to_string());
    };
    r.mapping(node, "'dns'", {{"servers", servers}, {"timeout", [&](auto& n, auto& k) {
                                                         c.dns.timeout = r.duration(n, k, 100 * ms, 60 * second);
                                                     }}});
}

struct HostAndPort {
    std::string host;
    std::uint16_t port = 0;
};

HostAndPort read_host_and_port(const Reader& r, const YAML::Node& node, const std::string& key) {
    const std::string found = r.text(node, key);
    const auto colon = found.rfind(':');
    std::string host = colon == std::string::npos ? "" : found.substr(0, colon);
    const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
    if (bracketed) host = host.substr(1, host.size() - 2);
    const auto address = base::IpAddress::parse(host);
    const auto name = base::canonical_host_name(host);
    const auto port = colon == std::string::npos ? std::nullopt : base::parse_unsigned(found.substr(colon + 1), 65535);
    if ((bracketed ? !address || address->is_v4() : !name && !(address && address->is_v4())) || !port || *port == 0)
        r.fail(node.Mark(), "'" + key + "' is '" + base::escape_for_terminal(found, 80) +
                                "', expected HOST:PORT, such as logs.corp.example:6514 or [2001:db8::1]:6514");
    return {address ? address->to_string() : *name, static_cast<std::uint16_t>(*port)};
}

constexpr std::size_t brokers_max = 16;

std::string read_brokers(const Reader& r, const YAML::Node& node) {
    if (!node.IsSequence() || node.size() == 0 || node.size() > brokers_max)
        r.fail(node.Mark(), "'brokers' must be a list of 1 to " + std::to_string(brokers_max) + " HOST:PORT");
    std::string out;
    for (const auto& entry : node) {
        auto read = read_host_and_port(r, entry, "brokers");
        audit::sinks::Settings broker;
        broker.host = std::move(read.host);
        broker.port = read.port;
        out += (out.empty() ? "" : ",") + broker.address();
    }
    return out;
}

/// What Kafka lets a topic be called.
std::string read_topic(const Reader& r, const YAML::Node& node, const std::string& key) {
    const std::string found = r.text(node, key);
    const bool known = std::all_of(found.begin(), found.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
               c == '-';
    });
    if (!known || found.empty() || found.size() > 249 || found == "." || found == "..")
        r.fail(node.Mark(), "'topic' is '" + base::escape_for_terminal(found, 80) +
                                "', expected 1 to 249 letters, digits, '.', '_' and '-'");
    return found;
}

std::string read_mechanism(const Reader& r, const YAML::Node& node, const std::string& key) {
    const std::string found = r.text(node, key);
    if (found != "SCRAM-SHA-256" && found != "SCRAM-SHA-512")
        r.fail(node.Mark(), "'mechanism' is '" + base::escape_for_terminal(found, 60) +
                                "', expected SCRAM-SHA-256 or SCRAM-SHA-512");
    return found;
}

/// Which keys a sink has depends on its kind, and that may come behind them.
void check_sink(const Reader& r, const YAML::Node& node, const audit::sinks::Settings& sink) {
    const auto need = [&](const char* key) {
        if (!node[key]) r.fail(node.Mark(), std::string("a sink names no '") + key + "'");
    };
    const auto both_or_neither = [&](const char* one, const char* other) {
        if (node[one].IsDefined() != node[other].IsDefined())
            r.fail(node.Mark(),
                   "the sink '" + sink.name + "' names no '" + (node[one] ? other : one) + "'; give both, or neither");
    };
    for (const char* key : {"name", "kind"}) need(key);
    const bool kafka = sink.kind == audit::sinks::Settings::Kind::kafka;
    for (const char* key : {"brokers", "topic", "username", "password_file", "mechanism"})
        if (!kafka && node[key])
            r.fail(node[key].Mark(), "the sink '" + sink.name + "' is of kind " + to_word(sink.kind) + ", and '" + key +
                                         "' is a key of kafka alone");
    for (const char* key : {"address", "server_name"})
        if (kafka && node[key])
            r.fail(node[key].Mark(), "the sink '" + sink.name + "' is of kind kafka, which has no '" + key +
                                         "': it has 'brokers', each with a certificate for its own name");
    need(kafka ? "brokers" : "address");
    if (kafka) need("topic");
    need("ca");
    both_or_neither("certificate", "private_key");
    both_or_neither("username", "password_file");
    if (node["mechanism"] && !node["username"])
        r.fail(node["mechanism"].Mark(), "the sink '" + sink.name + "' has a 'mechanism' and no 'username'");
}

audit::sinks::Settings read_sink(const Reader& r, const YAML::Node& node) {
    audit::sinks::Settings sink;
    const auto name = [&](const YAML::Node& n, const std::string& k) {
        sink.name = r.text(n, k);
        if (!audit::sinks::is_sink_name(sink.name))
            r.fail(n.Mark(), "'name' is '" + base::escape_for_terminal(sink.name, 60) +
                                 "', expected 1 to 40 lower-case letters, digits and hyphens, beginning with a letter");
    };
    const auto kind = [&](const YAML::Node& n, const std::string& k) {
        using Kind = audit::sinks::Settings::Kind;
        const std::string found = r.text(n, k);
        for (const auto known : {Kind::syslog, Kind::otlp, Kind::kafka})
            if (found == audit::sinks::to_word(known)) {
                sink.kind = known;
                return;
            }
        r.fail(n.Mark(), "'kind' is '" + base::escape_for_terminal(found, 60) + "', expected syslog, otlp or kafka");
    };
    const auto address = [&](const YAML::Node& n, const std::string& k) {
        auto read = read_host_and_port(r, n, k);
        sink.host = std::move(read.host);
        sink.port = read.port;
    };
    const auto server_name = [&](const YAML::Node& n, const std::string& k) {
        const std::string found = r.text(n, k);
        const auto host_name = base::canonical_host_name(found);
        if (!host_name && !base::IpAddress::parse(found))
            r.fail(n.Mark(), "'server_name' is '" + base::escape_for_terminal(found, 80) +
                                 "', expected the name or the IP address that the receiver's certificate is for");
        sink.server_name = host_name.value_or(found);
    };
    const auto filter = [&](const YAML::Node& n, const std::string& k) {
        sink.filter = r.text(n, k);
        if (auto parsed = audit::Filter::parse(sink.filter); !parsed) r.fail(n.Mark(), parsed.error().message);
    };
    const auto text = [&r](std::string& into) {
        return [&r, &into](const YAML::Node& n, const std::string& k) { into = r.text(n, k); };
    };
    r.mapping(node, "a sink",
              {{"name", name},
               {"kind", kind},
               {"address", address},
               {"ca", text(sink.ca)},
               {"certificate", text(sink.certificate)},
               {"private_key", text(sink.private_key)},
               {"server_name", server_name},
               {"filter", filter},
               {"brokers", [&](auto& n, auto&) { sink.brokers = read_brokers(r, n); }},
               {"topic", [&](auto& n, auto& k) { sink.topic = read_topic(r, n, k); }},
               {"username", text(sink.username)},
               {"password_file", text(sink.password_file)},
               {"mechanism", [&](auto& n, auto& k) { sink.mechanism = read_mechanism(r, n, k); }}});
    check_sink(r, node, sink);
    return sink;
}

void read_sinks(const Reader& r, const YAML::Node& node, Config& c) {
    if (!node.IsSequence() || node.size() == 0 || node.size() > audit::sinks::sinks_max)
        r.fail(node.Mark(), "'sinks' must be a list of 1 to " + std::to_string(audit::sinks::sinks_max) + " sinks");
    for (const auto& entry : node) {
        auto sink = read_sink(r, entry);
        for (const auto& other : c.sinks)
            if (other.name == sink.name) r.fail(entry.Mark(), "two sinks have the name '" + sink.name + "'");
        c.sinks.push_back(std::move(sink));
    }
}

void read_rest(const Reader& r, const YAML::Node& root, Config& c) {
    const auto journal = [&](const YAML::Node& n, const std::string&) {
        r.mapping(
            n, "'journal'",
            {{"segment_size", [&](auto& v, auto& k) { c.journal.segment_bytes = r.size(v, k, 64u << 10, 1u << 30); }}});
    };
    const auto limits = [&](const YAML::Node& n, const std::string&) {
        auto& l = c.limits;
        const auto count = [&r](auto& into) {
            return [&r, &into](const YAML::Node& v, const std::string& k) {
                into = static_cast<std::remove_reference_t<decltype(into)>>(r.number(v, k, 1, 1'000'000));
            };
        };
        r.mapping(n, "'limits'",
                  {{"connections", count(l.connections)},
                   {"connections_per_address", count(l.connections_per_address)},
                   {"handshakes_per_second", count(l.handshakes_per_second)},
                   {"handshakes_burst", count(l.handshakes_burst)},
                   {"streams_per_connection", count(l.streams_per_connection)},
                   {"tunnels_per_account", count(l.tunnels_per_account)},
                   {"tunnels_per_device", count(l.tunnels_per_device)},
                   {"sign_ins_per_minute", count(l.sign_ins_per_minute)},
                   {"sign_ins_burst", count(l.sign_ins_burst)},
                   {"devices_per_account", count(l.devices_per_account)},
                   {"app_lists_per_minute", count(l.app_lists_per_minute)},
                   {"app_lists_burst", count(l.app_lists_burst)}});
    };
    const auto hashing = [&](const YAML::Node& n, const std::string&) {
        r.mapping(n, "'hashing'",
                  {{"memory", [&](auto& v, auto& k) { c.hashing.memory_bytes = r.size(v, k, 7u << 20, 1u << 30); }},
                   {"operations", [&](auto& v, auto& k) { c.hashing.operations = r.number(v, k, 1, 20); }}});
    };
    const auto database = [&](const YAML::Node& n, const std::string& k) {
        c.database = r.text(n, k);
        if (c.database != "sqlite" && !c.database.starts_with("postgresql://") &&
            !c.database.starts_with("postgres://"))
            r.fail(n.Mark(), "'database' must be sqlite or a postgresql:// URL");
    };
    const auto sealing_keys = [&](const YAML::Node& n, const std::string& k) {
        if (!n.IsSequence() || n.size() == 0 || n.size() > auth::SealingKeys::keys_max)
            r.fail(n.Mark(), "'sealing_keys' must be a list of 1 to 8 files");
        for (const auto& entry : n) c.sealing_keys.push_back(r.text(entry, k));
    };
    const auto required = [&](bool& out) {
        return [&r, &out](const YAML::Node& n, const std::string& k) {
            const std::string found = r.text(n, k);
            if (found != "required" && found != "none") r.fail(n.Mark(), "'" + k + "' must be required or none");
            out = found == "required";
        };
    };
    r.mapping(root, "the top level",
              {{"listen", [&](auto& n, auto& k) { c.listen = r.listen(n, k); }},
               {"metrics", [&](auto& n, auto& k) { c.metrics = r.listen(n, k); }},
               {"data_dir", [&](auto& n, auto& k) { c.data_dir = r.text(n, k); }},
               {"database", database},
               {"tls", [&](auto& n, auto&) { read_tls(r, n, c); }},
               {"workers", [&](auto& n, auto& k) { c.workers = static_cast<unsigned>(r.number(n, k, 1, 256)); }},
               {"log", [&](auto& n, auto&) { read_log(r, n, c); }},
               {"timeouts", [&](auto& n, auto&) { read_timeouts(r, n, c); }},
               {"sessions", [&](auto& n, auto&) { read_sessions(r, n, c); }},
               {"dns", [&](auto& n, auto&) { read_dns(r, n, c); }},
               {"journal", journal},
               {"limits", limits},
               {"hashing", hashing},
               {"sealing_keys", sealing_keys},
               {"sinks", [&](auto& n, auto&) { read_sinks(r, n, c); }},
               {"device_approval", required(c.device_approval)},
               {"two_person_deletion", required(c.two_person_deletion)}});
}

}  // namespace

std::string ListenAddress::to_string() const {
    return address.is_v4() ? address.to_string() + ":" + std::to_string(port)
                           : "[" + address.to_string() + "]:" + std::to_string(port);
}

base::Result<Config> parse_config(const std::string& text, const std::string& name) {
    const Reader reader(name);
    Config config;
    config.file = name;
    try {
        const auto documents = YAML::LoadAll(text);
        if (documents.size() != 1 || !documents[0].IsDefined() || documents[0].IsNull())
            return Error{Errc::invalid_argument, name + ": expected one YAML document with at least the key 'listen'"};
        read_rest(reader, documents[0], config);
    } catch (const YAML::Exception& e) {
        std::string place = name;
        if (!e.mark.is_null()) place += ":" + std::to_string(e.mark.line + 1) + ":" + std::to_string(e.mark.column + 1);
        return Error{Errc::invalid_argument, place + ": not well-formed YAML: " + e.msg};
    } catch (const ConfigError& e) {
        return e.error;
    }
    if (config.listen.port == 0)
        return Error{Errc::invalid_argument,
                     name + ": the key 'listen' is missing; expected ADDRESS:PORT, such as 127.0.0.1:8443"};
    return config;
}

base::Result<Config> load_config(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    if (!in) return Error{Errc::not_found, path + ": cannot be read: " + std::generic_category().message(errno)};
    std::string text(1u << 20, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (in.gcount() == static_cast<std::streamsize>(text.size()))
        return Error{Errc::invalid_argument, path + ": is larger than 1 MiB; expected a configuration file"};
    if (in.bad()) return Error{Errc::unavailable, path + ": cannot be read: is it a file?"};
    text.resize(static_cast<std::size_t>(in.gcount()));
    return parse_config(text, path);
}

}  // namespace usher::gateway
