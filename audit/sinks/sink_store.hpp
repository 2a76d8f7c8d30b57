#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "base/sql/database.hpp"

namespace usher::audit::sinks {

/// How far each sink is, and what its receiver will not take: audit_sinks (sink, gateway_id, sequence) and
/// audit_sink_parked, in the store's own database. Holds no record: a parked one stays where it is, and is named here.
/// Blocking; thread-safe as the Database is.
class SinkStore {
public:
    SinkStore(base::sql::Database& database, const base::Clock& clock) : database_(database), clock_(clock) {}

    /// The last sequence of `gateway` that is behind the sink; 0 when there is none.
    base::Result<std::uint64_t> cursor(const std::string& sink, const base::Uuid& gateway);
    /// Moves it forward; never back.
    base::Result<void> advance(const std::string& sink, const base::Uuid& gateway, std::uint64_t sequence);
    /// Puts a record aside and moves the cursor over it, in one transaction.
    base::Result<void> park(const std::string& sink, const base::Uuid& gateway, std::uint64_t sequence,
                            base::UtcTime recorded_at, const base::Error& why);

    struct Parked {
        std::string sink;
        base::Uuid gateway;
        std::uint64_t sequence = 0;
        base::UtcTime recorded_at{}, parked_at{};
        std::string error;
        bool retry = false;  ///< somebody wants it tried again
    };
    /// By (sink, gateway, sequence), behind the place of `after`; of one sink, or of all (empty).
    base::Result<std::vector<Parked>> list_parked(const std::string& sink, const Parked& after, std::size_t limit);
    /// Of one gateway; counts no further than parked_counted_max.
    base::Result<std::uint64_t> count_parked(const std::string& sink, const base::Uuid& gateway);
    static constexpr std::int64_t parked_counted_max = 100'000;

    /// Asks for one parked record to be tried again, or for all of the sink's (no `gateway`). Returns how many that
    /// are.
    base::Result<std::uint64_t> ask_retry(const std::string& sink, const std::optional<base::Uuid>& gateway,
                                          std::uint64_t sequence);
    /// Those of this gateway's that somebody asked for, in order.
    base::Result<std::vector<std::uint64_t>> to_retry(const std::string& sink, const base::Uuid& gateway,
                                                      std::size_t limit);
    /// It is delivered, or no longer kept.
    base::Result<void> forget(const std::string& sink, const base::Uuid& gateway, std::uint64_t sequence);
    /// It stays parked, with the reason of this try.
    base::Result<void> refused_again(const std::string& sink, const base::Uuid& gateway, std::uint64_t sequence,
                                     const base::Error& why);

private:
    base::sql::Database& database_;
    const base::Clock& clock_;
};

}  // namespace usher::audit::sinks
