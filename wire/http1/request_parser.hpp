#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "wire/http1/rejection.hpp"
#include "wire/http1/request.hpp"

namespace usher::wire::http1 {

struct Limits {
    std::size_t head_bytes = 16 * 1024;
    std::size_t target_bytes = 4096;
    std::size_t fields = 64;
    std::size_t field_name_bytes = 256;
};

/// A strict parser of one HTTP/1.1 request head (RFC 9112), without I/O. It accepts exactly what the gateway serves and
/// refuses whatever two parsers could read differently:
/// - lines end in CRLF; one SP between method, target and version; no empty line before the request; no folded fields;
/// - the method is upper-case letters; the version is HTTP/1.1, or HTTP/1.0, which never keeps the connection;
/// - field names are tokens without '_'; values hold HTAB, SP and visible ASCII;
/// - Transfer-Encoding, Upgrade and Expect are refused; Content-Length stands once, as 1 to 18 digits, and is not zero
/// only
///   with POST, PUT and PATCH;
/// - Host stands exactly once in HTTP/1.1. A CONNECT has authority-form, no Content-Length, and a Host that names its
/// target;
/// - every other method has origin-form without fragment, backslash or empty first segment;
/// - Connection names nothing but close and keep-alive, and the fields that decide something stand at most once.
/// Memory is bounded by Limits::head_bytes.
class RequestParser {
public:
    enum class State {
        need_more,  ///< feed what comes next
        complete,   ///< request() is whole; what follows its head was not touched
        rejected,   ///< answer with rejection() and close: what follows must not be read as a request
    };

    explicit RequestParser(Limits limits = {}) noexcept : limits_(limits) {}
    RequestParser(RequestParser&&) noexcept = default;
    RequestParser& operator=(RequestParser&&) = delete;
    RequestParser(const RequestParser&) = delete;
    RequestParser& operator=(const RequestParser&) = delete;
    /// Wipes the credentials of a request that nobody took over: a rejected or unfinished one.
    ~RequestParser() { request_.wipe_credentials(); }

    /// Reads `bytes` up to the end of the head, or up to and with the first byte that makes it invalid, and sets
    /// `consumed` to how many that were. However the bytes are cut into calls, the outcome is the same.
    State feed(std::string_view bytes, std::size_t& consumed);

    State state() const noexcept { return state_; }
    /// Whether any byte of a request has come, to tell an idle connection from a stalled request.
    bool started() const noexcept { return head_bytes_ > 0; }
    const Rejection& rejection() const noexcept { return rejection_; }
    Request& request() noexcept { return request_; }

private:
    enum class Step {
        method,
        target,
        version,
        line_feed_after_version,
        field_start,
        field_name,
        field_value,
        line_feed_after_field,
        line_feed_at_end,
    };

    void take(char c);
    void take_method(char c);
    void take_target(char c);
    void take_version(char c);
    void take_field_name(char c);
    void take_field_value(char c);
    void end_request_line();
    void end_field_name();
    void end_field();
    void end_head();
    void end_connection_field(std::string_view value);
    void end_content_length(std::string_view value);
    void expect_line_feed(char c, Step next);
    void reject(int status, std::string_view reason) noexcept;

    Limits limits_;
    State state_ = State::need_more;
    Step step_ = Step::method;
    Rejection rejection_;
    Request request_;
    std::size_t head_bytes_ = 0;
    std::size_t version_bytes_ = 0;
    bool http_1_0_ = false;
    bool close_ = false;
};

}  // namespace usher::wire::http1
