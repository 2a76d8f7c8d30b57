#include "base/text.hpp"
#include "tests/fuzz/require.hpp"
#include "wire/http1/json_object.hpp"

using usher::base::json_quote;
using usher::fuzz::require;
using usher::wire::http1::JsonObject;
using usher::wire::http1::parse_json_object;

namespace {

std::string write(const JsonObject::Members& members) {
    std::string out;
    for (const auto& [key, value] : members)
        out += (out.empty() ? "" : ",") + json_quote(key) + ':' + json_quote(value);
    return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto parsed = parse_json_object(usher::fuzz::text_of(data, size));
    if (!parsed) return 0;
    std::size_t members = parsed->members.size();
    std::string text = write(parsed->members);
    for (const auto& [key, value] : parsed->members) require(usher::base::is_utf8(key) && usher::base::is_utf8(value));
    for (const auto& [key, inner] : parsed->objects) {
        require(!parsed->members.contains(key));
        members += inner.size();
        text += (text.empty() ? "" : ",") + json_quote(key) + ":{" + write(inner) + '}';
    }
    require(members <= 64);
    const auto again = parse_json_object('{' + text + '}');
    if (text.size() + 2 > 8192) return 0;  // quoting may make it longer than is read
    require(again.ok() && again->members == parsed->members && again->objects == parsed->objects);
    return 0;
}
