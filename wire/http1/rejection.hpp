#pragma once
#include <string_view>

namespace usher::wire::http1 {

/// Why bytes were refused: the status to answer with and a fixed machine-readable token for the record. The token never
/// holds anything that came from the client.
struct Rejection {
    int status = 400;
    std::string_view reason;  ///< a string literal
    friend bool operator==(const Rejection&, const Rejection&) = default;
};

}  // namespace usher::wire::http1
