#include "clients/usherctl/deletion_text.hpp"

#include "catch.hpp"

using usher::clients::control::deletion_text;

namespace {

usher::v1::PreviewAccountDeletionResponse preview(std::uint64_t here, std::uint64_t elsewhere, std::uint64_t gateways) {
    usher::v1::PreviewAccountDeletionResponse out;
    out.set_username("alice");
    out.set_sessions(1);
    out.set_devices(2);
    out.mutable_open_accesses()->set_here(here);
    out.mutable_open_accesses()->set_elsewhere(elsewhere);
    out.mutable_open_accesses()->set_elsewhere_gateways(gateways);
    return out;
}

const std::string begin = "account alice goes for good, and with it end 1 session, ";
const std::string end = " and 2 enrolled devices.\nWhat it did stays on record.\n";

}  // namespace

TEST_CASE("before a deletion it is said where the accesses are that end") {
    CHECK(deletion_text(preview(0, 0, 0)) == begin + "0 open accesses" + end);
    CHECK(deletion_text(preview(1, 0, 0)) == begin + "1 open access" + end);
    CHECK(deletion_text(preview(0, 1, 1)) ==
          begin + "1 open access (0 at this gateway, 1 at another, as its records say)" + end);
    CHECK(deletion_text(preview(2, 5, 3)) ==
          begin + "7 open accesses (2 at this gateway, 5 at 3 others, as their records say)" + end);
}

TEST_CASE("before a deletion it is said what is not known") {
    auto unknown = preview(2, 0, 0);
    unknown.mutable_open_accesses()->set_elsewhere_error("the database\x1b has not answered in time");
    CHECK(deletion_text(unknown) == begin + "2 open accesses at this gateway" + end +
                                        "What is open at other gateways is not known: the database\\x1b has not "
                                        "answered in time.\n");
    auto neither = unknown;
    neither.mutable_open_accesses()->set_here_error("what serves them has not answered in time");
    CHECK(deletion_text(neither) == begin + "all its accesses" + end +
                                        "What is open at this gateway is not known: what serves them has not answered "
                                        "in time.\nWhat is open at other gateways is not known: the database\\x1b has "
                                        "not answered in time.\n");
    auto others = preview(0, 5, 3);
    others.mutable_open_accesses()->set_here_error("late");
    CHECK(deletion_text(others) == begin + "all its accesses (5 of them at 3 other gateways, as the records say)" +
                                       end + "What is open at this gateway is not known: late.\n");
    auto silent = preview(0, 0, 0);
    silent.mutable_open_accesses()->set_unheard(1);
    CHECK(deletion_text(silent) == begin + "0 open accesses" + end +
                                       "1 more access stands open on record, at other gateways of which nothing has "
                                       "come for 15 minutes: they are gone, or cut off.\n");
}

TEST_CASE("before a deletion the policies are named that speak of the account") {
    auto named = preview(0, 0, 0);
    named.set_display_name("Alice\nA.");
    named.add_policies("hers");
    named.add_policies("theirs");
    CHECK(deletion_text(named) ==
          "account alice (Alice\\x0aA.) goes for good, and with it end 1 session, 0 open accesses" + end +
              "Policies that name it keep doing so, and would count for another account of "
              "this name: hers, theirs.\n");
}
