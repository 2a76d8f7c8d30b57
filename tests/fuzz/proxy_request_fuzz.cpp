#include <string>
#include <variant>

#include "clients/usher/up/proxy_request.hpp"
#include "clients/usher/up/request_body.hpp"
#include "tests/fuzz/require.hpp"

using namespace usher::clients::agent;
using usher::fuzz::require;

/// A program's request to the local proxy, and what it sends behind it: what is handed on has one head, for the
/// destination that was judged, and where its content ends does not depend on how the bytes were cut.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto input = usher::fuzz::text_of(data, size);
    const auto end = input.find("\r\n\r\n");
    const auto head = input.substr(0, end == std::string_view::npos ? input.size() : end + 4);
    const auto content = input.substr(head.size());
    auto request = parse_proxy_request(head);
    if (const auto* rejection = std::get_if<usher::wire::http1::Rejection>(&request)) {
        require(rejection->status >= 400 && rejection->status < 600 && !rejection->reason.empty());
        return 0;
    }
    require(end != std::string_view::npos);
    if (const auto* connect = std::get_if<ConnectRequest>(&request)) {
        require(connect->destination.port != 0 && !connect->destination.host.empty());
        return 0;
    }
    const auto* forward = std::get_if<ForwardRequest>(&request);
    if (forward == nullptr) return 0;
    require(forward->head.find("\r\n\r\n") == forward->head.size() - 4);
    require(forward->head.find("\nproxy-authorization:") == std::string::npos);
    require(forward->head.find("\r\nConnection: close\r\n") != std::string::npos);
    // What is handed on is one request in origin-form. A path that the agent itself has no use for is the app's matter.
    auto again = parse_proxy_request(forward->head);
    const auto* rejection = std::get_if<usher::wire::http1::Rejection>(&again);
    require(std::holds_alternative<LocalRequest>(again) || rejection->reason == "too-many-fields" ||
            rejection->reason == "target");

    RequestBody whole(forward->body), cut(forward->body);
    const std::size_t taken = whole.take(content);
    std::size_t bytewise = 0;
    for (const char& c : content) {
        const std::size_t n = cut.take({&c, 1});
        bytewise += n;
        if (n == 0) break;
    }
    require(taken == bytewise && whole.over() == cut.over() && whole.malformed() == cut.malformed());
    require(taken <= content.size());
    return 0;
}
