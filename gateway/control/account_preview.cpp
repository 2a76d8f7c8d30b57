#include "gateway/control/account_preview.hpp"

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "base/log.hpp"
#include "gateway/control/awaited.hpp"
#include "gateway/live_access.hpp"

namespace usher::gateway::control {
namespace {

using base::Errc;
using base::Error;
using base::Result;
namespace v1 = usher::v1;

/// Records come late, and clocks differ.
constexpr base::Microseconds heard_within = heartbeat_after + std::chrono::minutes{5};
/// An access stands on a session; one whose session has just ended, or whose gateway's clock is behind, is found too.
constexpr base::Microseconds opened_before = std::chrono::hours{24};
constexpr std::size_t sessions_counted_max = 10'000;

/// The cause is the operator's, as in to_status().
std::string said_of(const Error& error) {
    base::log_warning("what is open at other gateways is not known", {{"error", error.message}});
    switch (error.code) {
        case Errc::deadline_exceeded:
            return "the database has not answered in time";
        case Errc::resource_exhausted:
            return "too many calls wait for the database";
        default:
            return "the database does not say; the gateway's log has why";
    }
}

bool names(const std::vector<auth::Rule>& rules, const std::string& username) {
    return std::any_of(rules.begin(), rules.end(), [&](const auth::Rule& rule) {
        return std::find(rule.accounts.begin(), rule.accounts.end(), username) != rule.accounts.end();
    });
}

}  // namespace

void preview_deletion(const ServiceContext& context, const auth::DirectorySnapshot& directory,
                      const auth::Account& account, v1::PreviewAccountDeletionResponse& response,
                      const Finish& finish) {
    const auto& gateway = context.gateway;
    response.set_name("accounts/" + account.username);
    response.set_username(account.username);
    response.set_display_name(account.display_name);
    auto& open = *response.mutable_open_accesses();
    const auto now = gateway.clock.utc();
    auto oldest = now;
    const auto sessions = gateway.sessions.list(account.id, {}, sessions_counted_max);
    std::vector<std::string> ids;
    for (const auto& session : sessions) {
        oldest = std::min(oldest, session->created_at);
        ids.push_back(session->id);
    }
    response.set_sessions(sessions.size());
    if (const auto here = gateway.open_accesses(ids, count_open_limit))
        open.set_here(*here);
    else
        open.set_here_error("what serves them has not answered in time");
    if (gateway.devices != nullptr) {
        const auto devices = gateway.devices->snapshot();
        response.set_devices(static_cast<std::uint64_t>(
            std::count_if(devices->devices().begin(), devices->devices().end(), [&](const auth::Device& device) {
                return device.account_id == account.id && device.state != auth::DeviceState::unbound;
            })));
    }
    for (const auto& policy : directory.policies())
        if (names(policy.allow, account.username) || names(policy.deny, account.username))
            response.add_policies(policy.name);
    if (!gateway.store.shared()) return finish(grpc::Status::OK);
    const audit::Store::OpenQuestion question{account.id, gateway.journal.gateway_id(), oldest - opened_before,
                                              now - heard_within, std::chrono::steady_clock::now() + preview_limit};
    const auto found = std::make_shared<audit::Store::OpenElsewhere>();
    ask_within(
        context.executor, preview_limit,
        [&store = gateway.store, question, found]() -> Result<void> {
            auto counted = store.count_open_elsewhere(question);
            if (!counted) return std::move(counted).error();
            *found = *counted;
            return {};
        },
        [&open, finish, found](const Result<void>& asked) {
            if (asked) {
                open.set_elsewhere(found->heard);
                open.set_elsewhere_gateways(found->gateways);
                open.set_unheard(found->unheard);
            } else {
                open.set_elsewhere_error(said_of(asked.error()));
            }
            finish(grpc::Status::OK);
        });
}

}  // namespace usher::gateway::control
