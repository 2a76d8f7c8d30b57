#include "gateway/control/two_person.hpp"

#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <optional>

#include "auth/policy.hpp"
#include "base/text.hpp"
#include "gateway/control/admin_recorder.hpp"

namespace usher::gateway::control {
namespace {

using audit::PendingOrder;
using base::Errc;
using base::Result;
using Outcome = usher::v1::AdminRecord::Outcome;

constexpr std::size_t id_bytes = 8;
constexpr std::size_t resource_bytes_max = 400;

/// Its parts are told apart by their lengths.
std::string id_of(const TwoPerson::Order& order) {
    std::string text;
    for (const auto* part : {&order.action, &order.resource, &order.what})
        text.append(std::to_string(part->size())).append(":").append(*part);
    std::array<std::uint8_t, SHA256_DIGEST_LENGTH> hash{};
    SHA256(reinterpret_cast<const std::uint8_t*>(text.data()), text.size(), hash.data());
    return base::to_hex(std::span(hash).first(id_bytes));
}

/// What is said of an order beside its action and resource.
std::string json_of(const PendingOrder& order) {
    return "{\"order\":" + base::json_quote(order.id) + ",\"asked_by\":" + base::json_quote(order.asked_by) +
           ",\"asked_at\":" + base::json_quote(base::format_rfc3339(order.asked_at)) +
           ",\"expires_at\":" + base::json_quote(base::format_rfc3339(order.expires_at)) + "}";
}

auth::Change change_of(const PendingOrder& order) { return {order.action, order.resource, {}, json_of(order)}; }

}  // namespace

bool TwoPerson::counts(const std::string& account_id, base::UtcTime at) const {
    if (account_id.empty()) return true;  // the machine's own administrator
    const auto snapshot = directory_.snapshot();
    const auto* account = snapshot->account_by_id(account_id);
    return account != nullptr && auth::standing(*account, clock_.utc()) == auth::Standing::good &&
           account->role == auth::Role::administrator && account->updated_at + lifetime <= at;
}

Result<void> TwoPerson::ask(const Caller& caller, const Order& order, const std::string& id) {
    const auto now = clock_.utc();
    const PendingOrder pending{id,
                               order.action,
                               base::escape_for_terminal(order.resource, resource_bytes_max),
                               caller.actor,
                               caller.account_id,
                               now,
                               now + lifetime};
    if (auto ok = AdminRecorder::note(journal_, caller, change_of(pending), Outcome::ASKED, {}); !ok) return ok;
    if (auto asked = orders_.ask(pending); !asked) {
        if (auto ok = AdminRecorder::note(journal_, caller, change_of(pending), Outcome::FAILED,
                                          "the order could not be kept");
            !ok)
            return ok;
        return asked;
    }
    return {Errc::failed_precondition,
            "this deletes something of the record, or lets it be deleted, and takes two "
            "administrators: it waits as order " +
                id + "; another administrator gives the same order before " + base::format_rfc3339(pending.expires_at)};
}

Result<void> TwoPerson::approve(const Caller& caller, const Order& order) {
    const auto now = clock_.utc();
    if (!counts(caller.account_id, now))
        return {Errc::failed_precondition,
                "this takes two administrators, and an account counts when nobody has changed it for a day"};
    const auto id = id_of(order);
    auto pending = orders_.list(now);
    if (!pending) return std::move(pending).error();
    const auto same = std::find_if(pending->begin(), pending->end(), [&](const auto& each) { return each.id == id; });
    // Who asked may have been cut off since, or changed: then nobody has asked.
    if (same == pending->end() || !counts(same->account_id, now)) return ask(caller, order, id);
    if (same->account_id == caller.account_id)
        return {Errc::failed_precondition, "you have asked for this yourself, as order " + id +
                                               "; another administrator gives the same order before " +
                                               base::format_rfc3339(same->expires_at)};
    auto taken = orders_.take(*same);
    if (!taken) return std::move(taken).error();
    if (!*taken) return {Errc::failed_precondition, "order " + id + " was carried out or withdrawn by somebody else"};
    return AdminRecorder::note(journal_, caller, change_of(*same), Outcome::APPROVED, {});
}

Result<std::vector<PendingOrder>> TwoPerson::list() { return orders_.list(clock_.utc()); }

Result<void> TwoPerson::withdraw(const Caller& caller, const std::string& id) {
    auto pending = orders_.list(clock_.utc());
    if (!pending) return std::move(pending).error();
    const auto found = std::find_if(pending->begin(), pending->end(), [&](const auto& each) { return each.id == id; });
    const base::Error missing{Errc::not_found, "no order '" + base::escape_for_terminal(id, 40) + "' waits"};
    if (found == pending->end()) return missing;
    const auth::Change change{"pending_order.delete", "pending_orders/" + found->id, json_of(*found), {}};
    AdminRecorder recorder(journal_, caller);
    if (auto ok = recorder.record(change); !ok) return ok;
    auto taken = orders_.take(*found);
    if (!taken) return recorder.failed(std::move(taken).error());
    if (!*taken) return recorder.failed(missing);
    return {};
}

}  // namespace usher::gateway::control
