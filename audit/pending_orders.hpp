#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "base/sql/database.hpp"

namespace usher::audit {

/// An order to delete something of the record, which waits for a second person (decision 41).
struct PendingOrder {
    std::string id;                       ///< says what is ordered: the same for the same order
    std::string action;                   ///< as on record: "hold.delete"
    std::string resource;                 ///< "holds/case-17"
    std::string before_json, after_json;  ///< what is there, and what is to be there
    std::string asked_by;                 ///< the username, or "local"
    std::string account_id;               ///< of who asked; empty for "local"
    base::UtcTime asked_at{};
    base::UtcTime expires_at{};
    friend bool operator==(const PendingOrder&, const PendingOrder&) = default;
};

/// The orders that wait, in the audit store's database, so that the second person may be at another gateway. One order
/// waits once. Blocking; thread-safe as the Database is. A stored row that cannot be is data_loss.
class PendingOrders {
public:
    static constexpr std::size_t orders_max = 100;

    explicit PendingOrders(base::sql::Database& database) : database_(database) {}

    /// Those that have not expired at `now`, the oldest first.
    base::Result<std::vector<PendingOrder>> list(base::UtcTime now);
    /// Keeps the order, in the place of one with its id, and forgets those that have expired at its asked_at.
    /// resource_exhausted with orders_max of them.
    base::Result<void> ask(const PendingOrder& order);
    /// Takes away just this order. false: it is not there any more; somebody else was faster.
    base::Result<bool> take(const PendingOrder& order);

private:
    base::sql::Database& database_;
};

}  // namespace usher::audit
