#include <algorithm>

#include "audit/days.hpp"
#include "audit/store.hpp"

namespace usher::audit {

using base::Errc;
using base::Error;
using base::sql::Transaction;

namespace {
/// Rows that are read at a time: whoever stops looking has not read many in vain.
constexpr std::size_t rows_at_once = 4000;
}  // namespace

base::Result<Store::Scanned> Store::scan_accesses(const ScanPlace& behind, std::size_t limit,
                                                  const std::function<bool(const usher::v1::AccessRecord&)>& visit) {
    static const std::string sql =
        "SELECT opened_at, access_id, payload FROM accesses WHERE opened_at >= $1 AND opened_at < $2 AND "
        "(opened_at > $3 OR access_id > $4) ORDER BY opened_at, access_id LIMIT $5";
    std::vector<Stretch> all;
    auto read = database_.read([&](Transaction& tx) -> base::Result<void> {
        all = stretches(tx, database_.dialect());
        return {};
    });
    if (!read) return read.error();
    Scanned scanned{behind, false};
    usher::v1::AccessRecord access;  // one for all: what its fields have allocated is used again
    std::size_t seen = 0;
    for (std::size_t i = 0; i < all.size();) {
        const auto& stretch = all[i];
        const std::size_t most = std::min(limit - seen, rows_at_once);
        base::sql::Rows rows;
        if (stretch.until > scanned.place.opened_at) {
            // A body may run again, so what it reads is looked at when it is over.
            read = database_.read([&](Transaction& tx) -> base::Result<void> {
                plan_by_values(tx, database_.dialect());
                rows = tx.execute(
                    sql, {std::max(stretch.from, scanned.place.opened_at), stretch.until, scanned.place.opened_at,
                          scanned.place.access_id, static_cast<std::int64_t>(most)});
                return {};
            });
            if (!read) return read.error();
        }
        for (const auto& row : rows) {
            if (!access.ParseFromString(row.blob(2)))
                return Error{Errc::data_loss, "the access " + row.text(1) + " in the store cannot be read"};
            scanned.place = {row.integer(0), row.text(1)};
            ++seen;
            if (!visit(access)) return scanned;
        }
        if (seen == limit) return scanned;
        if (rows.size() < most) ++i;  // that was all of this stretch
    }
    scanned.end = true;
    return scanned;
}

}  // namespace usher::audit
