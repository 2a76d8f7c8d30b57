#include "base/secret.hpp"

#include <sodium.h>

#include <utility>

namespace usher::base {

void wipe(std::string& text) noexcept {
    text.resize(text.capacity());  // within the capacity: neither allocates nor throws
    sodium_memzero(text.data(), text.size());
    text.clear();
}

// A moved-from std::string keeps the bytes of a short text, so every move wipes its source.
Secret::Secret(std::string&& text) noexcept : text_(std::move(text)) { base::wipe(text); }

Secret::Secret(std::string_view text) : text_(text) {}

Secret::Secret(Secret&& other) noexcept : text_(std::move(other.text_)) { other.wipe(); }

Secret& Secret::operator=(Secret&& other) noexcept {
    if (this != &other) {
        wipe();  // first: the move may hand this buffer to `other`
        text_ = std::move(other.text_);
        other.wipe();
    }
    return *this;
}

Secret::~Secret() { wipe(); }

bool Secret::equals(std::string_view other) const noexcept {
    return text_.size() == other.size() && sodium_memcmp(text_.data(), other.data(), other.size()) == 0;
}

void Secret::wipe() noexcept { base::wipe(text_); }

}  // namespace usher::base
