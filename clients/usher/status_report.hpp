#pragma once
#include <optional>
#include <string>

#include "base/clock.hpp"
#include "clients/common/json.hpp"
#include "clients/common/saved_session.hpp"

namespace usher::clients::agent {

/// What the gateway said when it was asked about the session.
struct GatewayWord {
    enum class Kind { valid, over, unreachable };
    Kind kind = Kind::unreachable;
    boost::json::object answer;  ///< of Kind::valid and of Kind::over
    std::string error;           ///< of Kind::unreachable, in words
};

/// How things stand, for `usher status`.
struct StatusReport {
    enum class State { signed_in, signed_out, expired, ended, unreachable };
    State state = State::signed_out;
    /// Unless signed in: why, and what to do; one line for an employee.
    std::string words;
};

/// `session` is what the last sign-in left; `word` is empty where the gateway had not to be asked: nobody is signed in,
/// or the session's time is over. Pure.
StatusReport report_status(const std::optional<SavedSession>& session, const std::optional<GatewayWord>& word,
                           base::UtcTime now);

/// Why the gateway ended a session, by the reason in its answer ("revoked", "account-disabled", ...), in words.
std::string ended_words(std::string_view reason, std::string_view gateway);

/// One object: "state", "words", the gateway, what it says of the session, "device_key" and "agent", an object or null.
/// `device_key`: where an enrolled device's key is kept.
boost::json::object status_json(const StatusReport& report, const std::optional<SavedSession>& session,
                                const std::optional<GatewayWord>& word, const std::optional<boost::json::object>& agent,
                                const std::optional<std::string>& device_key = {});

/// The same for people.
std::string status_table(const StatusReport& report, const std::optional<SavedSession>& session,
                         const std::optional<GatewayWord>& word, const std::optional<boost::json::object>& agent,
                         const std::optional<std::string>& device_key = {});

}  // namespace usher::clients::agent
