#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "auth/directory.hpp"

namespace usher::auth {

/// How far an account gets at an app, from wherever and whenever it comes: `sometimes` hangs on conditions other than
/// who it is (networks, times, devices, the second factor).
enum class Reach { never, sometimes, always };

/// One account to which another policy makes a difference at one app. Both `sometimes`: under other conditions.
struct ReachChange {
    const Account* account;  ///< in the snapshot after
    const App* app;          ///< likewise
    Reach before, after;
};

/// Who gains and who loses which app between two directories that have the same accounts, as preview() makes them.
/// Accounts that are disabled, or whose validity is over at `now`, have nothing and gain nothing. Refers to both
/// snapshots, which outlive it. For one thread.
class PolicyDiff {
public:
    PolicyDiff(const DirectorySnapshot& before, const DirectorySnapshot& after, base::UtcTime now);

    /// Where to go on: the changes of `app` behind `username`, then those of the apps behind it. Empty: at the start.
    struct Place {
        std::string app, username;
    };
    /// The next changes, by app, then by username: at most `limit`, and no more than about `work` comparisons of a rule
    /// with an account, so a part may be empty although more follow.
    struct Part {
        std::vector<ReachChange> changes;
        bool more = false;
        Place next;  ///< where there is more
    };
    Part next(const Place& place, std::size_t limit, std::uint64_t work) const;

private:
    /// What a rule asks for besides who somebody is, as a number: equal conditions have equal numbers. 0: nothing.
    using ConditionId = std::uint32_t;
    struct Candidate {
        const Rule* rule;
        ConditionId conditions;
    };
    /// The rules about one app.
    struct Rules {
        std::vector<Candidate> deny, allow;
    };
    struct Verdict {
        Reach reach = Reach::never;
        std::vector<ConditionId> deny, allow;  ///< of `sometimes`; sorted, unique
    };
    Rules rules_of(const DirectorySnapshot& directory, const std::string& app);
    static Verdict judge(const DirectorySnapshot& directory, const Rules& rules, const Account& account);

    const DirectorySnapshot &before_, &after_;
    base::UtcTime now_;
    std::map<std::string, ConditionId> conditions_;
    std::unordered_map<const Rule*, ConditionId> conditions_of_;  ///< a rule stands in the lists of many apps
    struct Sides {
        Rules before, after;
    };
    std::map<std::string, Sides, std::less<>> apps_;  ///< those whose policies are not the same
};

}  // namespace usher::auth
