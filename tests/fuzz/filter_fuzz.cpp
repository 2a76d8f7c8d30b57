#include "audit/filter_grammar.hpp"
#include "tests/fuzz/require.hpp"

using namespace usher::audit;
using usher::fuzz::require;

namespace {

constexpr std::string_view words[] = {"OPENED", "CLOSED"};
constexpr FilterField fields[] = {{"app", FieldType::text},
                                  {"bytes_up", FieldType::integer},
                                  {"opened_at", FieldType::time},
                                  {"bytes_uncertain", FieldType::boolean},
                                  {"event", FieldType::enumeration, words},
                                  {"reasons", FieldType::list}};

/// Every node of a parsed filter is one that the documentation allows.
unsigned check(const FilterNode& node, unsigned depth) {
    // Each level of the text makes at most an OR within an AND within a NOT.
    require(depth <= 64);
    unsigned comparisons = node.kind == FilterNode::Kind::comparison;
    switch (node.kind) {
        case FilterNode::Kind::all:
            require(node.children.empty() && depth == 0);
            break;
        case FilterNode::Kind::comparison:
            require(node.children.empty() && node.field < std::size(fields));
            break;
        case FilterNode::Kind::not_:
            require(node.children.size() == 1);
            break;
        case FilterNode::Kind::and_:
        case FilterNode::Kind::or_:
            require(node.children.size() >= 2);
            break;
    }
    for (const auto& child : node.children) comparisons += check(*child, depth + 1);
    return comparisons;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto parsed = parse_filter(usher::fuzz::text_of(data, size), fields);
    if (parsed.ok())
        require(check(**parsed, 0) <= 64);
    else
        require(parsed.error().message.rfind("filter:1:", 0) == 0);
    return 0;
}
