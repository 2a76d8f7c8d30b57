#include "audit/filter.hpp"

#include "audit/access_fields.hpp"
#include "audit/filter_grammar.hpp"

namespace usher::audit {

using Kind = FilterNode::Kind;
using base::sql::Value;

struct Filter::Node {
    std::unique_ptr<FilterNode> tree;
};

Filter::Filter() : root_(std::make_shared<const Node>(Node{std::make_unique<FilterNode>()})) {}

base::Result<Filter> Filter::parse(std::string_view text) {
    auto tree = parse_filter(text, filter_fields());
    if (!tree) return tree.error();
    Filter filter;
    filter.root_ = std::make_shared<const Node>(Node{std::move(*tree)});
    return filter;
}

namespace {

template <class T>
bool compare(FilterOp op, const T& left, const T& right) {
    switch (op) {
        case FilterOp::equal:
            return left == right;
        case FilterOp::not_equal:
            return left != right;
        case FilterOp::less:
            return left < right;
        case FilterOp::less_equal:
            return left <= right;
        case FilterOp::greater:
            return left > right;
        case FilterOp::greater_equal:
            return left >= right;
        case FilterOp::has:
            return false;
    }
    return false;
}

bool compare_field(const FilterNode& node, FieldType type, const FieldValue& value) {
    if (const auto* number = std::get_if<std::int64_t>(&value)) {
        if (type == FieldType::time && *number == 0) return false;  // what has not happened is neither before nor after
        return compare(node.op, *number, std::get<std::int64_t>(node.value));
    }
    const auto& text = std::get<std::string>(value);
    const auto& wanted = std::get<std::string>(node.value);
    if (type == FieldType::list)
        return text.find("\n" + wanted + "\n") != std::string::npos ||
               text.find("\n" + wanted + " ") != std::string::npos;
    if (node.op == FilterOp::has) return text.find(wanted) != std::string::npos;
    return compare(node.op, text, wanted);
}

template <class Leaf>
bool evaluate(const FilterNode& node, const Leaf& leaf) {
    switch (node.kind) {
        case Kind::all:
            return true;
        case Kind::and_:
            for (const auto& child : node.children)
                if (!evaluate(*child, leaf)) return false;
            return true;
        case Kind::or_:
            for (const auto& child : node.children)
                if (evaluate(*child, leaf)) return true;
            return false;
        case Kind::not_:
            return !evaluate(*node.children.front(), leaf);
        case Kind::comparison:
            return leaf(node);
    }
    return false;
}

bool compare_type(const FilterNode& node, std::string_view type) {
    return compare(node.op, std::string(type), std::get<std::string>(node.value));
}

bool matches_access(const FilterNode& tree, const usher::v1::AccessRecord& access) {
    return evaluate(tree, [&](const FilterNode& node) {
        if (node.field == type_field()) return compare_type(node, "access");
        const AccessField& field = access_fields()[node.field];
        return compare_field(node, field.filter.type, field.read(access));
    });
}

/// Of other events only type, username and client_ip can be compared.
bool matches_other(const FilterNode& tree, std::string_view type, const std::string* username,
                   const std::string* client_ip) {
    return evaluate(tree, [&](const FilterNode& node) {
        if (node.field == type_field()) return compare_type(node, type);
        const std::string_view name = access_fields()[node.field].filter.name;
        const std::string* value = name == "username" ? username : name == "client_ip" ? client_ip : nullptr;
        return value != nullptr && compare_field(node, FieldType::text, FieldValue(*value));
    });
}

std::string_view spelling(FilterOp op) {
    switch (op) {
        case FilterOp::equal:
            return " = ";
        case FilterOp::not_equal:
            return " <> ";
        case FilterOp::less:
            return " < ";
        case FilterOp::less_equal:
            return " <= ";
        case FilterOp::greater:
            return " > ";
        default:
            return " >= ";
    }
}

class SqlWriter {
public:
    explicit SqlWriter(std::vector<Value>& parameters) : parameters_(parameters) {}

    std::string write(const FilterNode& node) {
        switch (node.kind) {
            case Kind::all:
                return "1=1";
            case Kind::not_:
                return "NOT (" + write(*node.children.front()) + ")";
            case Kind::and_:
            case Kind::or_: {
                std::string out;
                for (const auto& child : node.children)
                    out += (out.empty() ? "(" : node.kind == Kind::and_ ? " AND (" : " OR (") + write(*child) + ")";
                return out;
            }
            case Kind::comparison:
                return comparison(node);
        }
        return "1=0";
    }

private:
    std::string bind(Value value) {
        parameters_.push_back(std::move(value));
        return "$" + std::to_string(parameters_.size());
    }

    std::string comparison(const FilterNode& node) {
        if (node.field == type_field()) return compare_type(node, "access") ? "1=1" : "1=0";
        const AccessField& field = access_fields()[node.field];
        const std::string column(field.column);
        if (const auto* number = std::get_if<std::int64_t>(&node.value)) {
            std::string out = column + std::string(spelling(node.op)) + bind(*number);
            if (field.filter.type == FieldType::time) out = column + " <> 0 AND " + out;
            return out;
        }
        const auto& text = std::get<std::string>(node.value);
        // instr() is SQLite's; on PostgreSQL the schema has a function of that name over strpos(). Neither knows
        // wildcards.
        if (field.filter.type == FieldType::list) {
            const std::string whole = bind("\n" + text + "\n");
            return "instr(" + column + ", " + whole + ") > 0 OR instr(" + column + ", " + bind("\n" + text + " ") +
                   ") > 0";
        }
        if (node.op == FilterOp::has) {
            if (text.empty()) return "1=1";
            return "instr(" + column + ", " + bind(text) + ") > 0";
        }
        return column + std::string(spelling(node.op)) + bind(text);
    }

    std::vector<Value>& parameters_;
};

}  // namespace

bool Filter::matches(const usher::v1::AccessRecord& access) const { return matches_access(*root_->tree, access); }

bool Filter::matches(const usher::v1::AuditEvent& event) const {
    switch (event.record_case()) {
        case usher::v1::AuditEvent::kAccess:
            return matches_access(*root_->tree, event.access());
        case usher::v1::AuditEvent::kAdmin:
            return matches_other(*root_->tree, "admin", &event.admin().actor(), &event.admin().client_ip());
        case usher::v1::AuditEvent::kSession:
            return matches_other(*root_->tree, "session", &event.session().username(), &event.session().client_ip());
        default:
            return matches_other(*root_->tree, "system", nullptr, nullptr);
    }
}

std::string Filter::to_sql(std::vector<Value>& parameters) const { return SqlWriter(parameters).write(*root_->tree); }

}  // namespace usher::audit
