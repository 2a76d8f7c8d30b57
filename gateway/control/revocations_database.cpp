// What Revocations asks of the database, on a thread that may have to wait for it.

#include <algorithm>
#include <utility>

#include "base/log.hpp"
#include "gateway/control/admin_recorder.hpp"
#include "gateway/control/revocation_entry.hpp"
#include "gateway/control/revocations.hpp"
#include "gateway/control/status.hpp"

namespace usher::gateway::control {
namespace {

using auth::Change;
using auth::DeviceAct;
using base::Errc;
using base::Error;
using base::Result;
using Kind = Revocation::Kind;
using Outcome = usher::v1::AdminRecord::Outcome;

constexpr std::chrono::seconds retry_after{1};

DeviceAct act_of(Kind kind) {
    return kind == Kind::device_locked ? DeviceAct::lock
           : kind == Kind::device_lost ? DeviceAct::lose
                                       : DeviceAct::unbind;
}

}  // namespace

/// The thread that may have to wait for the database.
void Revocations::run() {
    std::unique_lock lock(mutex_);
    EntryPtr stuck;
    while (!stopping_) {
        std::vector<EntryPtr> round;
        for (const auto& entry : entries_)
            if (entry->ready) round.push_back(entry);
        // Behind the one at which the last round broke off, which may be the only one that a lock keeps waiting.
        const auto failed = std::find(round.begin(), round.end(), stuck);
        if (failed != round.end()) std::rotate(round.begin(), failed + 1, round.end());
        stuck = nullptr;
        bool again = false;
        for (const auto& entry : round) {
            if (stopping_) break;
            lock.unlock();
            const auto tried = carry_out(entry);
            lock.lock();
            again = again || tried != Tried::done;
            away_ = tried == Tried::away;
            if (!away_) continue;
            // It would hardly take the next one either, and each try may last.
            stuck = entry;
            break;
        }
        if (again)
            changed_.wait_for(lock, retry_after, [this] { return stopping_; });
        else
            changed_.wait(lock, [this] {
                return stopping_ ||
                       std::any_of(entries_.begin(), entries_.end(), [](const auto& e) { return e->ready; });
            });
    }
}

Revocations::Tried Revocations::carry_out(const EntryPtr& entry) {
    AdminRecorder recorder(parts_.journal, entry->caller);
    // What is cut off is on record already.
    const auto on_record = [](const Change&) { return Result<void>(); };
    auto done = persist(*entry, entry->cut ? auth::RecordChange(on_record) : recorder.callback());
    if (done) {
        done->closed_accesses += entry->closed;
        finish(entry, Outcome::DONE, "the database has taken it now", false);
        answer(entry, grpc::Status::OK, &*done);
        return Tried::done;
    }
    const Error error = done.error();
    const auto& action = entry->revocation.action;
    if (!entry->cut) {
        finish(entry, Outcome::FAILED, {}, false);
        answer(entry, to_status(recorder.failed(error), action), nullptr);
        return Tried::done;
    }
    if (is_void(*entry, error)) {
        finish(entry, Outcome::FAILED, "there is nothing left that it could be done to", true);
        answer(entry, to_status(error, action), nullptr);
        return Tried::done;
    }
    if (!entry->told)
        base::log_error("the database did not take a revocation",
                        {{"action", action}, {"id", entry->revocation.id}, {"error", error.message}});
    const bool away = error.code == Errc::unavailable || error.code == Errc::deadline_exceeded;
    overdue(entry, away ? "it is away" : "it refused; the gateway's log says why");
    return away ? Tried::away : Tried::failed;
}

/// Whether the database said that the subject is not there any more, or in a state that is as good.
bool Revocations::is_void(const Entry& entry, const Error& error) const {
    if (error.code == Errc::not_found) return true;
    if (error.code != Errc::failed_precondition || !entry.revocation.device_key) return false;
    if (!parts_.devices.refresh()) return false;
    const auto snapshot = parts_.devices.snapshot();
    const auto* device = snapshot->by_id(entry.revocation.id);
    return device == nullptr || !auth::after(act_of(entry.revocation.kind), device->state);
}

/// Everything that the order means to the database, and what follows from it in memory.
Result<Revocations::Done> Revocations::persist(Entry& entry, const auth::RecordChange& record) {
    const auto& r = entry.revocation;
    Done done;
    const auto end_sessions = [&](const std::string& account_id, auth::SessionEnd why) -> Result<Done> {
        // Late, it must not end what was signed in for since.
        const bool late = r.kind == Kind::sessions_of && entry.told;
        auto ended = parts_.sessions.end_account(account_id, why, {}, late ? std::optional(r.at) : std::nullopt);
        for (const auto& id : entry.sessions) {
            if (!late || !ended) break;
            // By another gateway's clock they may have been made later.
            if (auto erased = parts_.sessions.erase(id); !erased) ended = erased.error();
        }
        const auto closed = parts_.enforce(auth::Affected::account(account_id));
        if (!ended) return ended.error();
        done.ended_sessions = *ended;
        if (!entry.cut) done.closed_accesses = closed;
        return done;
    };
    switch (r.kind) {
        case Kind::session: {
            auto ended = parts_.sessions.end(r.id, auth::SessionEnd::revoked, {});
            // It ended in memory before, and its row may still be there, and in use at another gateway.
            if (!ended && ended.error().code == Errc::not_found) ended = parts_.sessions.erase(r.id);
            parts_.enforce(affected_by(r));
            if (!ended) return ended.error();
            done.ended_sessions = 1;
            return done;
        }
        case Kind::sessions_of:
            return end_sessions(r.account_id, auth::SessionEnd::revoked);
        case Kind::account_disabled: {
            const auto name = name_of(entry);
            if (!name) return no_account(r.resource);
            auto account =
                parts_.directory.set_status(*name, auth::AccountStatus::disabled, record, entry.cut ? r.id : "");
            if (!account) return account.error();
            done.account = *account;
            // Its sessions end with it: enabling it again must not bring them back.
            return end_sessions(account->id, auth::SessionEnd::revoked);
        }
        case Kind::account_deleted: {
            // Where an earlier try broke off behind it, the account is gone already.
            if (const auto name = name_of(entry)) {
                auto deleted = parts_.directory.delete_account(*name, record, r.id);
                if (!deleted && !(entry.told && deleted.error().code == Errc::not_found)) return deleted.error();
            }
            return end_sessions(r.account_id, auth::SessionEnd::account_deleted);
        }
        case Kind::device_locked:
        case Kind::device_lost:
        case Kind::device_unbound:
            break;
    }
    auto device = parts_.devices.act(r.id, act_of(r.kind), record);
    if (!device) return device.error();
    // Also when it was in that state before, so that a call whose first try broke off half-way can be made again.
    auto ended = parts_.sessions.end_device(device->account_id, device->key_sha256, auth::SessionEnd::revoked);
    const auto closed = parts_.enforce(auth::Affected::account(device->account_id));
    if (!ended) return ended.error();
    done.ended_sessions = *ended;
    if (!entry.cut) done.closed_accesses = closed;
    done.device = std::move(*device);
    return done;
}

/// The account's name in the directory: by its id, for another account may have the name by now.
std::optional<std::string> Revocations::name_of(const Entry& entry) const {
    if (!entry.cut) return entry.name;
    const auto snapshot = parts_.directory.snapshot();
    const auto* account = snapshot->account_by_id(entry.revocation.id);
    return account != nullptr ? std::optional(account->username) : std::nullopt;
}

}  // namespace usher::gateway::control
