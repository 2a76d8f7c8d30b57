#pragma once
#include <boost/asio/awaitable.hpp>
#include <optional>
#include <string>

#include "base/secret.hpp"
#include "gateway/services.hpp"
#include "gateway/worker.hpp"
#include "wire/http1/json_object.hpp"

namespace usher::gateway {

struct SignInForm {
    std::string username;  ///< as typed
    base::Secret password;
    base::Secret second_factor;                ///< a code of the app, or a recovery code; may be empty
    std::optional<base::Secret> new_password;  ///< to be set, if the rest is right
    auth::DeviceClaims device;
};

inline constexpr std::size_t second_factor_bytes_max = 64;

/// Reads {"username", "password", "second_factor", "new_password", "device": {...}} and nothing else. The error's
/// message is a fixed token for the client.
base::Result<SignInForm> read_sign_in_form(wire::http1::JsonObject form);

struct SignInOutcome {
    int status = 401;  ///< 201, 401, 403 (the password has to be changed, or the device may not), 422 (the new one is
                       ///< refused), 429 or 503
    std::string device_refused;    ///< of 403: the word for why the device that was shown may not sign in
    std::string password_refused;  ///< of 403 and 422: why, for whoever has proved who they are
    base::Secret token;
    auth::SessionPtr session;
    std::string username;
    base::Microseconds retry_after{0};
};

/// One sign-in: throttled, checked on the hashing worker in the same time for every reason to fail, on record before
/// the answer.
boost::asio::awaitable<SignInOutcome> sign_in(Services& services, Worker& worker, const Peer& peer, SignInForm form);

/// Ends the subject's session and what stands on it; on record first. False when the record could not be kept.
boost::asio::awaitable<bool> sign_out(Services& services, const Peer& peer, const Gatekeeper::Subject& subject);

}  // namespace usher::gateway
