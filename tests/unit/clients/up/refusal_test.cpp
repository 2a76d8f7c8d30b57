#include "clients/usher/up/refusal.hpp"

#include "catch.hpp"
#include "clients/usher/up/control_protocol.hpp"
#include "clients/usher/up/local_guard.hpp"

using namespace usher::clients::agent;
using usher::base::Errc;
using usher::wire::socks5::Reply;
using Kind = Refusal::Kind;

TEST_CASE("the gateway's refusal reaches a local program in its own protocol") {
    struct Row {
        int answer, http;
        Reply socks;
    };
    for (const auto& row : {Row{403, 403, Reply::not_allowed}, Row{502, 502, Reply::connection_refused},
                            Row{504, 504, Reply::host_unreachable}, Row{503, 503, Reply::general_failure},
                            Row{429, 503, Reply::general_failure}, Row{407, 503, Reply::general_failure},
                            Row{400, 502, Reply::general_failure}, Row{200, 502, Reply::general_failure},
                            Row{0, 502, Reply::general_failure}}) {
        const auto refusal = Refusal::of_answer(row.answer, "why\n");
        INFO(row.answer);
        CHECK(refusal.http_status() == row.http);
        CHECK(refusal.socks_reply() == row.socks);
    }
    CHECK(Refusal{Kind::signed_out, {}}.http_status() == 503);
    CHECK(Refusal{Kind::unreachable, {}}.http_status() == 503);
    CHECK(Refusal{Kind::unreachable, {}}.socks_reply() == Reply::general_failure);
}

TEST_CASE("the words of a refusal are one line, whatever the gateway sends") {
    CHECK(Refusal::of_answer(403, "no policy allows this\r\nsecond").words == "no policy allows this");
    CHECK(Refusal::of_answer(403, "\x1b[2Jx").words == "\\x1b[2Jx");
    CHECK(Refusal::of_answer(403, std::string(10'000, 'x')).words.size() <= 500);
    CHECK(Refusal::of_answer(502, "").words == "the gateway answered 502");
    CHECK(Refusal::of_answer(407, "whatever").words.find("usher login") != std::string::npos);
}

TEST_CASE("what a command asks the agent is read strictly") {
    CHECK(std::holds_alternative<StatusQuestion>(*parse_question("status")));
    const auto question = parse_question(connect_question("0190-id", "crm.example:443"));
    REQUIRE(question);
    CHECK(std::get<ConnectQuestion>(*question).session_id == "0190-id");
    CHECK(std::get<ConnectQuestion>(*question).destination.to_string() == "crm.example:443");
    for (const char* bad : {"", "status ", "connect", "connect ", "connect id", "connect  a:1", "connect id a",
                            "connect id a:1 b", "connect id 127.1:1", "connect id a:0", "CONNECT id a:1"})
        CHECK_FALSE(parse_question(bad));
}

TEST_CASE("the agent's refusal of a command keeps its kind and its words") {
    const auto through = [](Kind kind) { return error_of_answer(refusal_answer({kind, "these words"})); };
    CHECK(through(Kind::policy).code == Errc::permission_denied);
    CHECK(through(Kind::session_over).code == Errc::unauthenticated);
    CHECK(through(Kind::signed_out).code == Errc::unauthenticated);
    CHECK(through(Kind::unreachable).code == Errc::unavailable);
    CHECK(through(Kind::app_timeout).message == "these words");
    CHECK(error_of_answer("ok").code == Errc::unavailable);
    CHECK(error_of_answer("no denied \x1b[m").message == "\\x1b[m");
}

namespace {
int judged(std::string method, std::string path, std::vector<std::pair<std::string, std::string>> fields) {
    const auto refusal = refuse_local({std::move(method), std::move(path), std::move(fields)}, 1080);
    return refusal ? refusal->status : 200;
}
}  // namespace

TEST_CASE("the PAC file is for programs of this machine and for no web page") {
    CHECK(judged("GET", "/proxy.pac", {{"host", "127.0.0.1:1080"}}) == 200);
    CHECK(judged("GET", "/proxy.pac", {{"host", "127.8.9.1:1080"}}) == 200);
    CHECK(judged("GET", "/proxy.pac", {{"host", "LOCALHOST:1080"}}) == 200);
    CHECK(judged("GET", "/proxy.pac", {{"host", "[::1]:1080"}}) == 200);
    CHECK(judged("GET", "/proxy.pac", {{"host", "localhost:1080"}, {"sec-fetch-site", "none"}}) == 200);
    for (const char* host : {"evil.example:1080", "localhost", "localhost:81", "127.0.0.1.evil.example:1080",
                             "0.0.0.0:1080", "[::]:1080", "192.168.0.1:1080", "", "a@localhost:1080", "[::1:1080"})
        CHECK(judged("GET", "/proxy.pac", {{"host", host}}) == 403);
    CHECK(judged("GET", "/proxy.pac", {}) == 403);
    CHECK(judged("GET", "/proxy.pac", {{"host", "localhost:1080"}, {"host", "localhost:1080"}}) == 403);
    CHECK(judged("GET", "/proxy.pac", {{"host", "localhost:1080"}, {"origin", ""}}) == 403);
    CHECK(judged("GET", "/proxy.pac", {{"host", "localhost:1080"}, {"origin", "null"}}) == 403);
    for (const char* site : {"cross-site", "same-site", "", "x"})
        CHECK(judged("GET", "/proxy.pac", {{"host", "localhost:1080"}, {"sec-fetch-site", site}}) == 403);
    CHECK(judged("GET", "/", {{"host", "localhost:1080"}}) == 404);
    CHECK(judged("HEAD", "/proxy.pac", {{"host", "localhost:1080"}}) == 405);
}
