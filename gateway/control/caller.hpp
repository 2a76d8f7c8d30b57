#pragma once
#include <grpcpp/support/string_ref.h>

#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "auth/directory.hpp"
#include "auth/sessions.hpp"
#include "gateway/control/tunnel_origin.hpp"

namespace usher::gateway::control {

class Revocations;

/// Who made a call, as it goes on record.
struct Caller {
    std::string actor;         ///< the username; "local" for the control socket's own user
    std::string account_id;    ///< empty for "local"
    auth::SessionPtr session;  ///< nullptr for "local"
    auth::Role role = auth::Role::employee;
    std::string client_ip;  ///< where the tunnel came from; empty for "local"
};

/// What a method asks of its caller: reading takes an auditor, a privacy officer or an administrator, changing an
/// administrator.
enum class Need { auditor, administrator };

constexpr bool satisfies(auth::Role role, Need need) noexcept {
    switch (role) {
        case auth::Role::employee:
            return false;
        case auth::Role::auditor:
        case auth::Role::privacy_officer:
            return need == Need::auditor;
        case auth::Role::administrator:
            return true;
    }
    return false;
}

/// Whether what is read may have personal fields in it (see personal_fields.hpp).
constexpr bool sees_personal_fields(auth::Role role) noexcept {
    return role == auth::Role::administrator || role == auth::Role::privacy_officer;
}

using CallMetadata = std::multimap<grpc::string_ref, grpc::string_ref>;

/// Decides who a caller is. Each server has one: which socket a call came through decides how its caller is known, and
/// nothing in the call can change that. Memory only; thread-safe.
class CallerPolicy {
public:
    virtual ~CallerPolicy() = default;
    /// nullopt: nobody that is known. `peer` is the call's, as gRPC names it.
    virtual std::optional<Caller> identify(const CallMetadata& metadata, const std::string& peer) const = 0;
    /// The same caller as of now, with its present role; nullopt when it may no longer be here at all.
    virtual std::optional<Caller> again(const Caller& caller) const = 0;
};

/// The control socket in data_dir: whoever may open the file (mode 0600) is the administrator of this machine.
class LocalPolicy final : public CallerPolicy {
public:
    std::optional<Caller> identify(const CallMetadata& metadata, const std::string& peer) const override;
    std::optional<Caller> again(const Caller& caller) const override;
};

/// A tunnel: each call proves itself by exactly one "authorization: Bearer TOKEN" (RFC 6750 §2.1) of a session that is
/// valid now, of an account that is active now. A session that is bound to a device is worth something on a tunnel of
/// the same device only.
class TunnelPolicy final : public CallerPolicy {
public:
    TunnelPolicy(const auth::Directory& directory, auth::Sessions& sessions, const base::Clock& clock,
                 const Revocations& revocations)
        : directory_(directory), sessions_(sessions), clock_(clock), revocations_(revocations) {}
    std::optional<Caller> identify(const CallMetadata& metadata, const std::string& peer) const override;
    std::optional<Caller> again(const Caller& caller) const override;

    /// The server is about to serve this descriptor: a tunnel from there.
    void opened(int fd, TunnelOrigin origin);

private:
    TunnelOrigin origin_of(const std::string& peer) const;
    std::optional<Caller> of(const auth::SessionPtr& session, std::string client_ip) const;

    const auth::Directory& directory_;
    auth::Sessions& sessions_;
    const base::Clock& clock_;
    const Revocations& revocations_;
    mutable std::mutex mutex_;
    /// By what gRPC calls the peer of the descriptor. Bounded by how many descriptors there are.
    std::map<std::string, TunnelOrigin, std::less<>> origins_;
};

}  // namespace usher::gateway::control
