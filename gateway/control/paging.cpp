#include "gateway/control/paging.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include "base/crc32c.hpp"
#include "base/text.hpp"

namespace usher::gateway::control {
namespace {

constexpr std::size_t page_size_default = 100;
constexpr std::size_t page_size_max = 1000;
constexpr std::size_t token_bytes_max = 1024;
constexpr std::size_t checksum_bytes = 4;

std::span<const std::uint8_t> bytes_of(std::string_view text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

/// Tells a token apart from one that was cut or typed.
std::string checksum(std::string_view text) {
    const std::uint32_t sum = base::crc32c(bytes_of(text));
    std::string out;
    for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>((sum >> shift) & 0xff);
    return out;
}

std::string body(std::string_view kind, std::string_view key) {
    std::string out("1 ");
    out.append(kind).push_back('\0');
    return out.append(key);
}

}  // namespace

base::Result<std::size_t> read_page_size(std::int32_t page_size) {
    if (page_size < 0) return {base::Errc::invalid_argument, "page_size: must not be negative"};
    if (page_size == 0) return page_size_default;
    return std::min(static_cast<std::size_t>(page_size), page_size_max);
}

base::Result<Page> read_page(std::int32_t page_size, const std::string& token, std::string_view kind) {
    auto size = read_page_size(page_size);
    if (!size) return std::move(size).error();
    Page page{*size, {}};
    if (token.empty()) return page;

    const base::Error forged{base::Errc::invalid_argument,
                             "page_token: is not one that this list gave; begin again without it"};
    if (token.size() > token_bytes_max) return forged;
    const auto decoded = base::base64url_decode(token);
    if (!decoded || decoded->size() <= checksum_bytes) return forged;
    const std::string_view whole(reinterpret_cast<const char*>(decoded->data()), decoded->size());
    const auto text = whole.substr(0, whole.size() - checksum_bytes);
    const auto prefix = body(kind, {});
    if (checksum(text) != whole.substr(text.size()) || !text.starts_with(prefix)) return forged;
    page.after = text.substr(prefix.size());
    if (page.after.empty()) return forged;
    return page;
}

std::string page_token(std::string_view kind, std::string_view last_key) {
    auto text = body(kind, last_key);
    text += checksum(text);
    return base::base64url_encode(bytes_of(text));
}

}  // namespace usher::gateway::control
