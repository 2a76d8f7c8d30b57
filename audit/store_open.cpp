// What stands open at other gateways.

#include <chrono>
#include <set>
#include <string>

#include "audit/days.hpp"
#include "audit/store.hpp"

namespace usher::audit {

using base::Errc;
using base::Error;
using base::Result;
using base::sql::Dialect;
using base::sql::Transaction;

Result<Store::OpenElsewhere> Store::count_open_elsewhere(const OpenQuestion& question) {
    const std::int64_t since = base::to_micros(question.opened_since);
    // Somebody waits for it, and goes on without it.
    const auto be_quick = [&](Transaction& tx) -> Result<void> {
        const auto left =
            std::chrono::floor<std::chrono::milliseconds>(question.by - std::chrono::steady_clock::now()).count();
        if (left <= 0) return Error{Errc::deadline_exceeded, "what is open was not counted in time"};
        if (database_.dialect() == Dialect::postgresql)
            tx.execute("SET LOCAL statement_timeout = " + std::to_string(left));
        return {};
    };
    std::vector<Stretch> all;
    auto result = database_.read([&](Transaction& tx) -> Result<void> {
        if (auto quick = be_quick(tx); !quick) return quick;
        all = stretches(tx, database_.dialect());
        return {};
    });
    if (!result) return result.error();
    OpenElsewhere out;
    std::set<std::string> gateways;
    for (const auto& stretch : all) {
        if (stretch.until <= since) continue;
        OpenElsewhere here;
        std::vector<std::string> seen;
        result = database_.read([&](Transaction& tx) -> Result<void> {
            here = {};
            seen.clear();
            if (auto quick = be_quick(tx); !quick) return quick;
            plan_by_values(tx, database_.dialect());
            // On PostgreSQL what is open has an index of its own, for which the words must be these.
            for (const auto& row : tx.execute(
                     "SELECT gateway_id, COUNT(CASE WHEN duration_us >= $6 - opened_at THEN 1 END), COUNT(*) FROM "
                     "accesses WHERE event IN ('OPENED', 'PROGRESS') AND account_id = $1 AND gateway_id <> $2 AND "
                     "opened_at >= $3 AND opened_at >= $4 AND opened_at < $5 GROUP BY gateway_id",
                     {question.account_id, question.except.to_string(), since, stretch.from, stretch.until,
                      base::to_micros(question.heard_since)})) {
                const auto heard = static_cast<std::uint64_t>(row.integer(1));
                here.heard += heard;
                here.unheard += static_cast<std::uint64_t>(row.integer(2)) - heard;
                if (heard > 0) seen.push_back(row.text(0));
            }
            return {};
        });
        if (!result) return result.error();
        out.heard += here.heard;
        out.unheard += here.unheard;
        gateways.insert(seen.begin(), seen.end());
    }
    out.gateways = gateways.size();
    return out;
}

}  // namespace usher::audit
