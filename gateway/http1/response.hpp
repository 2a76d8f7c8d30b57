#pragma once
#include <string>
#include <string_view>

namespace usher::gateway::http1 {

/// An HTTP/1.1 response in the making. No value can break out of its line: bytes that a field value may not hold are
/// written as '?'.
class Response {
public:
    /// `status` is 200 to 599.
    explicit Response(int status);

    /// `name` is a literal token; anything else is a programming error and throws std::invalid_argument.
    Response& field(std::string_view name, std::string_view value);
    /// Connection: close. Every refusal of a malformed request carries it.
    Response& close();
    /// Cache-Control: no-store.
    Response& no_store();
    /// The two challenges of a proxy that knows Bearer and Basic, as two fields, because clients read commas badly.
    Response& proxy_challenge();
    /// WWW-Authenticate: Bearer, for the sign-in API.
    Response& challenge();

    /// The whole response with `body` of that media type and its Content-Length.
    std::string with_body(std::string_view content_type, std::string_view body) const;
    std::string with_json(std::string_view json) const { return with_body("application/json", json); }
    /// One line of text for people; control characters of `line` become '?'.
    std::string with_text(std::string_view line) const;
    /// The whole response without content: Content-Length: 0, which a 204 must not have (RFC 9110 §8.6).
    std::string without_body() const;

private:
    int status_;
    std::string head_;
};

/// The answer that turns the connection into a tunnel: no Content-Length (RFC 9110 §9.3.6), no fields, the head only.
std::string_view connect_established() noexcept;

/// The reason phrase of a status; "Unknown" for one that the gateway never sends.
std::string_view reason_phrase(int status) noexcept;

/// `text` as a string of RFC 8941 §3.3.3, with its quotes. What such a string cannot hold becomes '?'.
std::string structured_string(std::string_view text);

/// The value of Proxy-Status (RFC 9209): `usher; error=<error>; details="<details>"`. `error` is a literal from the
/// RFC's table (§2.3) such as "http_request_denied"; details are left out when empty.
std::string proxy_status(std::string_view error, std::string_view details);

}  // namespace usher::gateway::http1
