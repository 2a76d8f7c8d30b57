#include <algorithm>
#include <future>
#include <utility>
#include <vector>

#include "audit/days.hpp"
#include "audit/store.hpp"

namespace usher::audit {

using base::Errc;
using base::Error;
using base::Result;
using base::sql::Rows;
using base::sql::Transaction;

namespace {
/// Rows that are read at a time: whoever stops looking has not read many in vain.
constexpr std::size_t rows_at_once = 1000;

/// Reads the accesses behind a place, some at a time. One thread at a time.
class Reader {
public:
    Reader(base::sql::Database& database, std::vector<Stretch> all, Store::ScanPlace behind)
        : database_(database), all_(std::move(all)), place_(std::move(behind)) {}

    /// The next ones, at most `most`; none: there are no more.
    Result<Rows> next(std::size_t most) {
        while (stretch_ < all_.size()) {
            auto rows = read(all_[stretch_], most);
            if (!rows) return rows;
            if (rows->size() < most) ++stretch_;  // that was all of this one
            if (rows->empty()) continue;
            const auto& last = rows->back();
            place_ = {last.integer(0), last.text(1)};
            return rows;
        }
        return Rows{};
    }

private:
    Result<Rows> read(const Stretch& stretch, std::size_t most) {
        static const std::string sql =
            "SELECT opened_at, access_id, payload FROM accesses WHERE opened_at >= $1 AND opened_at < $2 AND "
            "(opened_at > $3 OR access_id > $4) ORDER BY opened_at, access_id LIMIT $5";
        Rows rows;
        if (stretch.until <= place_.opened_at) return rows;
        // A body may run again, so what it reads is looked at when it is over.
        auto done = database_.read([&](Transaction& tx) -> Result<void> {
            plan_by_values(tx, database_.dialect());
            rows = tx.execute(sql, {std::max(stretch.from, place_.opened_at), stretch.until, place_.opened_at,
                                    place_.access_id, static_cast<std::int64_t>(most)});
            return {};
        });
        if (!done) return done.error();
        return rows;
    }

    base::sql::Database& database_;
    const std::vector<Stretch> all_;
    std::size_t stretch_ = 0;
    Store::ScanPlace place_;  ///< of the last one that was read
};
}  // namespace

Result<Store::Scanned> Store::scan_accesses(const ScanPlace& behind, std::size_t limit,
                                            const std::function<bool(const usher::v1::AccessRecord&)>& visit) {
    std::vector<Stretch> all;
    auto read = database_.read([&](Transaction& tx) -> Result<void> {
        all = stretches(tx, database_.dialect());
        return {};
    });
    if (!read) return read.error();
    Reader reader(database_, std::move(all), behind);
    Scanned scanned{behind, false};
    usher::v1::AccessRecord access;  // one for all: what its fields have allocated is used again
    std::size_t wanted = limit;
    if (wanted == 0) return scanned;
    const auto next = [&reader](std::size_t most) { return reader.next(std::min(most, rows_at_once)); };
    auto rows = next(wanted);
    while (rows && !rows->empty()) {
        wanted -= rows->size();
        // The database reads on while these are looked at. Without a thread to be had it does so afterwards. Waited for
        // where this scan ends before.
        std::future<Result<Rows>> following;
        if (wanted > 0) following = std::async(std::launch::async | std::launch::deferred, next, wanted);
        for (const auto& row : *rows) {
            if (!access.ParseFromString(row.blob(2)))
                return Error{Errc::data_loss, "the access " + row.text(1) + " in the store cannot be read"};
            scanned.place = {row.integer(0), row.text(1)};
            if (!visit(access)) return scanned;
        }
        if (wanted == 0) return scanned;
        rows = following.get();
    }
    if (!rows) return rows.error();
    scanned.end = true;
    return scanned;
}

}  // namespace usher::audit
