#include "clients/usherctl/account_file.hpp"

#include "catch.hpp"
#include "clients/usherctl/csv_reader.hpp"

using namespace usher;
using clients::control::parse_account_file;
using clients::control::read_csv;

namespace {

std::string csv_error(std::string_view text) {
    const auto read = read_csv(text);
    return read ? "none" : read.error().message;
}

std::string file_error(std::string_view text) {
    const auto read = parse_account_file(text, "staff.csv");
    return read ? "none" : read.error().message;
}

}  // namespace

TEST_CASE("CSV is read as RFC 4180 has it") {
    const auto read = read_csv("\xef\xbb\xbfname,note\r\n\"a,b\",\"say \"\"no\"\"\"\n\n\"two\nlines\",\r\nlast,x");
    REQUIRE(read);
    REQUIRE(read->size() == 4);
    CHECK((*read)[0].cells == std::vector<std::string>{"name", "note"});
    CHECK((*read)[1].cells == std::vector<std::string>{"a,b", "say \"no\""});
    CHECK((*read)[2].cells == std::vector<std::string>{"two\nlines", ""});
    CHECK((*read)[3].cells == std::vector<std::string>{"last", "x"});
    CHECK((*read)[2].line == 4);
    CHECK((*read)[3].line == 6);
    CHECK(read_csv("")->empty());
    CHECK(read_csv("\n\r\n")->empty());
    CHECK(read_csv("a,")->front().cells.size() == 2);
}

TEST_CASE("CSV that could be read in two ways is refused, with its line") {
    CHECK(csv_error("a,b\nx\n") == "2: has 1 cells, expected 2 as in line 1");
    CHECK(csv_error("a\nb\"c\n") == "2: there is a quote in a cell that does not begin with one");
    CHECK(csv_error("a\n\"b\"c\n") == "2: there is text behind a closing quote, expected a comma");
    CHECK(csv_error("a\n\nx\n\"b\nc\n") == "4: a quote is opened here and never closed");
    CHECK(csv_error("a\rb\n") == "1: holds a carriage return that ends no line");
    CHECK(csv_error("a\n\xff\n") == "2: is not UTF-8");
    CHECK(csv_error(std::string_view("a\0b\n", 4)) == "1: holds a NUL");
    CHECK(csv_error(std::string(100, ',')) == "1: has more than 100 cells");
    CHECK(csv_error(std::string(20'000, 'x')) == "1: a cell is longer than 16384 bytes");
}

TEST_CASE("accounts are read from CSV") {
    const auto read = parse_account_file(
        "username,groups,role,valid_until,display_name\n"
        "alice,staff; sales,auditor,2027-01-01T00:00:00Z,\"Lidell, Alice\"\n"
        "bob,,employee,,\n",
        "staff.csv");
    REQUIRE(read);
    CHECK(read->columns == std::vector<std::string>{"groups", "role", "valid_until", "display_name"});
    REQUIRE(read->accounts.size() == 2);
    const auto& alice = read->accounts[0];
    CHECK(alice.username() == "alice");
    CHECK(alice.display_name() == "Lidell, Alice");
    CHECK(alice.groups_size() == 2);
    CHECK(alice.groups(1) == "sales");
    CHECK(alice.role() == v1::Role::AUDITOR);
    CHECK(alice.valid_until().seconds() == 1798761600);
    CHECK(read->accounts[1].groups_size() == 0);
    CHECK_FALSE(read->accounts[1].has_valid_until());
    CHECK(read->located(1, "role: no") == "staff.csv:3: role: no");
}

TEST_CASE("a file of accounts that is wrong is told by line and column") {
    CHECK(file_error("") == "staff.csv:1: is empty; the first line names the columns");
    CHECK(file_error("username\n") == "staff.csv:1: no account follows the line that names the columns");
    CHECK(file_error("user name,role\na,b\n")
              .find("staff.csv:1: there is no column 'user name'; did you mean 'username'?") == 0);
    CHECK(file_error("username,status\na,b\n")
              .find("staff.csv:1: there is no column 'status'; the first line names them: username,") == 0);
    CHECK(file_error("role\nemployee\n") ==
          "staff.csv:1: there is no column 'username'; the first line names the columns");
    CHECK(file_error("username,role,role\na,b,c\n") == "staff.csv:1: column 'role' is given twice");
    CHECK(file_error("username,role\n\nalice,boss\n") ==
          "staff.csv:3: role: 'boss' is no role; expected employee, auditor, privacy-officer or administrator");
    CHECK(file_error("username,role\nalice,\n") ==
          "staff.csv:2: role: '' is no role; expected employee, auditor, privacy-officer or administrator");
    CHECK(file_error("username,valid_from\nalice,tomorrow\n") ==
          "staff.csv:2: valid_from: 'tomorrow' is no time; expected one such as 2026-12-01T00:00:00Z");
    CHECK(file_error("username,groups\nalice,a;;b\n") == "staff.csv:2: groups: has an empty group between its ';'");
    CHECK(file_error("username\nalice,x\n") == "staff.csv:2: has 2 cells, expected 1 as in line 1");
    CHECK(file_error(std::string(17 * 1024 * 1024, 'x')) == "staff.csv: is longer than 16 MiB");
}
