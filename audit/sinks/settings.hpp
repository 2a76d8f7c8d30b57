#pragma once
#include <cstdint>
#include <string>

namespace usher::audit::sinks {

/// One sink, as usherd's configuration describes it (docs/sinks.md).
struct Settings {
    enum class Kind { syslog, otlp, kafka };

    std::string name;  ///< the identity of its cursor: a sink that is renamed begins anew
    Kind kind = Kind::syslog;
    std::string host;  ///< a name or an IP address
    std::uint16_t port = 0;
    std::string ca;  ///< PEM file of the authorities that the receiver's certificate may come from
    std::string certificate, private_key;  ///< PEM files: what the gateway shows itself with; both or neither
    std::string server_name;               ///< what the receiver's certificate must be for; empty: `host`
    std::string filter;                    ///< docs/filters.md; empty: everything

    // Of Kafka alone, which has no host, port and server_name: each broker's certificate must be for its own name.
    std::string brokers;  ///< HOST:PORT, separated by commas
    std::string topic;
    std::string username, password_file;      ///< SASL/SCRAM; both or neither
    std::string mechanism = "SCRAM-SHA-512";  ///< or SCRAM-SHA-256

    std::string address() const {
        if (!brokers.empty()) return brokers;
        return (host.find(':') == std::string::npos ? host : "[" + host + "]") + ":" + std::to_string(port);
    }
};

constexpr std::size_t sinks_max = 8;
constexpr std::size_t name_bytes_max = 40;

/// Lower-case letters, digits and hyphens, beginning with a letter: it is a label of metrics and a word on a command
/// line.
bool is_sink_name(const std::string& name) noexcept;

inline const char* to_word(Settings::Kind kind) noexcept {
    switch (kind) {
        case Settings::Kind::syslog:
            return "syslog";
        case Settings::Kind::otlp:
            return "otlp";
        case Settings::Kind::kafka:
            return "kafka";
    }
    return "unknown";
}

}  // namespace usher::audit::sinks
