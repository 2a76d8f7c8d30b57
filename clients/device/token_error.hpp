#pragma once
#include <p11-kit/pkcs11.h>

#include <string>
#include <string_view>

#include "base/result.hpp"

namespace usher::clients::device {

/// A refusal of a token for its user: what was done, on which token, why, what now. `doing` completes "... failed when
/// it was to", `token` is safe for a terminal. Codes: unavailable (the token is not there now), permission_denied (its
/// PIN), resource_exhausted (full), failed_precondition (it cannot do this), internal (anything else).
base::Error token_error(CK_RV code, std::string_view doing, const std::string& token);

/// The session, the login or the module's memory of the token is gone, which a new session may mend: the token was
/// taken out and put back, another program logged out, the machine slept.
bool is_session_lost(CK_RV code) noexcept;

/// The token has counted a wrong try.
bool is_pin_refused(CK_RV code) noexcept;

}  // namespace usher::clients::device
