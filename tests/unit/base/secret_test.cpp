#include "base/secret.hpp"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "catch.hpp"

using usher::base::Secret;

static_assert(!std::is_copy_constructible_v<Secret> && !std::is_copy_assignable_v<Secret>);
static_assert(!std::is_convertible_v<Secret, std::string> && !std::is_convertible_v<Secret, std::string_view>);
static_assert(!std::is_convertible_v<std::string, Secret>);

TEST_CASE("a secret taken from a string leaves nothing in it") {
    for (const std::size_t size : {1U, 15U, 16U, 500U}) {
        std::string text(size, 'p');
        const Secret secret(std::move(text));
        CHECK(secret.reveal() == std::string(size, 'p'));
        CHECK(text.empty());
        // Within the capacity the bytes may be looked at.
        text.resize(text.capacity(), '\0');
        CHECK(std::count(text.begin(), text.end(), 'p') == 0);
    }
}

TEST_CASE("a moved secret is only where it was moved to") {
    Secret a(std::string_view("hunter2"));
    Secret b(std::move(a));
    CHECK(a.empty());
    CHECK(b.reveal() == "hunter2");
    Secret c(std::string_view("a longer secret that is on the heap, surely"));
    c = std::move(b);
    CHECK(b.empty());
    CHECK(c.reveal() == "hunter2");
    CHECK(c.size() == 7);
}

TEST_CASE("secrets compare by their whole text, NUL bytes too") {
    const Secret secret(std::string_view("a\0b", 3));
    CHECK(secret.equals(std::string_view("a\0b", 3)));
    CHECK_FALSE(secret.equals(std::string_view("a\0c", 3)));
    CHECK_FALSE(secret.equals("a"));
    CHECK_FALSE(secret.equals(""));
    CHECK(Secret().equals(""));
}

TEST_CASE("wiping overwrites the whole capacity") {
    std::string text = "short";
    text.reserve(100);
    text = std::string(90, 'x');
    text.resize(3);  // what was behind it is still there
    usher::base::wipe(text);
    CHECK(text.empty());
    text.resize(90, '\0');
    CHECK(std::count(text.begin(), text.end(), 'x') == 0);
}
