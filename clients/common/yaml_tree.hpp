#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"

namespace usher::clients {

/// Where something stands in a file; both from 1.
struct SourceMark {
    int line = 1;
    int column = 1;
    friend bool operator==(const SourceMark&, const SourceMark&) = default;
};

/// A YAML node that knows its place. Keys keep their order.
struct YamlNode {
    enum class Kind { nothing, text, list, map };
    Kind kind = Kind::nothing;
    SourceMark mark;
    std::string text;                                  ///< of a scalar, as it was written
    std::vector<YamlNode> items;                       ///< of a list
    std::vector<std::pair<YamlNode, YamlNode>> pairs;  ///< of a map
};

/// The word for a kind in an error: "a list", "a map", "text", "nothing".
std::string_view kind_name(YamlNode::Kind kind);

/// "FILE:LINE:COLUMN: what"
std::string at_mark(std::string_view file, SourceMark mark, std::string_view what);

/// Reads every document of `text`. Refused, with file, line and column: what is no YAML, anchors and aliases (a few
/// bytes of them can stand for gigabytes), tags, more than 16 levels, keys that are no text, a key twice in one map,
/// text that is not UTF-8, more than `limit_bytes`. Empty documents are left out.
base::Result<std::vector<YamlNode>> parse_yaml(std::string_view text, std::string_view file, std::size_t limit_bytes);

}  // namespace usher::clients
