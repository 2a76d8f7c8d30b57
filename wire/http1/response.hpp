#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace usher::wire::http1 {

/// A response. No value can break out of its field: bytes that a field value may not hold are written as '?'.
class Response {
public:
    struct Field {
        std::string name;  ///< lower case
        std::string value;
    };

    /// `status` is 200 to 599.
    explicit Response(int status);
    /// The content may hold a token, so it is wiped.
    ~Response();
    Response(Response&&) noexcept = default;
    Response& operator=(Response&&) = delete;
    Response(const Response&) = delete;
    Response& operator=(const Response&) = delete;

    /// `name` is a literal token; anything else is a programming error and throws std::invalid_argument.
    Response& field(std::string_view name, std::string_view value);
    /// Connection: close. Every refusal of a malformed HTTP/1.1 request carries it; HTTP/2 has no such field.
    Response& close();
    /// Cache-Control: no-store.
    Response& no_store();
    /// The two challenges of a proxy that knows Bearer and Basic, as two fields, because clients read commas badly.
    Response& proxy_challenge();
    /// WWW-Authenticate: Bearer, for the sign-in API.
    Response& challenge();
    /// The content, its media type and its length. Without one of these the content is empty.
    Response& body(std::string_view content_type, std::string_view content);
    Response& json(std::string_view text) { return body("application/json", text); }
    /// One line of text for people; control characters of `line` become '?'.
    Response& text(std::string_view line);

    int status() const noexcept { return status_; }
    /// With Content-Length, which a 204 must not have (RFC 9110 §8.6).
    std::vector<Field> fields() const;
    const std::string& content() const noexcept { return content_; }
    /// The whole of it as HTTP/1.1.
    std::string to_http1() const;

private:
    int status_;
    std::vector<Field> fields_;
    std::string content_;
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

}  // namespace usher::wire::http1
