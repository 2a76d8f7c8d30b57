#include <algorithm>
#include <array>
#include <string>

#include "audit/filter_grammar.hpp"
#include "base/text.hpp"
#include "tests/fuzz/require.hpp"

// What is accepted keeps the bounds and types of the grammar, and means the same when it is written out and read again.
namespace {

using namespace usher;
using namespace usher::audit;
using usher::fuzz::require;

constexpr std::string_view words[] = {"OPENED", "CLOSED", "DENIED"};
constexpr std::array<FilterField, 7> fields{{{"app", FieldType::text},
                                             {"device.name", FieldType::text},
                                             {"bytes_up", FieldType::integer},
                                             {"opened_at", FieldType::time},
                                             {"bytes_uncertain", FieldType::boolean},
                                             {"event", FieldType::enumeration, words},
                                             {"reasons", FieldType::list}}};

std::string in_quotes(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') out.push_back('\\');
        out.push_back(c);
    }
    return out + '"';
}

std::string written(const FilterNode& node, unsigned depth = 0) {
    switch (node.kind) {
        case FilterNode::Kind::all:
            require(depth == 0 && node.children.empty());
            return "";
        case FilterNode::Kind::not_:
            require(node.children.size() == 1);
            return "NOT " + written(*node.children[0], depth + 1);
        case FilterNode::Kind::and_:
        case FilterNode::Kind::or_: {
            require(node.children.size() >= 2);
            std::string out;
            for (const auto& child : node.children)
                out += (out.empty()                           ? "("
                        : node.kind == FilterNode::Kind::and_ ? " AND "
                                                              : " OR ") +
                       written(*child, depth + 1);
            return out + ')';
        }
        case FilterNode::Kind::comparison:
            break;
    }
    constexpr const char* ops[] = {" = ", " != ", " < ", " <= ", " > ", " >= ", " : "};
    require(node.field < fields.size() && node.children.empty());
    const auto& field = fields[node.field];
    const std::string head = std::string(field.name) + ops[static_cast<std::size_t>(node.op)];
    if (const auto* number = std::get_if<std::int64_t>(&node.value)) {
        if (field.type == FieldType::time) return head + '"' + base::format_rfc3339(base::from_micros(*number)) + '"';
        require(*number >= 0 && (field.type != FieldType::boolean || *number <= 1));
        if (field.type == FieldType::boolean) return head + (*number != 0 ? "true" : "false");
        require(field.type == FieldType::integer);
        return head + std::to_string(*number);
    }
    const auto& text = std::get<std::string>(node.value);
    if (field.type == FieldType::enumeration) return head + text;
    require(field.type == FieldType::text || field.type == FieldType::list);
    require(base::is_utf8(text) && text.find('\n') == std::string::npos);
    return head + in_quotes(text);
}

struct Size {
    std::size_t comparisons = 0;
    std::size_t depth = 0;
};

void measure(const FilterNode& node, std::size_t depth, Size& size) {
    size.comparisons += node.kind == FilterNode::Kind::comparison;
    size.depth = std::max(size.depth, depth);
    for (const auto& child : node.children) measure(*child, depth + 1, size);
}

bool same(const FilterNode& a, const FilterNode& b) {
    if (a.kind != b.kind || a.field != b.field || a.op != b.op || a.value != b.value ||
        a.children.size() != b.children.size())
        return false;
    for (std::size_t i = 0; i < a.children.size(); ++i)
        if (!same(*a.children[i], *b.children[i])) return false;
    return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto parsed = parse_filter(usher::fuzz::text_of(data, size), fields);
    if (!parsed) {
        require(parsed.error().code == base::Errc::invalid_argument);
        require(parsed.error().message.starts_with("filter:1:"));
        for (const char c : parsed.error().message) require(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
        return 0;
    }
    Size found;
    measure(**parsed, 0, found);
    require(found.comparisons <= 64 && found.depth <= 3 * 17);
    const std::string text = written(**parsed);
    const auto again = parse_filter(text, fields);
    if (!again) {
        // Times and parentheses that were not there may make it longer or deeper than is read.
        require(text.size() > 4096 || again.error().message.find("levels") != std::string::npos);
        return 0;
    }
    require(same(**parsed, **again) && written(**again) == text);
    return 0;
}
