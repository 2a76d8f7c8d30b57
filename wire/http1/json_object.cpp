#include "wire/http1/json_object.hpp"

// The one place of the program that compiles Boost.JSON; its event parser is all that is used of it.
#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/src.hpp>
#include <cstdint>
#include <utility>

namespace usher::wire::http1 {
namespace {

namespace json = boost::json;

constexpr std::size_t longest_text = 8 * 1024;
constexpr std::size_t most_members = 64;

/// Takes the parser's events and builds the object; whatever has no place in it stops the parser.
class Handler {
public:
    static constexpr std::size_t max_object_size = most_members;
    static constexpr std::size_t max_array_size = 0;
    static constexpr std::size_t max_key_size = 64;
    static constexpr std::size_t max_string_size = longest_text;

    using Code = json::error_code;
    using View = json::string_view;

    /// Room for the longest value, so that no reallocation leaves a secret behind.
    Handler() { value_.reserve(longest_text); }
    ~Handler() { base::wipe(value_); }
    Handler(const Handler&) = delete;
    Handler& operator=(const Handler&) = delete;

    JsonObject result;
    const char* problem = nullptr;  ///< set when an event was refused

    bool on_document_begin(Code&) { return true; }
    bool on_document_end(Code&) { return true; }

    bool on_object_begin(Code& code) {
        if (depth_ == 2) return refuse(code, "an object is nested too deep");
        if (++depth_ == 1) return true;
        if (result.members.contains(outer_key_)) return refuse(code, "a key stands twice");
        const auto [place, fresh] = result.objects.try_emplace(outer_key_);
        if (!fresh) return refuse(code, "a key stands twice");
        inner_ = &place->second;
        return true;
    }
    bool on_object_end(std::size_t, Code&) {
        --depth_;
        inner_ = nullptr;
        return true;
    }
    bool on_array_begin(Code& code) { return refuse(code, "an array has no place here"); }
    bool on_array_end(std::size_t, Code&) { return true; }

    bool on_key_part(View part, std::size_t, Code&) {
        key_.append(part.data(), part.size());
        return true;
    }
    bool on_key(View part, std::size_t, Code&) {
        key_.append(part.data(), part.size());
        (depth_ == 1 ? outer_key_ : inner_key_) = std::move(key_);
        key_.clear();
        return true;
    }
    bool on_string_part(View part, std::size_t, Code&) {
        value_.append(part.data(), part.size());
        return true;
    }
    bool on_string(View part, std::size_t, Code& code) {
        value_.append(part.data(), part.size());
        if (depth_ == 0) return refuse(code, "the text is not an object");
        if (++members_ > most_members) return refuse(code, "there are too many members");
        auto& members = inner_ ? *inner_ : result.members;
        const auto& key = inner_ ? inner_key_ : outer_key_;
        const bool taken = !inner_ && result.objects.contains(key);
        if (taken || !members.try_emplace(key, value_).second) return refuse(code, "a key stands twice");
        base::wipe(value_);
        value_.reserve(longest_text);
        return true;
    }

    bool on_number_part(View, Code& code) { return refuse(code, "a number has no place here"); }
    bool on_int64(std::int64_t, View, Code& code) { return refuse(code, "a number has no place here"); }
    bool on_uint64(std::uint64_t, View, Code& code) { return refuse(code, "a number has no place here"); }
    bool on_double(double, View, Code& code) { return refuse(code, "a number has no place here"); }
    bool on_bool(bool, Code& code) { return refuse(code, "a boolean has no place here"); }
    bool on_null(Code& code) { return refuse(code, "null has no place here"); }
    bool on_comment_part(View, Code& code) { return refuse(code, "a comment has no place here"); }
    bool on_comment(View, Code& code) { return refuse(code, "a comment has no place here"); }

private:
    bool refuse(Code& code, const char* what) {
        problem = what;
        code = json::error::syntax;
        return false;
    }

    int depth_ = 0;
    std::size_t members_ = 0;
    JsonObject::Members* inner_ = nullptr;
    std::string key_;
    std::string outer_key_;
    std::string inner_key_;
    std::string value_;
};

}  // namespace

JsonObject& JsonObject::operator=(JsonObject&& other) noexcept {
    if (this != &other) {
        wipe();
        members = std::move(other.members);
        objects = std::move(other.objects);
    }
    return *this;
}

JsonObject::~JsonObject() { wipe(); }

void JsonObject::wipe() noexcept {
    for (auto& [name, value] : members) base::wipe(value);
    for (auto& [name, inner] : objects) {
        for (auto& [key, value] : inner) base::wipe(value);
    }
}

const std::string* JsonObject::member(std::string_view name) const noexcept {
    const auto found = members.find(name);
    return found == members.end() ? nullptr : &found->second;
}

base::Secret JsonObject::take_secret(std::string_view name) {
    const auto found = members.find(name);
    if (found == members.end()) return {};
    base::Secret secret(std::move(found->second));
    members.erase(found);
    return secret;
}

base::Result<JsonObject> parse_json_object(std::string_view text) {
    if (text.size() > longest_text) return {base::Errc::invalid_argument, "the JSON text is too long"};
    json::parse_options options;
    options.max_depth = 2;
    json::basic_parser<Handler> parser(options);
    json::error_code code;
    const std::size_t taken = parser.write_some(false, text.data(), text.size(), code);
    if (code) {
        const char* problem = parser.handler().problem;
        return {base::Errc::invalid_argument, problem ? problem : "the text is not well-formed JSON of such depth"};
    }
    if (text.find_first_not_of(" \t\r\n", taken) != std::string_view::npos) {
        return {base::Errc::invalid_argument, "something follows the JSON text"};
    }
    return std::move(parser.handler().result);
}

}  // namespace usher::wire::http1
