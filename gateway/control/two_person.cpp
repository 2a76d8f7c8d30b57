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

constexpr std::size_t id_bytes = 16;
constexpr std::size_t resource_bytes_max = 400;

/// Its parts are told apart by their lengths.
std::string id_of(const TwoPerson::Order& order) {
    std::string text;
    for (const auto* part : {&order.action, &order.resource, &order.before_json, &order.after_json})
        text.append(std::to_string(part->size())).append(":").append(*part);
    std::array<std::uint8_t, SHA256_DIGEST_LENGTH> hash{};
    SHA256(reinterpret_cast<const std::uint8_t*>(text.data()), text.size(), hash.data());
    return base::to_hex(std::span(hash).first(id_bytes));
}

auth::Change change_of(const PendingOrder& order) {
    return {order.action, order.resource, order.before_json, order.after_json};
}

/// To the second, as far as a person needs it: "2026-11-30T14:11:00Z".
std::string until(const PendingOrder& order) { return base::format_rfc3339(order.expires_at).substr(0, 19) + "Z"; }

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
    PendingOrder pending;
    pending.id = id;
    pending.action = order.action;
    pending.resource = base::escape_for_terminal(order.resource, resource_bytes_max);
    pending.before_json = order.before_json;
    pending.after_json = order.after_json;
    pending.asked_by = caller.actor;
    pending.account_id = caller.account_id;
    pending.asked_at = now;
    pending.expires_at = now + lifetime;
    if (auto ok = AdminRecorder::note(journal_, caller, change_of(pending), Outcome::ASKED, "order " + id); !ok)
        return ok;
    if (auto asked = orders_.ask(pending); !asked) {
        if (auto ok = AdminRecorder::note(journal_, caller, change_of(pending), Outcome::FAILED,
                                          "the order could not be kept");
            !ok)
            return ok;
        return asked;
    }
    return {Errc::failed_precondition,
            "asked for: it deletes something of the record, or lets it be deleted sooner, and takes two "
            "administrators. It waits as order " +
                id + " ('usherctl retention pending'); another administrator gives the same order before " +
                until(pending)};
}

Result<void> TwoPerson::approve(const Caller& caller, const Order& order) {
    // Another gateway may have changed an account a moment ago.
    if (auto ok = directory_.refresh(); !ok) return std::move(ok).error();
    const auto now = clock_.utc();
    if (!counts(caller.account_id, now))
        return {Errc::failed_precondition,
                "refused: this takes two administrators, and your account does not count: it must have been unchanged "
                "for a day (its password, role and fields; 'usherctl account show' says since when)"};
    const auto id = id_of(order);
    auto pending = orders_.list(now);
    if (!pending) return std::move(pending).error();
    const auto same = std::find_if(pending->begin(), pending->end(), [&](const auto& each) {
        return each.id == id && each.action == order.action && each.before_json == order.before_json &&
               each.after_json == order.after_json;
    });
    // Who asked may have been cut off since, or changed: then nobody has asked.
    if (same == pending->end() || !counts(same->account_id, now)) return ask(caller, order, id);
    if (same->account_id == caller.account_id)
        return {Errc::failed_precondition, "you have asked for this yourself, as order " + id +
                                               "; another administrator gives the same order before " + until(*same)};
    auto taken = orders_.take(*same);
    if (!taken) return std::move(taken).error();
    if (!*taken) return {Errc::failed_precondition, "order " + id + " was carried out or withdrawn by somebody else"};
    return AdminRecorder::note(journal_, caller, change_of(*same), Outcome::APPROVED,
                               "order " + id + ", asked for by " + same->asked_by);
}

Result<std::vector<PendingOrder>> TwoPerson::list() { return orders_.list(clock_.utc()); }

Result<void> TwoPerson::withdraw(const Caller& caller, const std::string& id) {
    auto pending = orders_.list(clock_.utc());
    if (!pending) return std::move(pending).error();
    const auto found = std::find_if(pending->begin(), pending->end(), [&](const auto& each) { return each.id == id; });
    const base::Error missing{Errc::not_found, "no order '" + base::escape_for_terminal(id, 40) + "' waits"};
    if (found == pending->end()) return missing;
    const auth::Change change{"pending_order.delete",
                              "pending_orders/" + found->id,
                              "{\"action\":" + base::json_quote(found->action) +
                                  ",\"resource\":" + base::json_quote(found->resource) +
                                  ",\"asked_by\":" + base::json_quote(found->asked_by) + "}",
                              {}};
    AdminRecorder recorder(journal_, caller);
    if (auto ok = recorder.record(change); !ok) return ok;
    auto taken = orders_.take(*found);
    if (!taken) return recorder.failed(std::move(taken).error());
    if (!*taken) return recorder.failed(missing);
    return {};
}

}  // namespace usher::gateway::control
