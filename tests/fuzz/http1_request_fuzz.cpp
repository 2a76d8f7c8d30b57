#include <string>

#include "tests/fuzz/require.hpp"
#include "wire/http1/request_parser.hpp"

using usher::fuzz::require;
using usher::wire::http1::RequestParser;

namespace {

struct Outcome {
    RequestParser parser;
    std::size_t consumed = 0;
};

/// Feeds `bytes` in pieces of `piece` bytes.
Outcome parse(std::string_view bytes, std::size_t piece) {
    Outcome out;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
        std::size_t consumed = 0;
        out.parser.feed(bytes.substr(at, piece), consumed);
        out.consumed += consumed;
    }
    return out;
}

void require_same(Outcome& a, Outcome& b) {
    require(a.parser.state() == b.parser.state());
    require(a.consumed == b.consumed);
    require(a.parser.rejection() == b.parser.rejection());
    require(a.parser.request() == b.parser.request());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = usher::fuzz::text_of(data, size);
    auto whole = parse(bytes, size + 1);
    auto bytewise = parse(bytes, 1);
    auto pieces = parse(bytes, 7);
    require_same(whole, bytewise);
    require_same(whole, pieces);
    if (whole.parser.state() != RequestParser::State::complete) return 0;

    // What was read says the same when it is written down and read again: nothing in it can frame another request.
    auto& request = whole.parser.request();
    require(bytes.substr(whole.consumed - 4, 4) == "\r\n\r\n");
    require((request.method == "CONNECT") == request.destination.has_value());
    std::string again = request.method + ' ' + request.target + (request.field("host") ? " HTTP/1.1" : " HTTP/1.0");
    for (const auto& field : request.fields) again += "\r\n" + field.name + ':' + field.value;
    auto second = parse(again + "\r\n\r\n", again.size() + 4);
    require(second.parser.state() == RequestParser::State::complete);
    require(second.consumed == again.size() + 4);
    second.parser.request().keep_alive = request.keep_alive;  // of the version, which was not kept
    require(second.parser.request() == request);
    return 0;
}
