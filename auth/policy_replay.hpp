#pragma once
#include <cstdint>
#include <string_view>
#include <unordered_set>

#include "auth/policy.hpp"

namespace usher::auth {

/// What is on record of an attempt that policies decided about.
struct RecordedAttempt {
    std::string_view account_id;
    std::string_view department;  ///< that the account had
    base::Destination destination;
    Context context;             ///< with its time
    bool posture_known = false;  ///< whether it says anything that the device had said of itself
    bool session_known = false;  ///< whether the record says what device and second factor the session had
};

/// Judges attempts of the past by the policies of a directory. Groups and roles are not on record, so they are those
/// that the account has now; whether it was or is disabled or valid is not a matter of policy and not looked at. Refers
/// to the directory, which outlives it. Pure; thread-safe.
class PolicyReplay {
public:
    explicit PolicyReplay(const DirectorySnapshot& directory);

    enum class Outcome {
        judged,
        account_gone,          ///< nobody knows its groups any more
        session_not_on_record  ///< and the app's rules ask for devices, what they say, or a second factor
    };
    struct Judgement {
        Outcome outcome = Outcome::judged;
        /// Judged: what would be decided. Of no app: denied, without a reason of its own.
        Decision decision{};
        const App* app = nullptr;      ///< null: the destination is no app's
        bool account_changed = false;  ///< since the attempt: its groups and role may have been others
    };
    Judgement judge(const RecordedAttempt& attempt) const;

private:
    const DirectorySnapshot& directory_;
    std::unordered_set<std::string_view> about_sessions_;  ///< apps with a rule about devices or second factors
    std::unordered_set<std::string_view> about_posture_;   ///< apps with a rule about what devices say of themselves
};

}  // namespace usher::auth
