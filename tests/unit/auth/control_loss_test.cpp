#include "auth/directory.hpp"
#include "catch.hpp"

namespace usher::test {
namespace {

using auth::ControlLoss;
using namespace std::chrono_literals;

TEST_CASE("what an app bears of a loss of control reads back as it was written") {
    CHECK(ControlLoss::parse("continue") == ControlLoss{});
    CHECK(ControlLoss::parse("refuse_new after 30s") == ControlLoss{ControlLoss::Action::refuse_new, 30s});
    CHECK(ControlLoss::parse("close after 60s") == ControlLoss{ControlLoss::Action::close, 1min});
    CHECK(ControlLoss::parse("close after 60s")->to_string() == "close after 1m");
    CHECK(ControlLoss{}.to_string() == "continue");
    for (const auto* text : {"", "close", "close after", "close after ", "close after 9s", "close after 25h",
                             "close after 1m ", "Close after 1m", " close after 1m", "close  after 1m",
                             "refuse after 1m", "refuse_new after 1", "continue after 1m", "close after -1m"})
        CHECK_FALSE(ControlLoss::parse(text));
}

TEST_CASE("a snapshot knows when a loss of control closes anything") {
    const auto app = [](std::string name, std::string_view loss) {
        auth::App made{std::move(name), {*auth::DestinationPattern::parse("host:1")}, {}};
        made.on_control_loss = *ControlLoss::parse(loss);
        return made;
    };
    const auth::DirectorySnapshot snapshot(1, {},
                                           {app("a", "close after 5m"), app("b", "continue"),
                                            app("c", "refuse_new after 10s"), app("d", "close after 20s")},
                                           {});
    CHECK(snapshot.closing_control_losses() == std::vector<base::Microseconds>{20s, 5min});
}

}  // namespace
}  // namespace usher::test
