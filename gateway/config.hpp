#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "audit/sinks/settings.hpp"
#include "auth/password.hpp"
#include "auth/sessions.hpp"
#include "base/clock.hpp"
#include "base/log.hpp"
#include "base/net.hpp"
#include "base/result.hpp"

namespace usher::gateway {

struct ListenAddress {
    base::IpAddress address;
    std::uint16_t port = 0;
    std::string to_string() const;
};

/// usherd's configuration, checked. docs/configuration.md describes every key.
struct Config {
    std::string file;  ///< where it was read from

    ListenAddress listen;
    std::optional<ListenAddress> metrics;
    std::string data_dir = "./data";
    std::string database = "sqlite";  ///< "sqlite" or a postgresql:// URL

    struct Tls {
        std::string certificate, private_key;  ///< both or neither
    } tls;

    unsigned workers = 0;  ///< 0: one a core

    base::LogOptions log;

    struct Timeouts {
        base::Microseconds handshake{10'000'000};        ///< of TLS, whole
        base::Microseconds header{10'000'000};           ///< of one request head (and a sign-in's body), whole
        base::Microseconds connect{10'000'000};          ///< to the app, all addresses together
        base::Microseconds idle{std::chrono::hours{1}};  ///< of a tunnel without a byte either way
        base::Microseconds keep_alive{60'000'000};       ///< of a connection between requests
        base::Microseconds half_open{60'000'000};        ///< until a peer that vanished without a word is given up
        base::Microseconds drain{10'000'000};            ///< what live tunnels are given at a stop
        base::Microseconds max_duration{0};              ///< of a tunnel; 0: none
        base::Microseconds tail{30'000'000};             ///< until an audit tail whose reader takes nothing is cut off
    } timeouts;

    auth::SessionLimits sessions;

    struct Dns {
        std::vector<std::string> servers;  ///< "address:port"; empty: the system's
        base::Microseconds timeout{5'000'000};
    } dns;

    struct Journal {
        std::uint64_t segment_bytes = 16u << 20;
    } journal;

    struct Limits {
        std::size_t connections = 20'000;
        std::size_t connections_per_address = 4'096;   ///< IPv4 address, IPv6 /64; 16 times as many a /48
        unsigned handshakes_per_second = 200;          ///< connections a second, by the same sources
        unsigned handshakes_burst = 4'096;             ///< so many at once
        std::uint32_t streams_per_connection = 1'000;  ///< of HTTP/2
        std::size_t tunnels_per_account = 2'048;       ///< open at once, on all connections together
        std::size_t tunnels_per_device = 1'024;
        unsigned sign_ins_per_minute = 30;  ///< that fail, by the same sources
        unsigned sign_ins_burst = 30;
        std::size_t devices_per_account = 20;  ///< enrolled
        unsigned app_lists_per_minute = 30;    ///< of one session; an account has eight times as many
        unsigned app_lists_burst = 20;         ///< so many at once
    } limits;

    auth::HashCost hashing;

    bool device_approval = false;      ///< a new device waits for an administrator
    bool two_person_deletion = false;  ///< what deletes audit data takes two administrators

    std::vector<std::string> sealing_keys;  ///< files; the first one seals; empty: one is made in data_dir/keys

    std::vector<audit::sinks::Settings> sinks;  ///< where records are forwarded to; each has a name of its own
};

/// Reads and checks the file. Relative paths in it are relative to the working directory, as for any program. The error
/// begins with "FILE:LINE:COLUMN: " where a place is known and names the key, what was found and what was expected.
base::Result<Config> load_config(const std::string& path);
/// As load_config(), of a text; `name` stands for the file in errors. Pure.
base::Result<Config> parse_config(const std::string& text, const std::string& name);

}  // namespace usher::gateway
