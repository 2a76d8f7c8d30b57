#include "clients/common/table.hpp"

#include "catch.hpp"

using namespace usher::clients;

TEST_CASE("columns are aligned, numbers to the right, and an empty cell is a dash") {
    Table table({{"NAME"}, {"BYTES", true}, {"WHY"}});
    table.add({"crm", "7", "x"});
    table.add({"", "12345", ""});
    CHECK(table.render() ==
          "NAME  BYTES  WHY\n"
          "crm       7  x\n"
          "-     12345  -\n");
}

TEST_CASE("a second page has no titles and the widths of the first") {
    Table table({{"A"}, {"B"}});
    table.add({"1234", "x"});
    (void)table.render();
    table.add({"1", "y"});
    CHECK(table.render() == "1     y\n");
}

TEST_CASE("wide characters take two columns and combining marks none") {
    CHECK(display_width("abc") == 3);
    CHECK(display_width("\xe5\xbc\xa0\xe4\xbc\x9f") == 4);
    CHECK(display_width("e\xcc\x81") == 1);
}

TEST_CASE("a cell cannot command the terminal") {
    Table table({{"A"}, {"B"}});
    table.add({"a\x1b[2Jb",
               "\xe2\x80\xae"
               "abc"});
    const auto text = table.render();
    CHECK(text.find('\x1b') == std::string::npos);
    CHECK(text.find("\xe2\x80\xae") == std::string::npos);
    KeyValues rows;
    rows.add("key", "a\nb");
    CHECK(rows.render() == "key:  a\\x0ab\n");
}

TEST_CASE("CSV quotes what RFC 4180 wants quoted") {
    CsvRow row;
    row.add_text("plain");
    row.add_text("a,b");
    row.add_text("say \"x\"");
    row.add_text("two\nlines");
    row.add_text("");
    CHECK(std::move(row).finish() == "plain,\"a,b\",\"say \"\"x\"\"\",\"two\nlines\",\r\n");
}

TEST_CASE("CSV text that a spreadsheet would compute gets an apostrophe, numbers do not") {
    CsvRow row;
    for (const char* text : {"=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\r=1"}) row.add_text(text);
    row.add_plain("-5");
    CHECK(std::move(row).finish() == "'=1+1,'+1,'-1,'@SUM(A1),'\tx,\"'\r=1\",-5\r\n");
}

TEST_CASE("figures for people are short") {
    CHECK(human_bytes(0) == "0 B");
    CHECK(human_bytes(1023) == "1023 B");
    CHECK(human_bytes(1024) == "1.0 KiB");
    CHECK(human_bytes(1536) == "1.5 KiB");
    CHECK(human_bytes(104'857'600) == "100 MiB");
    CHECK(human_bytes(1'073'741'823) == "1.0 GiB");
    CHECK(human_bytes(UINT64_MAX) == "16 EiB");
    CHECK(human_duration(850) == "850 us");
    CHECK(human_duration(12'345) == "12 ms");
    CHECK(human_duration(3'450'000) == "3.4 s");
    CHECK(human_duration(312'000'000) == "5m12s");
    CHECK(human_duration(7'380'000'000) == "2h03m");
    CHECK(human_duration(-12'345) == "-12 ms");
}
