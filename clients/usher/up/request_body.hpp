#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "clients/usher/up/proxy_request.hpp"

namespace usher::clients::agent {

/// Finds where a request's body ends (RFC 9112 §6 and §7.1), without changing it: what comes behind it is another
/// request, perhaps for another server. Sans-io.
class RequestBody {
public:
    explicit RequestBody(const BodyFraming& framing);

    /// How many of `bytes` still belong to the body. Less than all of them: it is over, or malformed.
    std::size_t take(std::string_view bytes);
    bool over() const noexcept { return over_; }
    bool malformed() const noexcept { return malformed_; }

private:
    enum class Step { size, extension, size_line_feed, data, data_return, data_line_feed, trailer, trailer_line_feed };
    void take_framing(char c);
    void fail() noexcept { malformed_ = true; }

    BodyFraming::Kind kind_;
    std::uint64_t left_ = 0;  ///< of the body, or of this chunk
    Step step_ = Step::size;
    unsigned digits_ = 0;
    std::size_t line_bytes_ = 0;  ///< of an extension or of the trailers
    bool line_empty_ = true;
    bool over_ = false;
    bool malformed_ = false;
};

}  // namespace usher::clients::agent
