#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "auth/device.hpp"
#include "auth/posture.hpp"
#include "auth/time_window.hpp"
#include "base/clock.hpp"
#include "base/net.hpp"

namespace usher::auth {

enum class Role { employee, auditor, administrator, privacy_officer };
enum class AccountStatus { active, disabled };

/// An employee, as an administrator made it. The password's hash is not here: it stays in the database.
struct Account {
    std::string id;        ///< UUIDv7 text; never reused, outlives a rename
    std::string username;  ///< canonical: see canonical_username()
    std::string display_name;
    std::string department;
    std::vector<std::string> groups;  ///< sorted, unique
    std::string office_mail;
    std::string office_phone;
    std::string employee_number{};  ///< empty, or no other account has it
    std::string source{};           ///< the directory of the enterprise that it is kept in; empty: it was made here
    std::string outside_id{};       ///< what that directory knows it by, byte for byte; empty where source is
    Role role = Role::employee;
    AccountStatus status = AccountStatus::active;
    std::optional<base::UtcTime> valid_from{};   ///< before it the account may do nothing
    std::optional<base::UtcTime> valid_until{};  ///< from then on it may do nothing
    bool second_factor = false;                  ///< one is enrolled, and every sign-in asks for it
    bool must_change_password = false;           ///< no session before the password is changed
    bool password_is_short = false;              ///< it is enough beside a second factor only
    base::UtcTime created_at{};
    base::UtcTime updated_at{};
    friend bool operator==(const Account&, const Account&) = default;
};

/// What a client claims about its device at sign-in. Each at most 200 bytes of UTF-8.
struct DeviceClaims {
    std::string device_id{}, name{}, brand{}, model{}, os{}, language{};
    friend bool operator==(const DeviceClaims&, const DeviceClaims&) = default;
};

/// One destination of an app.
struct DestinationPattern {
    enum class Kind { exact_name, wildcard_name, block };
    Kind kind = Kind::exact_name;
    std::string name;  ///< exact: the name; wildcard "*.crm.example": "crm.example"
    base::Cidr block;  ///< of Kind::block: a literal address or CIDR
    std::uint16_t first_port = 0;
    std::uint16_t last_port = 0;

    /// "host:port", "*.domain:port", "CIDR:port", "[v6]:port", "[v6 CIDR]:port"; port a number or "first-last". nullopt
    /// when malformed.
    static std::optional<DestinationPattern> parse(std::string_view text);
    std::string to_string() const;
    bool matches(const base::Destination& destination) const noexcept;
    friend bool operator==(const DestinationPattern&, const DestinationPattern&) = default;
};

/// What becomes of an app's accesses while the gateway cannot know what was changed elsewhere: its database does not
/// answer, so nobody can be cut off through it.
struct ControlLoss {
    enum class Action { go_on, refuse_new, close };
    Action action = Action::go_on;
    base::Microseconds after{0};  ///< since what is known here was last shown to be current; 0 for go_on
    /// "continue", "refuse_new after 30s", "close after 5m"; 10 s to a day. nullopt for anything else.
    static std::optional<ControlLoss> parse(std::string_view text);
    std::string to_string() const;
    friend bool operator==(const ControlLoss&, const ControlLoss&) = default;
};

/// A named enterprise application.
struct App {
    std::string name;
    std::vector<DestinationPattern> destinations;
    std::vector<base::Cidr> allow_addresses;
    ControlLoss on_control_loss{};
    base::UtcTime updated_at{};
    friend bool operator==(const App&, const App&) = default;
};

/// A department: a part of the enterprise that may lie in another one. An account is in the department whose code it
/// has; an account's code that is no department's stands for itself alone.
struct Department {
    std::string code;    ///< as accounts and rules have it
    std::string name;    ///< for people; may be empty
    std::string parent;  ///< the code of the one that it lies in; empty: at the top
    base::UtcTime updated_at{};
    friend bool operator==(const Department&, const Department&) = default;
};

/// What is known of an attempt, apart from who makes it.
struct Context {
    std::optional<base::IpAddress> client_address{};
    std::optional<base::UtcTime> time{};
    std::optional<base::Microseconds> second_factor_age{};  ///< since the session's second factor; none: it has none
    std::optional<DeviceState> device{};  ///< of the enrolled device that the session is bound to; none: to none
    PosturePtr posture{};                 ///< what the session's agent has said of the device; null: nothing
};

/// The conditions of a rule, in the order in which they are compared.
enum class RuleField { account, group, department, role, network, time, device, posture, second_factor };

/// What a rule asks besides whom it is about, as Rule says it. Refers to lists that are kept elsewhere.
struct AskedBesides {
    std::span<const base::Cidr> networks{};
    std::span<const TimeWindow> times{};
    std::span<const DeviceState> devices{};
    std::span<const PostureTest> posture{};
    std::optional<base::Microseconds> mfa_within{};

    /// The first condition that is not met; nullopt when all are.
    std::optional<RuleField> first_unmet(const Context& context) const noexcept;
    friend bool operator==(const AskedBesides& a, const AskedBesides& b) noexcept;
};

/// Matches when each list that is not empty holds what the attempt has: the account's value byte for byte (of
/// departments also one that the account's department lies in), an address
/// within a network, a moment within a window, the state of the enrolled device; and each condition of the posture
/// holds, and the second factor is young enough, where that is asked. What is not known is in no list. A rule without a
/// list matches nobody.
struct Rule {
    std::vector<std::string> accounts, groups, departments;
    std::vector<Role> roles{};
    std::vector<base::Cidr> networks{};  ///< of the client's address, as the gateway sees it
    std::vector<TimeWindow> times{};
    std::vector<DeviceState> devices{};  ///< those of may_sign_in()
    std::vector<PostureTest> posture{};  ///< all of them must hold. Counts for nothing where there is no list.
    /// The second factor must be younger. Of allow rules only; counts for nothing where there is no list.
    std::optional<base::Microseconds> mfa_within{};

    bool empty() const noexcept;
    /// The first condition that is not met; nullopt when the rule matches. `above`: the codes of the departments that
    /// the account's department lies in.
    std::optional<RuleField> first_unmet(const Account& account, const Context& context,
                                         std::span<const std::string> above = {}) const noexcept;
    /// The same of the conditions that say whom the rule is about: accounts, groups, departments and roles.
    std::optional<RuleField> first_unmet_by_whom(const Account& account,
                                                 std::span<const std::string> above) const noexcept;
    /// The others.
    AskedBesides besides() const noexcept { return {networks, times, devices, posture, mfa_within}; }
    bool matches(const Account& account, const Context& context,
                 std::span<const std::string> above = {}) const noexcept {
        return !first_unmet(account, context, above);
    }
    friend bool operator==(const Rule&, const Rule&) = default;
};

/// A test that stands in a policy: what the whole directory has to decide, before a change of it is accepted.
struct Expectation {
    std::string account;  ///< canonical username
    std::string app;
    Context context{};  ///< what is left out is not known
    bool allow = false;
    friend bool operator==(const Expectation& a, const Expectation& b) {
        return a.account == b.account && a.app == b.app && a.allow == b.allow && a.context.time == b.context.time &&
               a.context.client_address == b.context.client_address &&
               a.context.second_factor_age == b.context.second_factor_age && a.context.device == b.context.device &&
               (a.context.posture && b.context.posture ? *a.context.posture == *b.context.posture
                                                       : a.context.posture == b.context.posture);
    }
};

struct Policy {
    std::string name;
    std::vector<std::string> apps;
    std::vector<Rule> allow, deny;
    std::vector<Expectation> expect{};
    base::UtcTime updated_at{};
    friend bool operator==(const Policy&, const Policy&) = default;
};

}  // namespace usher::auth
