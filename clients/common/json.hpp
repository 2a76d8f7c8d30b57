#pragma once
// Boost.JSON, compiled once into json.cpp. Every file that needs it includes this header.
#include <boost/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace usher::clients {

/// Parses one JSON object strictly; at most 32 levels deep. Anything else is an error.
base::Result<boost::json::object> parse_json_object(std::string_view text);

/// The string member `key`, or nullopt when it is missing or no string.
std::optional<std::string> json_text(const boost::json::object& object, std::string_view key);

}  // namespace usher::clients
