#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "wire/http1/rejection.hpp"
#include "wire/http1/request.hpp"

namespace usher::wire::http2 {

/// Makes a request of the decoded fields of one HEADERS block (RFC 9113 §8.3), as strictly as the HTTP/1.1 parser does:
/// - a CONNECT has :method and :authority with a port, nothing else, and no content-length (§8.5);
/// - any other method has :scheme https, :authority or Host, and a :path in origin-form with one spelling;
/// - Host names what :authority does; fields that decide something stand once; transfer-encoding, upgrade and expect
///   are refused, and values hold HTAB, SP and visible ASCII.
/// Sizes are counted as RFC 9113 §6.5.2 does. Past a bound nothing more is kept. Sans-io.
class RequestBuilder {
public:
    static constexpr std::size_t head_bytes_max = 16 * 1024;
    static constexpr std::size_t fields_max = 64;

    RequestBuilder() = default;
    RequestBuilder(RequestBuilder&&) noexcept = default;
    RequestBuilder& operator=(RequestBuilder&&) = delete;
    RequestBuilder(const RequestBuilder&) = delete;
    RequestBuilder& operator=(const RequestBuilder&) = delete;
    /// Wipes the credentials of a request that nobody took over.
    ~RequestBuilder() { request_.wipe_credentials(); }

    void add(std::string_view name, std::string_view value);
    /// The block is whole. Sets the rejection, or leaves a valid request().
    void finish();

    const std::optional<http1::Rejection>& rejection() const noexcept { return rejection_; }
    http1::Request& request() noexcept { return request_; }
    /// All bytes of the block, kept or not.
    std::size_t bytes() const noexcept { return bytes_; }

private:
    void add_pseudo(std::string_view name, std::string_view value);
    void add_field(std::string_view name, std::string_view value);
    void finish_connect();
    void finish_origin();
    void reject(int status, std::string_view reason) noexcept {
        if (!rejection_) rejection_ = http1::Rejection{status, reason};
    }

    http1::Request request_;
    std::optional<http1::Rejection> rejection_;
    std::optional<std::string> scheme_, authority_, path_;
    std::size_t bytes_ = 0;
    bool fields_began_ = false;
    bool content_length_seen_ = false;
};

}  // namespace usher::wire::http2
