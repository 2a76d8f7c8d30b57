#include "gateway/revocation.hpp"

#include "catch.hpp"

namespace usher::test {
namespace {

using gateway::parse_revocations;
using gateway::Revocation;
using gateway::to_line;

Revocation some(Revocation::Kind kind) {
    Revocation r;
    r.kind = kind;
    r.id = "01890000-0000-7000-8000-000000000001";
    r.account_id = "01890000-0000-7000-8000-000000000002";
    if (kind == Revocation::Kind::device_lost) r.device_key.emplace().fill(0xab);
    r.at = base::from_micros(1'700'000'000'123'456);
    r.action = "account.disable";
    r.resource = "accounts/alice";
    r.actor = "a \"quoted\" \\ name";
    r.actor_id = "01890000-0000-7000-8000-000000000003";
    return r;
}

std::string problem(const std::string& text) {
    const auto parsed = parse_revocations(text);
    REQUIRE_FALSE(parsed.ok());
    CHECK(parsed.error().code == base::Errc::data_loss);
    return parsed.error().message;
}

}  // namespace

TEST_CASE("what is kept of a revocation is what is read again") {
    using Kind = Revocation::Kind;
    std::vector<Revocation> all;
    std::string text;
    for (const auto kind :
         {Kind::session, Kind::sessions_of, Kind::account_disabled, Kind::account_deleted, Kind::device_lost}) {
        all.push_back(some(kind));
        text += to_line(all.back()) + "\n";
    }
    const auto parsed = parse_revocations(text);
    REQUIRE(parsed.ok());
    CHECK(*parsed == all);
    CHECK(parse_revocations("")->empty());
}

TEST_CASE("a file of revocations that is not whole is refused, and the error names the line") {
    const auto good = to_line(some(Revocation::Kind::session));
    CHECK(problem(good) == "line 1 has no end; the file was cut");
    CHECK(problem(good + "\n" + good.substr(0, 30) + "\n") == "line 2 is no JSON object of texts");
    CHECK(problem("\n") == "line 1 is no JSON object of texts");
    const auto with = [&](const std::string& from, const std::string& to) {
        auto line = good;
        line.replace(line.find(from), from.size(), to);
        return problem(line + "\n");
    };
    CHECK(with("\"session\"", "\"everybody\"") == "line 1 'kind' is none of the known ones");
    CHECK(with("01890000-0000-7000-8000-000000000001", "x") == "line 1 'id' or 'account_id' is no UUID");
    CHECK(with("1700000000123456", "soon") == "line 1 'at' is no number of microseconds");
    CHECK(with("\"device_key\":\"\"", "\"device_key\":\"ab\"").find("'device_key' is not") != std::string::npos);
    CHECK(with("account.disable", "").find("is missing") != std::string::npos);
    CHECK(with("\"actor_id\"", "\"actor_od\"") == "line 1 has members that are not known, or too few");
    CHECK(with("accounts/alice", std::string(401, 'x')) == "line 1 a text is too long");
    auto device = some(Revocation::Kind::device_lost);
    device.device_key.reset();
    CHECK(problem(to_line(device) + "\n").find("'device_key' is not") != std::string::npos);
}

}  // namespace usher::test
