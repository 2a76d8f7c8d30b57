#include "auth/password_rules.hpp"

#include <sodium.h>
#include <unicode/unorm2.h>
#include <unicode/ustring.h>

#include <algorithm>
#include <stdexcept>
#include <unordered_set>

#include "auth/password.hpp"
#include "base/text.hpp"

namespace usher::auth {
namespace {

using base::Errc;
using base::Result;

/// Openwall's list of common passwords (Solar Designer, 1996 to 2011, in the public domain, as in Debian's john-data),
/// with some words of offices; in lower case, sorted, from four characters on.
constexpr char common_passwords[] =
#include "auth/common_passwords.inc"
    ;

const std::unordered_set<std::string_view>& common() {
    static const auto all = [] {
        std::unordered_set<std::string_view> words;
        std::string_view left(common_passwords);
        while (!left.empty()) {
            const auto end = std::min(left.find('\n'), left.size());
            words.insert(left.substr(0, end));
            left.remove_prefix(std::min(end + 1, left.size()));
        }
        return words;
    }();
    return all;
}

constexpr std::string_view runs[] = {
    "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz",
    "0123456789012345678901234567890123456789",
    "123456789123456789123456789123456789",
    "`1234567890-=qwertyuiop[]asdfghjkl;'zxcvbnm,./",
    "qwertyuiopasdfghjklzxcvbnm1234567890",
    "qwertzuiopasdfghjklyxcvbnm",
    "azertyuiopqsdfghjklmwxcvbn",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.0p;/",
    "1q2w3e4r5t6y7u8i9o0p",
    "q1w2e3r4t5y6u7i8o9p0",
};

constexpr std::size_t context_letters_min = 3;
/// What must be left when context words are taken out.
constexpr std::size_t left_beside_context = 6;

/// Wiped when it goes: it holds the password's characters.
class CodePoints {
public:
    explicit CodePoints(std::size_t capacity) : units_(capacity) {}
    ~CodePoints() { sodium_memzero(units_.data(), units_.size() * sizeof(UChar)); }
    CodePoints(const CodePoints&) = delete;
    CodePoints& operator=(const CodePoints&) = delete;
    UChar* data() noexcept { return units_.data(); }
    std::int32_t capacity() const noexcept { return static_cast<std::int32_t>(units_.size()); }

private:
    std::vector<UChar> units_;
};

/// Brings UTF-8 through `change` over UTF-16 and back.
template <class Change>
base::Secret changed(std::string_view text, std::size_t growth, Change change) {
    CodePoints from(text.size() + 1), to(text.size() * growth + 16);
    UErrorCode error = U_ZERO_ERROR;
    std::int32_t length = 0;
    u_strFromUTF8(from.data(), from.capacity(), &length, text.data(), static_cast<std::int32_t>(text.size()), &error);
    length = U_SUCCESS(error) ? change(from.data(), length, to.data(), to.capacity(), &error) : 0;
    std::string out(text.size() * growth * 3 + 16, '\0');
    std::int32_t bytes = 0;
    if (U_SUCCESS(error))
        u_strToUTF8(out.data(), static_cast<std::int32_t>(out.size()), &bytes, to.data(), length, &error);
    if (U_FAILURE(error)) {
        base::wipe(out);
        throw std::runtime_error(std::string("ICU cannot normalise text: ") + u_errorName(error));
    }
    base::Secret result(std::string_view(out.data(), static_cast<std::size_t>(bytes)));
    base::wipe(out);
    return result;
}

/// As two texts that mean the same are compared: NFKC and case folding. Of well-formed UTF-8.
base::Secret folded(std::string_view text) {
    return changed(text, 18,
                   [](const UChar* in, std::int32_t length, UChar* out, std::int32_t room, UErrorCode* error) {
                       const auto* form = unorm2_getNFKCCasefoldInstance(error);
                       return U_SUCCESS(*error) ? unorm2_normalize(form, in, length, out, room, error) : 0;
                   });
}

bool is_letter(char c) noexcept { return (c >= 'a' && c <= 'z') || static_cast<unsigned char>(c) >= 0x80; }

/// Without what is no letter at both ends.
std::string_view core_of(std::string_view text) noexcept {
    while (!text.empty() && !is_letter(text.front())) text.remove_prefix(1);
    while (!text.empty() && !is_letter(text.back())) text.remove_suffix(1);
    return text;
}

/// Whether it is one text again and again that would be too short by itself.
bool repeats(std::string_view text, std::size_t wanted) noexcept {
    for (std::size_t unit = 1; unit * 2 <= text.size() && code_points(text.substr(0, unit)) < wanted; ++unit) {
        std::size_t i = unit;
        while (i < text.size() && text[i] == text[i - unit]) ++i;
        if (i == text.size()) return true;
    }
    return false;
}

bool is_run(std::string_view text) {
    std::string backwards(text.rbegin(), text.rend());
    const bool run = std::any_of(std::begin(runs), std::end(runs), [&](std::string_view whole) {
        return whole.find(text) != std::string_view::npos || whole.find(backwards) != std::string_view::npos;
    });
    base::wipe(backwards);
    return run;
}

/// The words of a text that are long enough to be told from chance.
void add_words(std::string_view text, std::vector<std::string>& words) {
    const auto lower = folded(text);
    std::string word;
    const auto flush = [&] {
        if (code_points(word) >= context_letters_min) words.push_back(word);
        word.clear();
    };
    for (const char c : lower.reveal()) {
        if (is_letter(c) || (c >= '0' && c <= '9'))
            word += c;
        else
            flush();
    }
    flush();
}

/// How many letters and digits are left without the words; nullopt when none of them is in the text.
std::optional<std::size_t> left_without(std::string_view text, std::vector<std::string> words) {
    // The longest first, so that "usher" does not take a piece out of "ushering".
    std::sort(words.begin(), words.end(), [](const auto& a, const auto& b) { return a.size() > b.size(); });
    std::string left(text);
    bool found = false;
    for (const auto& word : words)
        for (auto at = left.find(word); at != std::string::npos; at = left.find(word)) {
            left.replace(at, word.size(), " ");
            found = true;
        }
    std::string rest;
    for (const char c : left)
        if (is_letter(c) || (c >= '0' && c <= '9')) rest += c;
    const auto count = code_points(rest);
    base::wipe(left);
    base::wipe(rest);
    return found ? std::optional(count) : std::nullopt;
}

base::Error refused(const std::string& why) { return {Errc::invalid_argument, "password: " + why}; }

}  // namespace

std::size_t code_points(std::string_view text) noexcept {
    return static_cast<std::size_t>(std::count_if(
        text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0u) != 0x80u; }));
}

std::optional<base::Secret> normalize_password(const base::Secret& password) {
    const auto text = password.reveal();
    if (!base::is_utf8(text)) return std::nullopt;
    // Most are ASCII, which is NFC already.
    const auto ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
    if (std::all_of(text.begin(), text.end(), ascii)) return base::Secret(text);
    return changed(text, 3, [](const UChar* in, std::int32_t length, UChar* out, std::int32_t room, UErrorCode* error) {
        const auto* form = unorm2_getNFCInstance(error);
        return U_SUCCESS(*error) ? unorm2_normalize(form, in, length, out, room, error) : 0;
    });
}

Result<void> check_new_password(const base::Secret& password, const PasswordOwner& owner) {
    if (password.size() > password_bytes_max)
        return refused("is longer than " + std::to_string(password_bytes_max) + " bytes");
    const auto normal = normalize_password(password);
    if (!normal) return refused("is not UTF-8");
    if (normal->size() > password_bytes_max)
        return refused("is longer than " + std::to_string(password_bytes_max) + " bytes");
    const auto length = code_points(normal->reveal());
    const auto wanted = owner.second_factor ? password_length_beside_second_factor : password_length_alone;
    if (length < wanted)
        return refused("has " + std::to_string(length) + " characters, expected at least " + std::to_string(wanted) +
                       (owner.second_factor ? ""
                                            : " (" + std::to_string(password_length_beside_second_factor) +
                                                  " where the account has a second factor)"));
    const auto lower = folded(normal->reveal());
    const auto text = lower.reveal();
    if (common().count(text) != 0 || common().count(core_of(text)) != 0)
        return refused(
            "is one of those that are guessed first; a few words that have nothing to do with each other are "
            "better");
    if (repeats(text, wanted)) return refused("is a short text again and again");
    if (is_run(text)) return refused("is a run of letters, digits or keys");
    std::vector<std::string> words{"usher"};
    for (const auto* context : {&owner.username, &owner.display_name, &owner.department}) add_words(*context, words);
    const auto left = left_without(text, std::move(words));
    if (left && *left < left_beside_context)
        return refused("is little more than the account's names, its department or the word \"usher\"");
    return {};
}

bool needs_second_factor(const base::Secret& password) {
    const auto normal = normalize_password(password);
    return !normal || code_points(normal->reveal()) < password_length_alone;
}

}  // namespace usher::auth
