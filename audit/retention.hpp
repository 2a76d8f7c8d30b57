#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "audit/journal/journal.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"

/// How long a record is kept: the arithmetic, without a database and a clock. docs/retention.md says it for operators.
namespace usher::audit {

/// Each record belongs to one; which one follows from its type. The words are stored: never change one.
enum class RetentionClass { access, sign_in, administration, denial };
constexpr std::array<RetentionClass, 4> retention_classes{RetentionClass::access, RetentionClass::sign_in,
                                                          RetentionClass::administration, RetentionClass::denial};

/// "access", "sign-in", "administration", "denial".
std::string_view to_word(RetentionClass retention_class) noexcept;
std::optional<RetentionClass> parse_retention_class(std::string_view word) noexcept;
RetentionClass class_of(RecordType type) noexcept;

/// Both bounds in days of 24 hours.
struct RetentionSetting {
    RetentionClass retention_class{};
    std::int64_t min_days = 0;             ///< the floor: nothing younger goes, whoever asks
    std::optional<std::int64_t> max_days;  ///< the ceiling: what is older goes; none: kept for ever
    friend bool operator==(const RetentionSetting&, const RetentionSetting&) = default;
};

/// A century: far beyond any law, and far within what the arithmetic can hold.
constexpr std::int64_t retention_days_max = 36'525;

/// The floor that no setting may undercut. Accesses, sign-ins and denials are the network's logs and its security
/// events: 183 days (Cybersecurity Law of the People's Republic of China, Article 21 (3): not less than six months).
/// What administrators did: 365 days (PCI DSS 4.0, 10.5.1: at least 12 months).
std::int64_t built_in_min_days(RetentionClass retention_class) noexcept;
/// What holds until somebody applies something else: the built-in floor, and no ceiling.
RetentionSetting default_setting(RetentionClass retention_class) noexcept;

/// invalid_argument, beginning with "min_days: " or "max_days: ", where the floor is below the built-in one, the
/// ceiling below the floor, or either beyond a century.
base::Result<void> validate(const RetentionSetting& setting);

/// What was over before this may go; nullopt: everything is kept. Never later than the floor allows, whatever the
/// setting says.
std::optional<base::UtcTime> cutoff(const RetentionSetting& setting, base::UtcTime now) noexcept;

/// How many records of a class the store holds, and since when. All times are the records' own: the clock of a run
/// may be wrong.
struct Volume {
    std::uint64_t records = 0;         ///< recorded in (newest - window, newest]
    base::UtcTime oldest{}, newest{};  ///< of all of the class
    static constexpr base::Microseconds window{7LL * 86'400'000'000};
};
/// Records a day, rounded up; the days that are counted begin with the oldest record, and are one at least.
std::uint64_t expected_daily(const Volume& volume) noexcept;

/// What a run would do with one class.
struct ClassPlan {
    RetentionClass retention_class{};
    std::optional<base::UtcTime> cutoff;  ///< nullopt: kept for ever
    std::uint64_t removable = 0;          ///< past the ceiling, and no hold keeps them
    std::uint64_t held = 0;               ///< past the ceiling, and kept by a hold
    std::uint64_t expected_daily = 0;
    std::optional<base::UtcTime> oldest_removable;
};

/// A run may remove so many days' worth without being confirmed: one day's, and one that was missed.
constexpr std::int64_t unconfirmed_days_max = 2;
/// So few records are never too many for one day: in a small store a day is often three times another one.
constexpr std::uint64_t unconfirmed_records_always = 100;

/// The guard: why a person must confirm the run, in a sentence; nullopt: it may go on. A wall clock that is wrong makes
/// the whole record look expired; so does a ceiling that was mistyped. It objects to more than twice the expected
/// volume of a day, and to a removal that reaches over more than two days of records.
std::optional<std::string> objection(const ClassPlan& plan);

}  // namespace usher::audit
