#include "gateway/control/account_preview.hpp"

#include <grpcpp/alarm.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <utility>

#include "base/log.hpp"
#include "gateway/live_access.hpp"

namespace usher::gateway::control {
namespace {

using base::Errc;
using base::Error;
using base::Result;
namespace v1 = usher::v1;
using Found = Result<audit::Store::OpenElsewhere>;

/// Records come late, and clocks differ.
constexpr base::Microseconds heard_within = heartbeat_after + std::chrono::minutes{5};
/// An access stands on a session; one whose session has just ended, or whose gateway's clock is behind, is found too.
constexpr base::Microseconds opened_before = std::chrono::hours{24};
constexpr std::size_t sessions_counted_max = 10'000;

/// What somebody waits for, for so long and no longer. Thread-safe.
class Awaited : public std::enable_shared_from_this<Awaited> {
public:
    explicit Awaited(std::function<void(const Found&)> answer) : answer_(std::move(answer)) {}

    /// Once, and first.
    void begin(base::Microseconds limit) {
        const auto alarm = std::make_shared<grpc::Alarm>();
        alarm_ = alarm;
        alarm->Set(std::chrono::system_clock::now() + limit, [self = shared_from_this()](bool) {
            self->give(Error{Errc::deadline_exceeded, "nothing was answered in time"});
            (void)self->alarm(true);  // which has this function, and so all of this
        });
    }
    bool answered() const { return answered_; }
    /// The first one counts.
    void give(const Found& found) {
        if (answered_.exchange(true)) return;
        answer_(found);
        if (const auto pending = alarm(false)) pending->Cancel();
    }

private:
    std::shared_ptr<grpc::Alarm> alarm(bool let_go) {
        std::lock_guard lock(mutex_);
        return let_go ? std::exchange(alarm_, nullptr) : alarm_;
    }

    std::atomic<bool> answered_{false};
    const std::function<void(const Found&)> answer_;
    std::mutex mutex_;
    std::shared_ptr<grpc::Alarm> alarm_;  ///< until it has gone off
};

/// Calls `answer` once, on another thread or this one. Nothing of a server is used behind that.
void ask_store(Executor& executor, audit::Store& store, audit::Store::OpenQuestion question,
               std::function<void(const Found&)> answer) {
    const auto awaited = std::make_shared<Awaited>(std::move(answer));
    awaited->begin(preview_limit);
    const bool queued = executor.post([awaited, &store, question = std::move(question)](bool stopped) {
        if (stopped) return awaited->give(Error{Errc::unavailable, "the gateway is stopping"});
        // Where nobody waits any more, others do.
        if (!awaited->answered()) awaited->give(store.count_open_elsewhere(question));
    });
    if (!queued) awaited->give(Error{Errc::resource_exhausted, "too many calls wait for the database"});
}

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
    for (const auto& session : sessions) {
        oldest = std::min(oldest, session->created_at);
        open.set_here(open.here() + gateway.open_accesses(session->id));
    }
    response.set_sessions(sessions.size());
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
    ask_store(context.executor, gateway.store,
              {account.id, gateway.journal.gateway_id(), oldest - opened_before, now - heard_within},
              [&open, finish](const Found& found) {
                  if (found) {
                      open.set_elsewhere(found->heard);
                      open.set_elsewhere_gateways(found->gateways);
                      open.set_unheard(found->unheard);
                  } else {
                      open.set_elsewhere_error(said_of(found.error()));
                  }
                  finish(grpc::Status::OK);
              });
}

}  // namespace usher::gateway::control
