#include "audit/retention.hpp"

#include "catch.hpp"

using namespace usher;
using audit::RetentionClass;
using base::Microseconds;

namespace {

constexpr Microseconds day{86'400'000'000};
const base::UtcTime noon = base::from_micros(1'750'000'000'000'000);

std::string why(const audit::RetentionSetting& setting) {
    const auto valid = audit::validate(setting);
    return valid ? "" : valid.error().message;
}

/// A store that has lost one day's records to each daily run until now.
audit::ClassPlan daily(std::uint64_t removable, Microseconds reach) {
    return {RetentionClass::access, noon, removable, 0, 1000, noon - reach};
}

}  // namespace

TEST_CASE("every type of record has a class, and every class its word") {
    using audit::RecordType;
    for (const auto type : {RecordType::access_opened, RecordType::access_progress, RecordType::access_closed})
        CHECK(audit::class_of(type) == RetentionClass::access);
    CHECK(audit::class_of(RecordType::access_denied) == RetentionClass::denial);
    CHECK(audit::class_of(RecordType::session) == RetentionClass::sign_in);
    CHECK(audit::class_of(RecordType::admin) == RetentionClass::administration);
    CHECK(audit::class_of(RecordType::system) == RetentionClass::administration);
    for (const auto each : audit::retention_classes) CHECK(audit::parse_retention_class(audit::to_word(each)) == each);
    CHECK_FALSE(audit::parse_retention_class("Access"));
    CHECK_FALSE(audit::parse_retention_class(""));
}

TEST_CASE("without a setting a record is kept for ever, and at least as long as the law asks") {
    for (const auto each : audit::retention_classes) {
        const auto setting = audit::default_setting(each);
        CHECK(why(setting).empty());
        CHECK_FALSE(setting.max_days);
        CHECK(setting.min_days >= 183);
        CHECK_FALSE(audit::cutoff(setting, noon));
    }
    CHECK(audit::built_in_min_days(RetentionClass::access) == 183);
    CHECK(audit::built_in_min_days(RetentionClass::administration) == 365);
}

TEST_CASE("a floor below the built-in one, or a ceiling below the floor, is refused") {
    CHECK(why({RetentionClass::access, 182, {}}) ==
          "min_days: is 182 days; records of class 'access' must be kept for at least 183 days");
    CHECK(why({RetentionClass::access, 183, {}}).empty());
    CHECK(why({RetentionClass::access, -1, {}}).starts_with("min_days: "));
    CHECK(why({RetentionClass::access, 200, 199}) ==
          "max_days: is 199 days, below the floor of class 'access', 200 days");
    CHECK(why({RetentionClass::access, 200, 200}).empty());
    CHECK(why({RetentionClass::administration, 365, 364}).starts_with("max_days: "));
    CHECK(why({RetentionClass::access, audit::retention_days_max + 1, {}}).starts_with("min_days: "));
    CHECK(why({RetentionClass::access, 183, audit::retention_days_max + 1}).starts_with("max_days: "));
    CHECK(why({RetentionClass::access, 183, INT64_MAX}).starts_with("max_days: "));
}

TEST_CASE("the cut-off is the ceiling, and never younger than the floor whatever the row says") {
    CHECK(audit::cutoff({RetentionClass::access, 183, 400}, noon) == noon - 400 * day);
    CHECK(audit::cutoff({RetentionClass::access, 500, 400}, noon) == noon - 500 * day);
    CHECK(audit::cutoff({RetentionClass::access, 0, 1}, noon) == noon - 183 * day);
    CHECK(audit::cutoff({RetentionClass::access, 0, INT64_MIN}, noon) == noon - 183 * day);
    CHECK(audit::cutoff({RetentionClass::access, 0, INT64_MAX}, noon) == noon - audit::retention_days_max * day);
}

TEST_CASE("an ordinary day is what the last week of records had, by their own times") {
    CHECK(audit::expected_daily({0, {}, {}}) == 0);
    CHECK(audit::expected_daily({700, noon - 400 * day, noon}) == 100);
    CHECK(audit::expected_daily({701, noon - 400 * day, noon}) == 101);
    CHECK(audit::expected_daily({300, noon - 3 * day, noon}) == 100);
    // A store that is an hour old has had one day.
    CHECK(audit::expected_daily({300, noon - day / 24, noon}) == 300);
    CHECK(audit::expected_daily({50, noon, noon}) == 50);
}

TEST_CASE("the guard lets a daily run go on, and one day that was missed") {
    CHECK_FALSE(audit::objection(daily(1000, day)));
    CHECK_FALSE(audit::objection(daily(2000, 2 * day)));
    CHECK_FALSE(audit::objection(daily(0, {})));
    audit::ClassPlan kept = daily(1, day);
    kept.cutoff.reset();
    CHECK_FALSE(audit::objection(kept));
}

TEST_CASE("the guard objects to more than twice an ordinary day") {
    REQUIRE(audit::objection(daily(2001, day)));
    CHECK(*audit::objection(daily(2001, day)) ==
          "class 'access': 2001 records would go, more than twice the 1000 of an ordinary day; that must be confirmed");
    // In a small store days differ.
    auto small = daily(100, day);
    small.expected_daily = 10;
    CHECK_FALSE(audit::objection(small));
    small.removable = 101;
    CHECK(audit::objection(small));
}

TEST_CASE("the guard objects to more than two days of records, however few they are") {
    REQUIRE(audit::objection(daily(1, 2 * day + Microseconds{1})));
    CHECK(audit::objection(daily(1, 2 * day + Microseconds{1}))->find("of 3 days from ") != std::string::npos);
    // A clock that was set to 2099 makes everything look expired.
    audit::ClassPlan wrong = daily(40, {});
    wrong.cutoff = audit::cutoff({RetentionClass::access, 183, 365}, base::from_micros(4'077'000'000'000'000));
    wrong.oldest_removable = noon;
    CHECK(audit::objection(wrong));
}
