#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace usher::base {

/// Text that must not be seen: a password, a token. Wiped when it goes; cannot be copied, printed or formatted.
/// Short strings live in the object itself, so the wipe covers the whole capacity.
class Secret {
public:
    Secret() = default;
    /// Takes the text over; the caller's string is moved from.
    explicit Secret(std::string&& text) noexcept;
    explicit Secret(std::string_view text);
    Secret(Secret&& other) noexcept;
    Secret& operator=(Secret&& other) noexcept;
    Secret(const Secret&) = delete;
    Secret& operator=(const Secret&) = delete;
    ~Secret();

    /// The text itself. Name it at the last possible place; never log what this returns.
    std::string_view reveal() const noexcept { return text_; }
    bool empty() const noexcept { return text_.empty(); }
    std::size_t size() const noexcept { return text_.size(); }
    /// Compares in time that depends on the lengths only.
    bool equals(std::string_view other) const noexcept;

private:
    void wipe() noexcept;
    std::string text_;
};

/// Overwrites the string's whole capacity and empties it.
void wipe(std::string& text) noexcept;

}  // namespace usher::base
