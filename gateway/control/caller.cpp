#include "gateway/control/caller.hpp"

#include "auth/policy.hpp"
#include "gateway/control/revocations.hpp"
#include "wire/http1/authorization.hpp"

namespace usher::gateway::control {

std::optional<Caller> LocalPolicy::identify(const CallMetadata&, const std::string&) const {
    return Caller{"local", {}, nullptr, auth::Role::administrator};
}

std::optional<Caller> LocalPolicy::again(const Caller& caller) const { return caller; }

std::optional<Caller> TunnelPolicy::identify(const CallMetadata& metadata, const std::string& peer) const {
    const auto [first, last] = metadata.equal_range("authorization");
    // Two credentials could be read as either: refused.
    if (first == last || std::next(first) != last) return std::nullopt;
    const auto credential = wire::http1::parse_authorization({first->second.data(), first->second.size()});
    const auto* bearer = std::get_if<wire::http1::Bearer>(&credential);
    if (bearer == nullptr) return std::nullopt;
    const auto session = sessions_.authenticate(bearer->token.reveal());
    if (session && session->device_key && session->device_key != key_of(peer)) return std::nullopt;
    return of(session);
}

void TunnelPolicy::opened(int fd, const std::optional<auth::DeviceKeyHash>& device_key) {
    std::lock_guard lock(mutex_);
    const std::string peer = "fd:" + std::to_string(fd);
    // The number may have been another tunnel's, which is closed.
    keys_.erase(peer);
    if (device_key) keys_.emplace(peer, *device_key);
}

std::optional<auth::DeviceKeyHash> TunnelPolicy::key_of(const std::string& peer) const {
    std::lock_guard lock(mutex_);
    const auto found = keys_.find(peer);
    return found == keys_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<Caller> TunnelPolicy::again(const Caller& caller) const {
    if (!caller.session || !sessions_.valid(*caller.session)) return std::nullopt;
    return of(caller.session);
}

std::optional<Caller> TunnelPolicy::of(const auth::SessionPtr& session) const {
    if (!session || revocations_.covers(*session)) return std::nullopt;
    const auto directory = directory_.snapshot();
    const auto* account = directory->account_by_id(session->account_id);
    if (account == nullptr || auth::standing(*account, clock_.utc()) != auth::Standing::good) return std::nullopt;
    return Caller{account->username, account->id, session, account->role};
}

}  // namespace usher::gateway::control
