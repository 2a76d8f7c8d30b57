#pragma once
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "base/secret.hpp"

namespace usher::wire::http1 {

/// A JSON object of strings, with objects of strings in it. Its values may be secrets: it cannot be copied, and wipes
/// them when it goes.
class JsonObject {
public:
    using Members = std::map<std::string, std::string, std::less<>>;

    JsonObject() = default;
    JsonObject(JsonObject&&) noexcept = default;
    JsonObject& operator=(JsonObject&& other) noexcept;
    JsonObject(const JsonObject&) = delete;
    JsonObject& operator=(const JsonObject&) = delete;
    ~JsonObject();

    Members members;
    std::map<std::string, Members, std::less<>> objects;

    /// The member of that name; nullptr when absent.
    const std::string* member(std::string_view name) const noexcept;
    /// Takes the member out as a secret; empty when absent.
    base::Secret take_secret(std::string_view name);

private:
    void wipe() noexcept;
};

/// Reads one JSON text (RFC 8259) that is such an object: at most 8 KiB, 64 members in all, keys of 64 bytes, no key
/// twice in one object, well-formed UTF-8, nothing but white space after it. The error's message holds nothing of the
/// text.
base::Result<JsonObject> parse_json_object(std::string_view text);

}  // namespace usher::wire::http1
