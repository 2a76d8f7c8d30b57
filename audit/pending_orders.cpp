#include "audit/pending_orders.hpp"

#include "base/text.hpp"

namespace usher::audit {
namespace {

using base::Errc;
using base::Error;
using base::Result;
using base::sql::Row;
using base::sql::Transaction;

PendingOrder read_order(const Row& row) {
    // Of the years 1970 to 9999: reckoning with any other could overflow.
    constexpr std::int64_t last = 253'402'300'799'999'999;
    for (const std::size_t column : {7, 8})
        if (row.integer(column) < 0 || row.integer(column) > last)
            throw base::sql::SqlError(Error{Errc::data_loss, "table pending_orders, row '" +
                                                                 base::escape_for_terminal(row.text(0), 100) +
                                                                 "': was asked for, or expires, at no time"});
    return {row.text(0),
            row.text(1),
            row.text(2),
            row.text(3),
            row.text(4),
            row.text(5),
            row.text(6),
            base::from_micros(row.integer(7)),
            base::from_micros(row.integer(8))};
}

}  // namespace

Result<std::vector<PendingOrder>> PendingOrders::list(base::UtcTime now) {
    std::vector<PendingOrder> out;
    auto read = database_.read([&](Transaction& tx) -> Result<void> {
        out.clear();
        for (const auto& row :
             tx.execute("SELECT id, action, resource, before_json, after_json, asked_by, account_id, "
                        "asked_at, expires_at FROM pending_orders WHERE expires_at > $1 ORDER BY asked_at, id",
                        {base::to_micros(now)}))
            out.push_back(read_order(row));
        return {};
    });
    if (!read) return std::move(read).error();
    return out;
}

Result<void> PendingOrders::ask(const PendingOrder& order) {
    return database_.transaction([&](Transaction& tx) -> Result<void> {
        tx.execute("DELETE FROM pending_orders WHERE expires_at <= $1 OR id = $2",
                   {base::to_micros(order.asked_at), order.id});
        if (tx.execute("SELECT COUNT(*) FROM pending_orders")[0].integer(0) >= std::int64_t{orders_max})
            return {Errc::resource_exhausted, "there are " + std::to_string(orders_max) +
                                                  " orders that wait for a second administrator; withdraw some first"};
        tx.execute(
            "INSERT INTO pending_orders (id, action, resource, before_json, after_json, asked_by, account_id, "
            "asked_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            {order.id, order.action, order.resource, order.before_json, order.after_json, order.asked_by,
             order.account_id, base::to_micros(order.asked_at), base::to_micros(order.expires_at)});
        return {};
    });
}

Result<bool> PendingOrders::take(const PendingOrder& order) {
    bool taken = false;
    auto done = database_.transaction([&](Transaction& tx) -> Result<void> {
        tx.execute("DELETE FROM pending_orders WHERE id = $1 AND account_id = $2 AND asked_at = $3",
                   {order.id, order.account_id, base::to_micros(order.asked_at)});
        taken = tx.changed_rows() == 1;
        return {};
    });
    if (!done) return std::move(done).error();
    return taken;
}

}  // namespace usher::audit
