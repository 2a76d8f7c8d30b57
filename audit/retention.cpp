#include "audit/retention.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace usher::audit {

using base::Errc;
using base::Microseconds;

namespace {

constexpr Microseconds day{86'400'000'000};

std::string days(std::int64_t count) { return std::to_string(count) + (count == 1 ? " day" : " days"); }

}  // namespace

std::string_view to_word(RetentionClass retention_class) noexcept {
    switch (retention_class) {
        case RetentionClass::access:
            return "access";
        case RetentionClass::sign_in:
            return "sign-in";
        case RetentionClass::administration:
            return "administration";
        case RetentionClass::denial:
            return "denial";
    }
    return "access";
}

std::optional<RetentionClass> parse_retention_class(std::string_view word) noexcept {
    for (const auto each : retention_classes)
        if (to_word(each) == word) return each;
    return std::nullopt;
}

RetentionClass class_of(RecordType type) noexcept {
    switch (type) {
        case RecordType::access_opened:
        case RecordType::access_progress:
        case RecordType::access_closed:
            return RetentionClass::access;
        case RecordType::access_denied:
            return RetentionClass::denial;
        case RecordType::session:
            return RetentionClass::sign_in;
        case RecordType::admin:
        case RecordType::system:
            return RetentionClass::administration;
    }
    return RetentionClass::administration;
}

std::int64_t built_in_min_days(RetentionClass retention_class) noexcept {
    return retention_class == RetentionClass::administration ? 365 : 183;
}

RetentionSetting default_setting(RetentionClass retention_class) noexcept {
    return {retention_class, built_in_min_days(retention_class), std::nullopt};
}

base::Result<void> validate(const RetentionSetting& setting) {
    const auto floor = built_in_min_days(setting.retention_class);
    const std::string name(to_word(setting.retention_class));
    if (setting.min_days < floor)
        return {Errc::invalid_argument, "min_days: is " + days(setting.min_days) + "; records of class '" + name +
                                            "' must be kept for at least " + days(floor)};
    if (setting.min_days > retention_days_max)
        return {Errc::invalid_argument,
                "min_days: is " + days(setting.min_days) + ", more than " + days(retention_days_max)};
    if (!setting.max_days) return {};
    if (*setting.max_days < setting.min_days)
        return {Errc::invalid_argument, "max_days: is " + days(*setting.max_days) + ", below the floor of class '" +
                                            name + "', " + days(setting.min_days)};
    if (*setting.max_days > retention_days_max)
        return {Errc::invalid_argument, "max_days: is " + days(*setting.max_days) + ", more than " +
                                            days(retention_days_max) + "; leave it out to keep records for ever"};
    return {};
}

std::optional<base::UtcTime> cutoff(const RetentionSetting& setting, base::UtcTime now) noexcept {
    if (!setting.max_days) return std::nullopt;
    const auto kept = std::clamp(std::max({*setting.max_days, setting.min_days}),
                                 built_in_min_days(setting.retention_class), retention_days_max);
    return now - kept * day;
}

std::uint64_t expected_daily(const Volume& volume) noexcept {
    if (volume.records == 0) return 0;
    const auto first = std::max(volume.oldest, volume.newest - Volume::window);
    const auto seconds = static_cast<std::uint64_t>(std::max(volume.newest - first, day).count() / 1'000'000);
    return (volume.records * 86'400 + seconds - 1) / seconds;
}

std::optional<std::string> objection(const ClassPlan& plan) {
    if (plan.removable == 0 || !plan.cutoff || !plan.oldest_removable) return std::nullopt;
    const std::string name(to_word(plan.retention_class));
    const auto reach = *plan.cutoff - *plan.oldest_removable;
    if (reach > unconfirmed_days_max * day)
        return "class '" + name + "': " + std::to_string(plan.removable) + " records would go, of " +
               days((reach + day - Microseconds{1}) / day) + " from " + base::format_rfc3339(*plan.oldest_removable) +
               " on; more than " + days(unconfirmed_days_max) + " at once must be confirmed";
    if (plan.removable > unconfirmed_records_always && plan.removable > 2 * plan.expected_daily)
        return "class '" + name + "': " + std::to_string(plan.removable) + " records would go, more than twice the " +
               std::to_string(plan.expected_daily) + " of an ordinary day; that must be confirmed";
    return std::nullopt;
}

}  // namespace usher::audit
