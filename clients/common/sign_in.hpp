#pragma once
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "base/secret.hpp"
#include "clients/common/gateway_call.hpp"
#include "clients/common/saved_session.hpp"
#include "clients/posture/device_claims.hpp"

namespace usher::clients {

/// What is shown at the door.
struct SignInSecrets {
    base::Secret password;
    base::Secret second_factor;   ///< a code; empty where there is none
    base::Secret new_password{};  ///< to take the password's place; empty: it stays
};

/// Signs in. failed_precondition: all of it is right, and the password has to be changed (no session was made and the
/// code was not used up); permission_denied: the device that was shown may not sign in, likewise; invalid_argument: the
/// new password is refused, likewise; unauthenticated: name, password or code is wrong (the gateway says no more);
/// resource_exhausted: too many tries.
base::Result<SavedSession> sign_in(const TlsTrust& trust, const Endpoint& gateway, std::string_view username,
                                   const SignInSecrets& secrets, const DeviceClaims& device);
/// Signs out. A session that the gateway no longer knows is no error.
base::Result<void> sign_out(const TlsTrust& trust, const SavedSession& session);

/// An error of the gateway in words: what it may mean, for each status.
base::Error unexpected_answer(const GatewayAnswer& answer);

/// GET with the session's token; 200 or an error in words. `path` is one of the API.
base::Result<std::string> get_json(const TlsTrust& trust, const SavedSession& session, std::string_view path);

}  // namespace usher::clients
