#include "gateway/api_answer.hpp"

#include "base/secret.hpp"
#include "base/text.hpp"
#include "gateway/worker.hpp"
#include "wire/http1/authorization.hpp"

namespace usher::gateway {
namespace asio = boost::asio;
using wire::http1::Response;

namespace {
constexpr std::size_t body_bytes_max = 8 * 1024;
}  // namespace

asio::awaitable<bool> answer(Exchange& exchange, Response response, bool keep) {
    if (!keep) response.close();
    const bool sent = co_await exchange.send(response);
    co_return sent&& keep;
}

Response failure(int status, std::string_view code) {
    Response response(status);
    response.no_store().json("{\"error\":" + base::json_quote(code) + "}");
    if (status == 401) response.challenge();
    return response;
}

asio::awaitable<bool> fail(Exchange& exchange, int status, std::string_view code, bool keep) {
    return answer(exchange, failure(status, code), keep);
}

asio::awaitable<bool> fail_throttled(Exchange& exchange, base::Microseconds retry_after, bool keep,
                                     std::string_view code) {
    Response response = failure(429, code);
    // In whole seconds (RFC 9110 section 10.2.3), and not before there is something to be had.
    response.field("retry-after", std::to_string((retry_after.count() + 999'999) / 1'000'000));
    return answer(exchange, std::move(response), keep);
}

Response success(const std::string& json, int status) {
    Response response(status);
    response.no_store().json(json);
    return response;
}

Credential credential_of(const wire::http1::Request& request) {
    const std::string* value = request.field("authorization");
    if (value == nullptr) return std::monostate{};
    auto parsed = wire::http1::parse_authorization(*value);
    if (auto* bearer = std::get_if<wire::http1::Bearer>(&parsed)) return std::move(*bearer);
    // The API knows Bearer only (RFC 6750): a Basic password here would be an invitation to send real passwords.
    return std::monostate{};
}

std::optional<Gatekeeper::Subject> authenticate(Exchange& exchange, const wire::http1::Request& request) {
    auto& gatekeeper = exchange.worker().services().gatekeeper;
    auto outcome = gatekeeper.authenticate(credential_of(request), exchange.peer());
    if (auto misused = gatekeeper.misuse_record(outcome, exchange.peer()))
        exchange.worker().record_denial(std::move(*misused));
    return std::move(outcome.subject);
}

asio::awaitable<std::optional<wire::http1::JsonObject>> read_form(Exchange& exchange,
                                                                  const wire::http1::Request& request) {
    const std::string* type = request.field("content-type");
    const auto is_json = [](std::string_view t) {
        return base::to_lower(t.substr(0, t.find(';'))) == "application/json";
    };
    int status = 0;
    std::string_view code;
    std::string body;
    if (type == nullptr || !is_json(*type)) {
        status = 415;
        code = "content-type-must-be-application/json";
    } else if (request.content_length == 0) {
        status = 400;
        code = "body-missing";
    } else if (request.content_length > body_bytes_max) {
        status = 413;
        code = "body-too-large";
    } else {
        if (!co_await exchange.read_body(static_cast<std::size_t>(request.content_length), body))
            co_return std::nullopt;
        exchange.clear_deadline();
        auto parsed = wire::http1::parse_json_object(body);
        base::wipe(body);
        if (parsed) co_return std::move(*parsed);
        status = 400;
        code = "malformed-json";
    }
    co_await fail(exchange, status, code, false);
    co_return std::nullopt;
}

}  // namespace usher::gateway
