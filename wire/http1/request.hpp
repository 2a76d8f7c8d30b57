#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/net.hpp"

namespace usher::wire::http1 {

struct Field {
    std::string name;   ///< lower case
    std::string value;  ///< without the white space around it
    friend bool operator==(const Field&, const Field&) = default;
};

/// One request head that passed every rule of its version's parser.
struct Request {
    std::string method;
    std::string target;  ///< as it was sent: origin-form, or authority-form for CONNECT
    std::vector<Field> fields;
    std::uint64_t content_length =
        0;                    ///< bytes of content that follow the head; 0 for CONNECT and when none was declared
    bool keep_alive = false;  ///< whether another request may follow on this connection
    std::optional<base::Destination> destination;  ///< the canonical target of a CONNECT; unset for other methods

    /// The value of the only field of that name (lower case); nullptr when there is none, or more than one.
    const std::string* field(std::string_view lower_name) const noexcept;
    /// Overwrites the values of Authorization and Proxy-Authorization, once they were read.
    void wipe_credentials() noexcept;
    friend bool operator==(const Request&, const Request&) = default;
};

}  // namespace usher::wire::http1
