#include "clients/common/gateway_call.hpp"

#include <array>

#include "base/text.hpp"
#include "clients/common/json.hpp"

namespace usher::clients {

using base::Errc;
using base::Result;

namespace {

using std::chrono::seconds;

constexpr seconds call_timeout{30};
constexpr seconds tunnel_timeout{60};  // the gateway may resolve, dial and wait for its journal

Deadline in(seconds time) { return std::chrono::steady_clock::now() + time; }

Result<void> read_answer(TlsConnection& connection, HttpResponseParser& parser, Deadline deadline,
                         const StopSignal* stop) {
    std::array<char, 16 * 1024> bytes{};
    while (true) {
        auto got = connection.read_some(bytes, deadline, stop);
        if (!got) return {got.error().code, "the gateway did not answer: " + got.error().message};
        if (*got == 0) return parser.end();
        auto complete = parser.feed({bytes.data(), *got});
        if (!complete) return std::move(complete).error();
        if (*complete) return {};
    }
}

Errc code_of(int status) {
    switch (status) {
        case 400:
            return Errc::invalid_argument;
        case 401:
        case 407:
            return Errc::unauthenticated;
        case 403:
            return Errc::permission_denied;
        case 429:
            return Errc::resource_exhausted;
        default:
            return Errc::unavailable;
    }
}

}  // namespace

Result<GatewayAnswer> call_gateway(const TlsTrust& trust, const Endpoint& gateway, const GatewayRequest& request,
                                   const StopSignal* stop) {
    const Deadline deadline = in(call_timeout);
    auto connection = TlsConnection::connect(trust, gateway, deadline, stop);
    if (!connection) return std::move(connection).error();
    std::string text;
    text.reserve(1024 + request.json_body.size());  // so that no reallocation leaves a copy of a secret behind
    text.append(request.method)
        .append(" ")
        .append(request.path)
        .append(" HTTP/1.1\r\nHost: ")
        .append(gateway.to_string());
    text.append("\r\nUser-Agent: usher/" USHER_VERSION "\r\nAccept: application/json\r\nConnection: close\r\n");
    if (request.token != nullptr) text.append("Authorization: Bearer ").append(request.token->reveal()).append("\r\n");
    if (!request.json_body.empty())
        text.append("Content-Type: application/json\r\nContent-Length: ")
            .append(std::to_string(request.json_body.size()))
            .append("\r\n");
    text.append("\r\n").append(request.json_body);
    auto sent = connection->write_all(text, deadline, stop);
    base::wipe(text);
    if (!sent) return {sent.error().code, "cannot ask the gateway: " + sent.error().message};
    HttpResponseParser parser(false);
    if (auto read = read_answer(*connection, parser, deadline, stop); !read) return std::move(read).error();
    return GatewayAnswer{parser.head(), parser.body()};
}

Result<Tunnel> open_tunnel(const TlsTrust& trust, const Endpoint& gateway, const Endpoint& destination,
                           const base::Secret& token, const StopSignal* stop) {
    const Deadline deadline = in(tunnel_timeout);
    auto connection = TlsConnection::connect(trust, gateway, deadline, stop);
    if (!connection) return std::move(connection).error();
    const std::string target = destination.to_string();
    std::string text;
    text.reserve(2048);
    text.append("CONNECT ").append(target).append(" HTTP/1.1\r\nHost: ").append(target);
    text.append("\r\nUser-Agent: usher/" USHER_VERSION "\r\nProxy-Authorization: Bearer ").append(token.reveal());
    text.append("\r\n\r\n");
    auto sent = connection->write_all(text, deadline, stop);
    base::wipe(text);
    if (!sent) return {sent.error().code, "cannot ask the gateway: " + sent.error().message};
    HttpResponseParser parser(true);
    if (auto read = read_answer(*connection, parser, deadline, stop); !read) return std::move(read).error();
    if (!parser.head().is_success()) return {code_of(parser.head().status), refusal_text(parser.head(), parser.body())};
    return Tunnel{std::move(*connection), parser.rest()};
}

std::string refusal_text(const HttpHead& head, std::string_view body) {
    const auto type = head.field("content-type").value_or("");
    std::string words;
    if (type.substr(0, 10) == "text/plain") {
        while (!body.empty() && (body.back() == '\n' || body.back() == '\r')) body.remove_suffix(1);
        words = base::escape_for_terminal(body.substr(0, body.find('\n')), 500);
    }
    if (type.substr(0, 16) == "application/json") {
        const auto object = parse_json_object(body);
        if (object) words = base::escape_for_terminal(json_text(*object, "error").value_or(""), 500);
    }
    if (words.empty()) {
        if (const auto status = head.field("proxy-status")) words = base::escape_for_terminal(*status, 500);
    }
    std::string line = "the gateway answered " + std::to_string(head.status);
    if (!words.empty()) line += ": " + words;
    if (const auto wait = head.field("retry-after")) {
        if (const auto after = base::parse_unsigned(*wait, 1'000'000))
            line += "; try again in " + std::to_string(*after) + " s";
    }
    return line;
}

}  // namespace usher::clients
