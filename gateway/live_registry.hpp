#pragma once
#include <boost/intrusive/list.hpp>
#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "auth/affected.hpp"
#include "gateway/live_access.hpp"

namespace usher::gateway {

/// Everything that is live on one worker, whatever its protocol: by session, by account (and so by device and
/// department, which are an account's) and by app (and so by policy, which names apps). For the worker's thread.
class LiveRegistry {
public:
    /// An access must leave before it goes.
    void enter(LiveAccess& access);
    void leave(LiveAccess& access) noexcept;

    std::size_t size() const noexcept { return all_.size(); }
    /// Where an access is, in no order, and since when it need not be looked at: a row of these is read at once, where
    /// each access is memory of its own that nobody has read for long.
    struct Place {
        LiveAccess* access;
        base::MonoTime look_at;    ///< nothing is due before, unless it moves
        base::MonoTime passed_at;  ///< when its worker was here last
    };
    Place& at(std::size_t place) noexcept { return all_[place]; }
    /// It was looked at `now`, and need not be again before `next`; MonoTime::min(): as soon as may be.
    void look_again(LiveAccess& access, base::MonoTime now, base::MonoTime next) noexcept;
    /// It moves: as soon as may be. Returns when its worker was there last.
    base::MonoTime wake(LiveAccess& access) noexcept;
    std::size_t of_session(std::string_view session_id) const;

    /// Calls `visit` with each access that the change may be about, those of one session in a row, perhaps one more
    /// than once. None may enter or leave meanwhile.
    template <class Visit>
    void each(const auth::Affected& affected, Visit visit) {
        const auto visit_session = [&](OfSession& session) {
            for (LiveAccess& access : session.accesses) visit(access);
        };
        if (affected.everybody) {
            for (auto& [id, session] : sessions_) visit_session(session);
            return;
        }
        for (const auto& id : affected.sessions)
            if (const auto found = sessions_.find(id); found != sessions_.end()) visit_session(found->second);
        for (const auto& id : affected.accounts)
            if (const auto found = accounts_.find(id); found != accounts_.end())
                for (OfSession* session : found->second) visit_session(*session);
        for (const auto& name : affected.apps)
            if (const auto found = apps_.find(name); found != apps_.end())
                for (LiveAccess& access : found->second) visit(access);
    }

private:
    using BySession =
        boost::intrusive::list<LiveAccess,
                               boost::intrusive::member_hook<LiveAccess, LiveAccess::Links, &LiveAccess::of_session>>;
    using ByApp =
        boost::intrusive::list<LiveAccess,
                               boost::intrusive::member_hook<LiveAccess, LiveAccess::Links, &LiveAccess::of_app>>;
    struct OfSession {
        auth::SessionPtr session;  ///< keeps the key
        BySession accesses;
    };

    std::vector<Place> all_;  ///< each access knows its place
    std::unordered_map<std::string_view, OfSession> sessions_;
    std::unordered_map<std::string, std::vector<OfSession*>> accounts_;
    std::unordered_map<std::string, ByApp> apps_;
};

}  // namespace usher::gateway
