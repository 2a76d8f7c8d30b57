#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace usher::test {

/// HTTP/2 frames as bytes (RFC 9113 §4.1), good and bad, and the frames that are in bytes.
namespace frames {

inline constexpr std::string_view preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

enum Type : std::uint8_t {
    data = 0,
    headers = 1,
    priority = 2,
    rst_stream = 3,
    settings = 4,
    ping = 6,
    goaway = 7,
    window_update = 8,
    continuation = 9
};
inline constexpr std::uint8_t end_stream = 1, ack = 1, end_headers = 4;

inline std::string number(std::uint32_t value) {
    std::string out;
    for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift);
    return out;
}

inline std::string frame(Type type, std::uint8_t flags, std::uint32_t stream, std::string_view payload) {
    std::string out = number(static_cast<std::uint32_t>(payload.size())).substr(1);
    out += static_cast<char>(type);
    out += static_cast<char>(flags);
    return out + number(stream) + std::string(payload);
}

/// Literal fields without indexing, with new names, without Huffman (RFC 7541 §6.2.2); strings of at most 126 bytes.
inline std::string block(const std::vector<std::pair<std::string, std::string>>& fields) {
    std::string out;
    for (const auto& [name, value] : fields) {
        out += '\0';
        out += static_cast<char>(name.size());
        out += name;
        out += static_cast<char>(value.size());
        out += value;
    }
    return out;
}

inline std::string connect(std::uint32_t stream, const std::string& authority = "db.corp:5432",
                           std::uint8_t flags = end_headers) {
    return frame(headers, flags, stream, block({{":method", "CONNECT"}, {":authority", authority}}));
}

/// The client's first words, with settings of its own.
inline std::string hello(std::string_view own_settings = {}) {
    return std::string(preface) + frame(settings, 0, 0, own_settings);
}

struct Seen {
    std::uint8_t type;
    std::uint8_t flags;
    std::uint32_t stream;
    std::string payload;
};

inline std::uint32_t read_number(std::string_view bytes, std::size_t count) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < count; ++i) value = value << 8 | static_cast<std::uint8_t>(bytes[i]);
    return value;
}

inline std::vector<Seen> parse(std::string_view bytes) {
    std::vector<Seen> out;
    while (bytes.size() >= 9) {
        const std::size_t length = read_number(bytes, 3);
        out.push_back({static_cast<std::uint8_t>(bytes[3]), static_cast<std::uint8_t>(bytes[4]),
                       read_number(bytes.substr(5), 4), std::string(bytes.substr(9, length))});
        bytes.remove_prefix(9 + length);
    }
    return out;
}

}  // namespace frames
}  // namespace usher::test
