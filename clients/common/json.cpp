#include "clients/common/json.hpp"

#include <boost/json/src.hpp>

namespace usher::clients {

base::Result<boost::json::object> parse_json_object(std::string_view text) {
    boost::json::error_code error;
    boost::json::parse_options options;
    options.max_depth = 32;
    auto value = boost::json::parse(boost::json::string_view(text.data(), text.size()), error, {}, options);
    if (error) return {base::Errc::data_loss, "bad JSON: " + error.message()};
    if (!value.is_object()) return {base::Errc::data_loss, "bad JSON: an object was expected"};
    return std::move(value.get_object());
}

std::optional<std::string> json_text(const boost::json::object& object, std::string_view key) {
    const auto* value = object.if_contains(boost::json::string_view(key.data(), key.size()));
    if (value == nullptr || !value->is_string()) return std::nullopt;
    const auto& text = value->get_string();
    return std::string(text.data(), text.size());
}

}  // namespace usher::clients
