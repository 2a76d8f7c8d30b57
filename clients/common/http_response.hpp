#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"

namespace usher::clients {

constexpr std::size_t http_head_limit_bytes = 16 * 1024;
constexpr std::size_t http_body_limit_bytes = 1024 * 1024;

/// The head of an HTTP/1.1 answer. Field names are lower-case.
struct HttpHead {
    int status = 0;
    std::vector<std::pair<std::string, std::string>> fields;

    /// The value of a field that is there exactly once.
    std::optional<std::string_view> field(std::string_view lower_name) const;
    bool is_success() const noexcept { return status >= 200 && status < 300; }
};

/// Reads an answer strictly (RFC 9112 §4 and §5; CRLF only, no folding, no transfer coding, at most one
/// Content-Length). Sans-io: bytes are fed in as they come. An interim answer (1xx) is refused: nothing that this
/// client sends asks for one.
class HttpResponseParser {
public:
    /// `tunnel`: the answer to a CONNECT, whose success has no body whatever its fields say (RFC 9110 §9.3.6).
    explicit HttpResponseParser(bool tunnel) : tunnel_(tunnel) {}

    /// Takes bytes; those behind the end of the answer are kept for rest(). True when the answer is complete.
    base::Result<bool> feed(std::string_view bytes);
    /// Tells that the connection ended. An answer without Content-Length ends there; else it is an error to end early.
    base::Result<void> end();

    const HttpHead& head() const noexcept { return head_; }
    const std::string& body() const noexcept { return body_; }
    /// What came behind the answer: the first bytes of the tunnel.
    const std::string& rest() const noexcept { return buffer_; }

private:
    base::Result<void> parse_head(std::string_view text);
    base::Result<bool> take_body();

    bool tunnel_;
    bool head_done_ = false;
    bool complete_ = false;
    std::optional<std::size_t> body_bytes_;  ///< nullopt: until the connection ends
    std::string buffer_;
    HttpHead head_;
    std::string body_;
};

}  // namespace usher::clients
