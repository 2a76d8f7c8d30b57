#include "wire/socks5/handshake.hpp"

#include "catch.hpp"

using usher::wire::socks5::Handshake;
using usher::wire::socks5::Reply;
using State = Handshake::State;

namespace {

std::string bytes(std::initializer_list<int> values) {
    std::string out;
    for (const int value : values) out.push_back(static_cast<char>(value));
    return out;
}

const std::string greeting = bytes({5, 1, 0});
const std::string accepted = bytes({5, 0});

std::string by_name(const std::string& name, int port) {
    return bytes({5, 1, 0, 3, static_cast<int>(name.size())}) + name + bytes({port >> 8, port & 0xff});
}

struct Outcome {
    State state;
    std::string output, destination, reason;
    std::size_t consumed = 0;
    friend bool operator==(const Outcome&, const Outcome&) = default;
};

Outcome run(const std::string& all, std::size_t piece) {
    Handshake handshake;
    Outcome outcome{State::need_more, {}, {}, {}, 0};
    for (std::size_t at = 0; at < all.size() && handshake.state() == State::need_more; at += piece) {
        std::size_t consumed = 0;
        outcome.state = handshake.feed(std::string_view(all).substr(at, piece), consumed);
        outcome.consumed += consumed;
        outcome.output += handshake.take_output();
    }
    if (outcome.state == State::request) outcome.destination = handshake.destination().to_string();
    outcome.reason = handshake.reason();
    return outcome;
}

/// The same however the bytes are cut.
Outcome run(const std::string& all) {
    const Outcome whole = run(all, all.size());
    for (std::size_t piece = 1; piece < all.size(); ++piece) CHECK(run(all, piece) == whole);
    return whole;
}

}  // namespace

TEST_CASE("a SOCKS5 client asks for a name, an IPv4 and an IPv6 address") {
    auto outcome = run(greeting + by_name("CRM.corp.Example.", 443) + "early");
    CHECK(outcome.state == State::request);
    CHECK(outcome.output == accepted);
    CHECK(outcome.destination == "crm.corp.example:443");
    CHECK(outcome.consumed == greeting.size() + by_name("CRM.corp.Example.", 443).size());

    CHECK(run(greeting + bytes({5, 1, 0, 1, 10, 20, 0, 7, 0x15, 0x38})).destination == "10.20.0.7:5432");
    CHECK(run(greeting + bytes({5, 1, 0, 4, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 22}))
              .destination == "[2001:db8::1]:22");
    CHECK(run(bytes({5, 3, 2, 1, 0}) + by_name("a", 65535)).destination == "a:65535");
}

TEST_CASE("an address that a SOCKS5 client writes as a name is that address") {
    CHECK(run(greeting + by_name("10.0.0.1", 80)).destination == "10.0.0.1:80");
    CHECK(run(greeting + by_name("2001:db8::1", 80)).destination == "[2001:db8::1]:80");
    // An IPv4-mapped address is the IPv4 address that it reaches.
    CHECK(run(greeting + bytes({5, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1, 0, 22}))
              .destination == "127.0.0.1:22");
}

TEST_CASE("what is no SOCKS5 CONNECT without authentication is refused in its words") {
    const auto refusal = [](const std::string& all, const std::string& reason, const std::string& output) {
        const auto outcome = run(all);
        CHECK(outcome.state == State::refused);
        CHECK(outcome.reason == reason);
        CHECK(outcome.output == output);
    };
    refusal(bytes({4, 1, 0, 80, 10, 0, 0, 1, 0}), "no-socks5", "");
    refusal("GET / HTTP/1.1\r\n", "no-socks5", "");
    refusal(bytes({5, 0}), "no-acceptable-method", bytes({5, 0xff}));
    refusal(bytes({5, 2, 1, 2}), "no-acceptable-method", bytes({5, 0xff}));
    refusal(greeting + bytes({4}), "no-socks5", accepted);
    const auto said = [](Reply reply) { return accepted + Handshake::answer(reply); };
    refusal(greeting + bytes({5, 2}), "command-not-supported", said(Reply::command_not_supported));
    refusal(greeting + bytes({5, 3}), "command-not-supported", said(Reply::command_not_supported));
    refusal(greeting + bytes({5, 1, 1}), "reserved-byte", said(Reply::general_failure));
    refusal(greeting + bytes({5, 1, 0, 2}), "address-type-not-supported", said(Reply::address_type_not_supported));
    refusal(greeting + by_name("", 80), "name-malformed", said(Reply::general_failure));
    for (const char* name : {"a b", "2130706433", "0x7f.1", "127.1", "-a", "a..b", "a\xc3\xa4", "[::1]"})
        refusal(greeting + by_name(name, 80), "name-malformed", said(Reply::general_failure));
    refusal(greeting + by_name(std::string("a\0b", 3), 80), "name-malformed", said(Reply::general_failure));
    refusal(greeting + by_name("a", 0), "port-zero", said(Reply::general_failure));
}

TEST_CASE("a SOCKS5 negotiation that stops half-way asks for more and holds little") {
    CHECK(run(bytes({5})).state == State::need_more);
    CHECK(run(bytes({5, 255, 0})).state == State::need_more);
    CHECK(run(greeting + bytes({5, 1, 0, 3, 255}) + std::string(255, 'a')).state == State::need_more);
}

TEST_CASE("the answer to a SOCKS5 request has the size that clients wait for") {
    CHECK(Handshake::answer(Reply::succeeded) == bytes({5, 0, 0, 1, 0, 0, 0, 0, 0, 0}));
    CHECK(Handshake::answer(Reply::not_allowed) == bytes({5, 2, 0, 1, 0, 0, 0, 0, 0, 0}));
}
