#include "auth/time_window.hpp"

#include "base/text.hpp"
#include "catch.hpp"

using namespace usher;
using auth::TimeWindow;

namespace {

bool holds(const char* window, const char* time) {
    return TimeWindow::parse(window).value().contains(base::parse_rfc3339(time).value());
}

std::string canonical(const char* window) {
    const auto parsed = TimeWindow::parse(window);
    return parsed ? parsed->to_string() : "";
}

}  // namespace

TEST_CASE("a window is hours of days of the week by the clocks of its zone") {
    const char* office = "mon-fri 08:00-18:00 Asia/Shanghai";  // UTC+8
    CHECK(holds(office, "2026-11-24T00:00:00Z"));              // Tuesday 08:00
    CHECK_FALSE(holds(office, "2026-11-23T23:59:59.999999Z"));
    CHECK(holds(office, "2026-11-24T09:59:59Z"));
    CHECK_FALSE(holds(office, "2026-11-24T10:00:00Z"));
    CHECK_FALSE(holds(office, "2026-11-28T02:00:00Z"));  // Saturday
    CHECK(holds("sun 00:00-24:00 UTC", "2026-11-29T23:59:59Z"));
    CHECK_FALSE(holds("sun 00:00-24:00 UTC", "2026-11-30T00:00:00Z"));
}

TEST_CASE("a window over midnight belongs to the day on which it begins") {
    const char* night = "fri 22:00-06:00 UTC";
    CHECK(holds(night, "2026-11-27T22:00:00Z"));  // Friday
    CHECK(holds(night, "2026-11-28T05:59:00Z"));
    CHECK_FALSE(holds(night, "2026-11-28T06:00:00Z"));
    CHECK_FALSE(holds(night, "2026-11-27T05:00:00Z"));
    CHECK_FALSE(holds(night, "2026-11-28T23:00:00Z"));
    CHECK(holds("sun 22:00-06:00 UTC", "2026-11-30T01:00:00Z"));  // Monday morning
}

TEST_CASE("a window follows summer time") {
    const char* morning = "daily 09:00-10:00 Europe/Berlin";
    CHECK(holds(morning, "2026-07-01T07:30:00Z"));
    CHECK_FALSE(holds(morning, "2026-07-01T08:30:00Z"));
    CHECK(holds(morning, "2026-12-01T08:30:00Z"));
    CHECK_FALSE(holds(morning, "2026-12-01T07:30:00Z"));
    // 02:30 does not exist on this day, and exists twice on that.
    const char* gap = "daily 02:00-03:00 Europe/Berlin";
    CHECK_FALSE(holds(gap, "2026-03-29T00:59:00Z"));
    CHECK_FALSE(holds(gap, "2026-03-29T01:00:00Z"));
    CHECK(holds(gap, "2026-10-25T00:30:00Z"));
    CHECK(holds(gap, "2026-10-25T01:30:00Z"));
}

TEST_CASE("a window has one canonical text, which is read back") {
    CHECK(canonical("mon,tue,wed 08:00-09:30 UTC") == "mon-wed 08:00-09:30 UTC");
    CHECK(canonical("mon-sun 00:00-24:00 UTC") == "daily 00:00-24:00 UTC");
    CHECK(canonical("mon,wed-fri,sun 23:00-01:00 Asia/Shanghai") == "mon,wed-fri,sun 23:00-01:00 Asia/Shanghai");
    CHECK(TimeWindow::parse("mon,tue 08:00-09:00 UTC") == TimeWindow::parse("mon-tue 08:00-09:00 UTC"));
    CHECK_FALSE(TimeWindow::parse("mon 08:00-09:00 UTC") == TimeWindow::parse("mon 08:00-09:00 Etc/UTC"));
}

TEST_CASE("what is not exactly a window is refused") {
    for (const char* text : {"",
                             "daily",
                             "daily 08:00-18:00",
                             "08:00-18:00 UTC",
                             "daily 8:00-18:00 UTC",
                             "daily 08:00-08:00 UTC",
                             "daily 24:00-08:00 UTC",
                             "daily 08:00-00:00 UTC",
                             "daily 08:00-24:01 UTC",
                             "daily 08:60-09:00 UTC",
                             "daily 08:00 - 09:00 UTC",
                             "daily  08:00-09:00 UTC",
                             "daily 08:00-09:00 UTC ",
                             "daily 08:00-09:00 utc",
                             "daily 08:00-09:00 Mars/Olympus",
                             "daily 08:00-09:00 ../../etc/passwd",
                             "daily 08:00-09:00 /etc/localtime",
                             "fri-mon 08:00-09:00 UTC",
                             "tue,mon 08:00-09:00 UTC",
                             "mon,mon 08:00-09:00 UTC",
                             "mon, 08:00-09:00 UTC",
                             "Mon 08:00-09:00 UTC",
                             "mon-tue-wed 08:00-09:00 UTC",
                             "daily,mon 08:00-09:00 UTC",
                             "daily -8:00-09:00 UTC"}) {
        INFO(text);
        CHECK_FALSE(TimeWindow::parse(text).has_value());
    }
}
