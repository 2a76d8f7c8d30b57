#include "gateway/control/caller.hpp"

#include "auth/policy.hpp"
#include "gateway/control/revocations.hpp"
#include "wire/http1/authorization.hpp"

namespace usher::gateway::control {

std::optional<Caller> LocalPolicy::identify(const CallMetadata&, const std::string&) const {
    return Caller{"local", {}, nullptr, auth::Role::administrator, {}};
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
    auto origin = origin_of(peer);
    if (session && session->device_key && session->device_key != origin.device_key) return std::nullopt;
    return of(session, std::move(origin.client_ip));
}

void TunnelPolicy::opened(int fd, TunnelOrigin origin) {
    std::lock_guard lock(mutex_);
    // The number may have been another tunnel's, which is closed.
    origins_.insert_or_assign("fd:" + std::to_string(fd), std::move(origin));
}

TunnelOrigin TunnelPolicy::origin_of(const std::string& peer) const {
    std::lock_guard lock(mutex_);
    const auto found = origins_.find(peer);
    return found == origins_.end() ? TunnelOrigin{} : found->second;
}

std::optional<Caller> TunnelPolicy::again(const Caller& caller) const {
    if (!caller.session || !sessions_.valid(*caller.session)) return std::nullopt;
    return of(caller.session, caller.client_ip);
}

std::optional<Caller> TunnelPolicy::of(const auth::SessionPtr& session, std::string client_ip) const {
    if (!session || revocations_.covers(*session)) return std::nullopt;
    const auto directory = directory_.snapshot();
    const auto* account = directory->account_by_id(session->account_id);
    if (account == nullptr || auth::standing(*account, clock_.utc()) != auth::Standing::good) return std::nullopt;
    return Caller{account->username, account->id, session, account->role, std::move(client_ip)};
}

}  // namespace usher::gateway::control
