#include <algorithm>

#include "audit/days.hpp"
#include "audit/store.hpp"
#include "base/crc32c.hpp"
#include "base/text.hpp"

namespace usher::audit {

using base::Errc;
using base::Error;
using base::sql::Transaction;
using base::sql::Value;

namespace {

struct Position {
    std::int64_t opened_at = 0;
    std::string access_id;
};

/// What the token belongs to: another filter or order makes it void. It holds no secret and grants nothing, so a
/// checksum is enough.
std::uint32_t fingerprint(const std::string& where, const std::vector<Value>& parameters, bool oldest_first) {
    std::string text = where + (oldest_first ? "\n1" : "\n0");
    for (const auto& value : parameters) {
        text += '\n';
        if (const auto* s = std::get_if<std::string>(&value))
            text += *s;
        else if (const auto* i = std::get_if<std::int64_t>(&value))
            text += std::to_string(*i);
    }
    return base::crc32c({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

std::string to_token(const Position& position, std::uint32_t mark) {
    const std::string text = std::to_string(mark) + ":" + std::to_string(position.opened_at) + ":" + position.access_id;
    return base::base64url_encode({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

std::optional<Position> from_token(const std::string& token, std::uint32_t mark) {
    const auto bytes = base::base64url_decode(token);
    if (!bytes || bytes->size() > 128) return std::nullopt;
    const std::string text(bytes->begin(), bytes->end());
    const auto first = text.find(':');
    const auto second = first == std::string::npos ? first : text.find(':', first + 1);
    if (second == std::string::npos || text.substr(0, first) != std::to_string(mark)) return std::nullopt;
    std::string digits = text.substr(first + 1, second - first - 1);
    const bool negative = digits.starts_with('-');  // a clock may have been that wrong
    if (negative) digits.erase(0, 1);
    const auto opened = base::parse_unsigned(digits, INT64_MAX);
    if (!opened || !base::Uuid::parse(text.substr(second + 1))) return std::nullopt;
    const auto micros = static_cast<std::int64_t>(*opened);
    return Position{negative ? -micros : micros, text.substr(second + 1)};
}

}  // namespace

base::Result<Store::Page> Store::list_accesses(const Filter& filter, bool oldest_first, std::size_t page_size,
                                               const std::string& page_token) {
    std::vector<Value> parameters;
    std::string where = filter.to_sql(parameters);
    const std::uint32_t mark = fingerprint(where, parameters, oldest_first);
    if (!page_token.empty()) {
        const auto position = from_token(page_token, mark);
        if (!position) return Error{Errc::invalid_argument, "page_token: not one that this query has given"};
        parameters.emplace_back(position->opened_at);
        const std::string opened = "$" + std::to_string(parameters.size());
        parameters.emplace_back(position->access_id);
        const std::string id = "$" + std::to_string(parameters.size());
        const std::string beyond = oldest_first ? " > " : " < ";
        where = "(" + where + ") AND (opened_at" + beyond + opened + " OR (opened_at = " + opened + " AND access_id" +
                beyond + id + "))";
    }
    page_size = std::clamp<std::size_t>(page_size, 1, 1000);
    const std::size_t count = parameters.size();
    const std::string order = oldest_first ? "ASC" : "DESC";
    const std::string sql = "SELECT opened_at, access_id, payload FROM accesses WHERE (" + where +
                            ") AND opened_at >= $" + std::to_string(count + 1) + " AND opened_at < $" +
                            std::to_string(count + 2) + " ORDER BY opened_at " + order + ", access_id " + order +
                            " LIMIT $" + std::to_string(count + 3);
    std::vector<Stretch> all;
    auto result = database_.read([&](Transaction& tx) -> base::Result<void> {
        all = stretches(tx, database_.dialect());
        return {};
    });
    if (!result) return result.error();
    if (!oldest_first) std::reverse(all.begin(), all.end());
    Page page;
    Position last;
    for (const auto& stretch : all) {
        // A page ends within one stretch and goes on in the next. Each has a transaction of its own, so that locks do
        // not add up; whatever happens between them, the order of the rows is that of their keys.
        auto values = parameters;
        values.emplace_back(stretch.from);
        values.emplace_back(stretch.until);
        values.emplace_back(static_cast<std::int64_t>(page_size + 1 - page.accesses.size()));
        const std::size_t before = page.accesses.size();
        result = database_.read([&](Transaction& tx) -> base::Result<void> {
            page.accesses.resize(before);
            page.next_page_token.clear();
            plan_by_values(tx, database_.dialect());
            for (const auto& row : tx.execute(sql, values)) {
                if (page.accesses.size() == page_size) {
                    page.next_page_token = to_token(last, mark);
                    break;
                }
                if (!page.accesses.emplace_back().ParseFromString(row.blob(2)))
                    return Error{Errc::data_loss, "the access " + row.text(1) + " in the store cannot be read"};
                last = {row.integer(0), row.text(1)};
            }
            return {};
        });
        if (!result) return result.error();
        if (!page.next_page_token.empty()) break;
    }
    return page;
}

}  // namespace usher::audit
