#pragma once
#include <algorithm>
#include <cstdint>
#include <functional>
#include <iterator>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace usher::gateway::control {

/// Where a list goes on (AIP-158).
struct Page {
    std::size_t size = 100;
    std::string after;  ///< the last key of the page before; empty: from the start
};

/// Reads a list's page_size (0: 100, negative: invalid_argument, over 1000: 1000).
base::Result<std::size_t> read_page_size(std::int32_t page_size);

/// Reads page_size and page_token. `kind` names the list and what it was asked for ("accounts", "sessions alice"): a
/// token of another list, or one that page_token() did not make, is invalid_argument. Pure.
base::Result<Page> read_page(std::int32_t page_size, const std::string& token, std::string_view kind);

/// The token that goes on behind `last_key`. Base64url; opaque to callers; no secret, since it only names a place.
std::string page_token(std::string_view kind, std::string_view last_key);

/// Gives `add` one page of `all`, which is sorted by the member `key`; returns the token of the next page, empty at the
/// end.
template <class List, class Key, class Add>
std::string list_page(const List& all, const Page& page, std::string_view kind, Key key, Add add) {
    auto it = std::upper_bound(all.begin(), all.end(), page.after, [key](const std::string& after, const auto& model) {
        return after < std::invoke(key, model);
    });
    for (std::size_t n = 0; it != all.end() && n < page.size; ++it, ++n) add(*it);
    return it == all.end() ? std::string{} : page_token(kind, std::invoke(key, *std::prev(it)));
}

}  // namespace usher::gateway::control
