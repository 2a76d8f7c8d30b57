#include "audit/filter_grammar.hpp"

#include <optional>

#include "base/text.hpp"

namespace usher::audit {
namespace {

using base::Errc;
using base::Error;
using NodePtr = std::unique_ptr<FilterNode>;

constexpr std::size_t text_bytes_max = 4096;
constexpr std::size_t comparisons_max = 64;
constexpr std::size_t depth_max = 16;

struct Token {
    enum class Kind { end, word, text, op, open, close, bad };
    Kind kind = Kind::end;
    std::string value;
    std::size_t column = 1;
};

bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
           c == '-' || c == '+';
}

class Parser {
public:
    Parser(std::string_view text, std::span<const FilterField> fields) : text_(text), fields_(fields) { advance(); }

    base::Result<NodePtr> parse() {
        if (token_.kind == Token::Kind::end && error_.empty()) return std::make_unique<FilterNode>();
        NodePtr root = conjunction(0);
        if (error_.empty() && token_.kind != Token::Kind::end)
            fail(token_, "expected AND, OR or the end, found '" + shown(token_) + "'");
        if (!error_.empty()) return Error{Errc::invalid_argument, error_};
        return root;
    }

private:
    static std::string shown(const Token& t) { return base::escape_for_terminal(t.value, 60); }

    void fail(const Token& at, const std::string& what) {
        if (error_.empty()) error_ = "filter:1:" + std::to_string(at.column) + ": " + what;
    }

    void advance() {
        while (at_ < text_.size() &&
               (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r'))
            ++at_;
        token_ = Token{Token::Kind::end, "", at_ + 1};
        if (at_ >= text_.size()) return;
        const char c = text_[at_];
        if (c == '(' || c == ')') {
            token_ = {c == '(' ? Token::Kind::open : Token::Kind::close, std::string(1, c), at_ + 1};
            ++at_;
        } else if (c == '=' || c == ':' || c == '<' || c == '>' || c == '!') {
            const bool two = at_ + 1 < text_.size() && text_[at_ + 1] == '=' && (c == '<' || c == '>' || c == '!');
            token_ = {c == '!' && !two ? Token::Kind::bad : Token::Kind::op,
                      std::string(text_.substr(at_, two ? 2 : 1)), at_ + 1};
            at_ += two ? 2 : 1;
        } else if (c == '"') {
            quoted();
        } else if (is_word(c)) {
            const std::size_t begin = at_;
            while (at_ < text_.size() && is_word(text_[at_])) ++at_;
            token_ = {Token::Kind::word, std::string(text_.substr(begin, at_ - begin)), begin + 1};
        } else {
            token_ = {Token::Kind::bad, std::string(1, c), at_ + 1};
            ++at_;
        }
        if (token_.kind == Token::Kind::bad) fail(token_, "unexpected '" + shown(token_) + "'");
    }

    void quoted() {
        token_ = {Token::Kind::text, "", at_ + 1};
        for (++at_; at_ < text_.size(); ++at_) {
            char c = text_[at_];
            if (c == '"') {
                ++at_;
                return;
            }
            if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
                return fail({Token::Kind::bad, "", at_ + 1}, "a control character in a text");
            if (c == '\\') {
                if (++at_ >= text_.size() || (text_[at_] != '"' && text_[at_] != '\\'))
                    return fail({Token::Kind::bad, "", at_ + 1}, "after a backslash expected \" or \\");
                c = text_[at_];
            }
            token_.value.push_back(c);
        }
        fail(token_, "a text without its closing quote");
    }

    bool keyword(std::string_view word) const { return token_.kind == Token::Kind::word && token_.value == word; }

    NodePtr list(FilterNode::Kind kind, std::string_view word, std::size_t depth) {
        const auto next = [&] {
            return kind == FilterNode::Kind::and_ ? list(FilterNode::Kind::or_, "OR", depth) : factor(depth);
        };
        NodePtr first = next();
        if (!error_.empty() || !keyword(word)) return first;
        auto node = std::make_unique<FilterNode>();
        node->kind = kind;
        node->children.push_back(std::move(first));
        while (error_.empty() && keyword(word)) {
            advance();
            node->children.push_back(next());
        }
        return node;
    }

    NodePtr conjunction(std::size_t depth) { return list(FilterNode::Kind::and_, "AND", depth); }

    NodePtr factor(std::size_t depth) {
        if (depth >= depth_max) {
            fail(token_, "more than " + std::to_string(depth_max) + " levels");
            return nullptr;
        }
        if (keyword("NOT")) {
            advance();
            auto node = std::make_unique<FilterNode>();
            node->kind = FilterNode::Kind::not_;
            node->children.push_back(factor(depth + 1));
            return node;
        }
        if (token_.kind == Token::Kind::open) {
            advance();
            NodePtr inner = conjunction(depth + 1);
            if (error_.empty() && token_.kind != Token::Kind::close) fail(token_, "expected ')'");
            advance();
            return inner;
        }
        return comparison();
    }

    NodePtr comparison() {
        if (++comparisons_ > comparisons_max)
            fail(token_, "more than " + std::to_string(comparisons_max) + " comparisons");
        if (token_.kind != Token::Kind::word) fail(token_, "expected a field, found '" + shown(token_) + "'");
        if (!error_.empty()) return nullptr;
        auto node = std::make_unique<FilterNode>();
        node->kind = FilterNode::Kind::comparison;
        const Token name = token_;
        const auto field = find(name);
        if (!field) return nullptr;
        node->field = *field;
        advance();
        const Token op = token_;
        if (op.kind != Token::Kind::op) {
            fail(op, "expected = != < <= > >= or : behind '" + name.value + "'");
            return nullptr;
        }
        node->op = op.value == "="    ? FilterOp::equal
                   : op.value == "!=" ? FilterOp::not_equal
                   : op.value == "<"  ? FilterOp::less
                   : op.value == "<=" ? FilterOp::less_equal
                   : op.value == ">"  ? FilterOp::greater
                   : op.value == ">=" ? FilterOp::greater_equal
                                      : FilterOp::has;
        if (!allowed(fields_[*field].type, node->op)) {
            fail(op, "'" + op.value + "' cannot be used with '" + name.value + "'");
            return nullptr;
        }
        advance();
        take_value(fields_[*field], *node);
        return node;
    }

    static bool allowed(FieldType type, FilterOp op) {
        if (type == FieldType::list) return op == FilterOp::has;
        if (op == FilterOp::has) return type == FieldType::text;
        if (type == FieldType::boolean || type == FieldType::enumeration)
            return op == FilterOp::equal || op == FilterOp::not_equal;
        return true;
    }

    std::optional<std::size_t> find(const Token& name) {
        std::vector<std::string_view> known;
        for (std::size_t i = 0; i < fields_.size(); ++i) {
            if (fields_[i].name == name.value) return i;
            known.push_back(fields_[i].name);
        }
        std::string what = "unknown field '" + shown(name) + "'";
        if (const auto near = base::closest(name.value, known)) {
            what += "; did you mean '" + std::string(*near) + "'?";
        } else {
            what += "; the fields are";
            for (const auto& field : known) what += " " + std::string(field);
        }
        fail(name, what);
        return std::nullopt;
    }

    void take_value(const FilterField& field, FilterNode& node) {
        const Token value = token_;
        if (value.kind != Token::Kind::word && value.kind != Token::Kind::text) return fail(value, "expected a value");
        const bool is_text = value.kind == Token::Kind::text;
        const std::string found = "'" + shown(value) + "'";
        switch (field.type) {
            case FieldType::text:
            case FieldType::list:
                if (!is_text) return fail(value, "expected a text in double quotes, found " + found);
                if (!base::is_utf8(value.value)) return fail(value, "the text is not UTF-8");
                node.value = value.value;
                break;
            case FieldType::integer: {
                const auto number = is_text ? std::nullopt : base::parse_unsigned(value.value, INT64_MAX);
                if (!number) return fail(value, "expected a whole number, found " + found);
                node.value = static_cast<std::int64_t>(*number);
                break;
            }
            case FieldType::time: {
                const auto time = is_text ? base::parse_rfc3339(value.value) : std::nullopt;
                if (!time) return fail(value, "expected a time such as \"2026-11-23T10:00:00Z\", found " + found);
                node.value = base::to_micros(*time);
                break;
            }
            case FieldType::boolean:
                if (is_text || (value.value != "true" && value.value != "false"))
                    return fail(value, "expected true or false, found " + found);
                node.value = std::int64_t{value.value == "true"};
                break;
            case FieldType::enumeration: {
                for (const auto& word : field.words)
                    if (word == value.value) node.value = value.value;
                if (!std::holds_alternative<std::string>(node.value) || std::get<std::string>(node.value).empty()) {
                    std::string what = "expected one of";
                    for (const auto& word : field.words) what += " " + std::string(word);
                    return fail(value, what + "; found " + found);
                }
                break;
            }
        }
        advance();
    }

    std::string_view text_;
    std::span<const FilterField> fields_;
    std::size_t at_ = 0;
    std::size_t comparisons_ = 0;
    Token token_;
    std::string error_;
};

}  // namespace

base::Result<NodePtr> parse_filter(std::string_view text, std::span<const FilterField> fields) {
    if (text.size() > text_bytes_max)
        return Error{Errc::invalid_argument, "filter:1:1: longer than " + std::to_string(text_bytes_max) + " bytes"};
    return Parser(text, fields).parse();
}

}  // namespace usher::audit
