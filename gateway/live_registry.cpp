#include "gateway/live_registry.hpp"

#include <algorithm>

namespace usher::gateway {
namespace {

/// For one more; twice as much as before where there is none.
template <class T>
void make_room(std::vector<T>& list) {
    if (list.size() == list.capacity()) list.reserve(std::max<std::size_t>(2 * list.size(), 1));
}

}  // namespace

void LiveRegistry::enter(LiveAccess& access) {
    const auto& session = access.session();
    // What takes memory comes first: where there is none, nobody refers to the access.
    auto& of_app = apps_[access.app()];
    auto& of_account = accounts_[session->account_id];
    make_room(of_account);
    make_room(all_);
    auto& of_session = sessions_[session->id];
    if (!of_session.session) {
        of_session.session = session;
        of_account.push_back(&of_session);
    }
    of_session.accesses.push_back(access);
    of_app.push_back(access);
    access.set_place(*this, all_.size());
    all_.push_back({&access, base::MonoTime::min(), access.opened_at()});
}

void LiveRegistry::leave(LiveAccess& access) noexcept {
    all_[access.place()] = all_.back();
    all_[access.place()].access->set_place(*this, access.place());
    all_.pop_back();
    access.set_resting(false);  // what is counted behind it wakes nobody

    const auto app = apps_.find(access.app());
    app->second.erase(app->second.iterator_to(access));
    if (app->second.empty()) apps_.erase(app);

    const auto session = sessions_.find(access.session()->id);
    session->second.accesses.erase(session->second.accesses.iterator_to(access));
    if (!session->second.accesses.empty()) return;
    const auto account = accounts_.find(session->second.session->account_id);
    std::erase(account->second, &session->second);
    if (account->second.empty()) accounts_.erase(account);
    // The key is in the session, which must go last.
    const auto keep = session->second.session;
    sessions_.erase(session);
}

void LiveRegistry::look_again(LiveAccess& access, base::MonoTime now, base::MonoTime next) noexcept {
    auto& place = all_[access.place()];
    place.look_at = next;
    place.passed_at = now;
    access.set_resting(next > base::MonoTime::min());
}

base::MonoTime LiveRegistry::wake(LiveAccess& access) noexcept {
    auto& place = all_[access.place()];
    place.look_at = base::MonoTime::min();
    access.set_resting(false);
    return place.passed_at;
}

std::size_t LiveRegistry::of_session(std::string_view session_id) const {
    const auto found = sessions_.find(session_id);
    return found == sessions_.end() ? 0 : found->second.accesses.size();
}

}  // namespace usher::gateway
