#pragma once
#include <cstddef>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <variant>

#include "base/clock.hpp"
#include "gateway/config.hpp"
#include "gateway/limits/rate_table.hpp"
#include "gateway/limits/source.hpp"

namespace usher::gateway::limits {

class ConnectionLimits;

/// One connection that is counted; it is not any more when this is gone.
class ConnectionSlot {
public:
    ConnectionSlot(ConnectionSlot&& other) noexcept
        : limits_(std::exchange(other.limits_, nullptr)), source_(other.source_) {}
    ConnectionSlot& operator=(ConnectionSlot&&) = delete;
    ~ConnectionSlot();

private:
    friend class ConnectionLimits;
    ConnectionSlot(ConnectionLimits& limits, const Source& source) noexcept : limits_(&limits), source_(source) {}
    ConnectionLimits* limits_;
    Source source_;
};

/// Counts connections over all workers, in all and by source, and their handshakes a second by source. Thread-safe; one
/// lock, taken when a connection is accepted and when it is over. Must outlive its slots.
class ConnectionLimits {
public:
    explicit ConnectionLimits(const Config::Limits& limits)
        : limits_(limits), handshakes_(limits.handshakes_burst, limits.handshakes_per_second) {}

    /// A slot, or the configuration's key of the limit that says no.
    std::variant<ConnectionSlot, const char*> enter(const base::IpAddress& address, base::MonoTime now);

    /// Connections that are counted now.
    std::size_t open() const;

private:
    friend class ConnectionSlot;
    void leave(const Source& source) noexcept;

    const Config::Limits limits_;
    mutable std::mutex mutex_;
    std::size_t total_ = 0;
    std::unordered_map<base::IpAddress, std::size_t, KeyedHash> by_network_;  ///< at most two an open connection
    RateTable handshakes_;
};

}  // namespace usher::gateway::limits
