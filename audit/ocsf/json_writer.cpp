#include "audit/ocsf/json_writer.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "base/utf8.hpp"

namespace usher::audit::ocsf {
namespace {

constexpr std::string_view cut_mark = "...";
constexpr std::size_t quotes = 2;

void append_unit(std::string& out, unsigned value) {
    static constexpr char digits[] = "0123456789abcdef";
    out += "\\u";
    for (int shift = 12; shift >= 0; shift -= 4) out += digits[(value >> shift) & 0xf];
}

/// A JSON text with what is not ASCII, which stands in strings only, as \u and its UTF-16.
std::string to_ascii(const std::string& json) {
    std::string out;
    out.reserve(json.size());
    for (std::size_t at = 0; at < json.size();) {
        const auto c = base::decode_utf8(json, at);
        if (c.code < 0x80) {
            out += json[at];
        } else if (c.code < 0x10000) {
            append_unit(out, static_cast<unsigned>(c.code));
        } else {
            const auto offset = static_cast<unsigned>(c.code) - 0x10000;
            append_unit(out, 0xd800 + (offset >> 10));
            append_unit(out, 0xdc00 + (offset & 0x3ff));
        }
        at += std::max<std::size_t>(1, c.length);
    }
    return out;
}

}  // namespace

std::string JsonWriter::quote(std::string_view text) const {
    std::string quoted = base::json_quote(text);
    return charset_ == Charset::utf8 ? quoted : to_ascii(quoted);
}

/// The longest beginning of `text` that ends with a character and takes at most `bytes_max` bytes when it is quoted.
std::string_view JsonWriter::fitting(std::string_view text, std::size_t bytes_max) const {
    std::size_t taken = 0, size = 0;
    while (taken < text.size()) {
        const std::size_t length = std::max<std::size_t>(1, base::decode_utf8(text, taken).length);
        size += quote(text.substr(taken, length)).size() - quotes;
        if (size > bytes_max) break;
        taken += length;
    }
    return text.substr(0, taken);
}

void JsonWriter::comma() {
    if (const char last = out_.back(); last != '{' && last != '[') out_ += ',';
}

void JsonWriter::key(std::string_view name) {
    comma();
    out_ += '"';
    out_ += name;
    out_ += "\":";
}

void JsonWriter::begin(std::string_view name) {
    key(name);
    out_ += '{';
}

void JsonWriter::begin_array(std::string_view name) {
    key(name);
    out_ += '[';
}

void JsonWriter::begin_element() {
    comma();
    out_ += '{';
}

void JsonWriter::close(char bracket) { out_ += bracket; }

void JsonWriter::number(std::string_view name, std::int64_t value) {
    key(name);
    out_ += std::to_string(value);
}

void JsonWriter::number(std::string_view name, std::uint64_t value) {
    key(name);
    out_ += std::to_string(value);
}

void JsonWriter::boolean(std::string_view name, bool value) {
    key(name);
    out_ += value ? "true" : "false";
}

void JsonWriter::text(std::string_view name, std::string_view value, std::size_t bytes_max) {
    if (value.empty()) return;
    key(name);
    quoted(value, bytes_max);
}

void JsonWriter::text_element(std::string_view value, std::size_t bytes_max) {
    if (value.empty()) return;
    comma();
    quoted(value, bytes_max);
}

void JsonWriter::quoted(std::string_view value, std::size_t bytes_max) {
    // A character is at most twelve times as long when it is escaped, and no shorter: no more than that is looked at.
    std::string whole = value.size() <= bytes_max ? quote(value) : std::string();
    if (!whole.empty() && whole.size() - quotes <= bytes_max) {
        out_ += whole;
        return;
    }
    cut_ = true;
    const std::size_t room = bytes_max > cut_mark.size() ? bytes_max - cut_mark.size() : 0;
    whole = quote(fitting(value, room));
    whole.pop_back();
    out_ += whole;
    out_ += cut_mark;
    out_ += '"';
}

std::string JsonWriter::finish() && {
    out_ += '}';
    return std::move(out_);
}

}  // namespace usher::audit::ocsf
