#include "gateway/control/caller.hpp"

#include "auth/policy.hpp"
#include "wire/http1/authorization.hpp"

namespace usher::gateway::control {

std::optional<Caller> LocalPolicy::identify(const CallMetadata&) const {
    return Caller{"local", {}, nullptr, auth::Role::administrator};
}

std::optional<Caller> LocalPolicy::again(const Caller& caller) const { return caller; }

std::optional<Caller> TunnelPolicy::identify(const CallMetadata& metadata) const {
    const auto [first, last] = metadata.equal_range("authorization");
    // Two credentials could be read as either: refused.
    if (first == last || std::next(first) != last) return std::nullopt;
    const auto credential = wire::http1::parse_authorization({first->second.data(), first->second.size()});
    const auto* bearer = std::get_if<wire::http1::Bearer>(&credential);
    if (bearer == nullptr) return std::nullopt;
    return of(sessions_.authenticate(bearer->token.reveal()));
}

std::optional<Caller> TunnelPolicy::again(const Caller& caller) const {
    if (!caller.session || !sessions_.valid(*caller.session)) return std::nullopt;
    return of(caller.session);
}

std::optional<Caller> TunnelPolicy::of(const auth::SessionPtr& session) const {
    if (!session) return std::nullopt;
    const auto directory = directory_.snapshot();
    const auto* account = directory->account_by_id(session->account_id);
    if (account == nullptr || auth::standing(*account, clock_.utc()) != auth::Standing::good) return std::nullopt;
    return Caller{account->username, account->id, session, account->role};
}

}  // namespace usher::gateway::control
