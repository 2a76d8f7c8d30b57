#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/affected.hpp"
#include "auth/device.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"

namespace usher::gateway {

/// An order that takes access away, as it is carried out and as it is kept until the database has taken it.
struct Revocation {
    enum class Kind {
        session,      ///< one session
        sessions_of,  ///< those that an account has
        account_disabled,
        account_deleted,
        device_locked,
        device_lost,
        device_unbound,
    };
    Kind kind = Kind::session;
    std::string id;          ///< of the session, the account or the device
    std::string account_id;  ///< whose it is
    std::optional<auth::DeviceKeyHash> device_key{};
    base::UtcTime at{};             ///< when it was ordered
    std::string action, resource;   ///< as on record: "account.disable", "accounts/alice"
    std::string actor, actor_id{};  ///< who ordered it; the id is empty for the control socket's own user
    friend bool operator==(const Revocation&, const Revocation&) = default;
};

/// Whose accesses it is about. Pure.
auth::Affected affected_by(const Revocation& revocation);

/// One line of text for each, JSON without a line's end.
std::string to_line(const Revocation& revocation);
/// Reads a file of such lines. The error names the line, what was found and what was expected: whoever is left out
/// would be let in again. Pure.
base::Result<std::vector<Revocation>> parse_revocations(std::string_view text);

}  // namespace usher::gateway
