#include "clients/common/yaml_tree.hpp"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <set>
#include <sstream>

#include "base/text.hpp"

namespace usher::clients {

using base::Errc;
using base::Result;

namespace {

constexpr std::size_t depth_limit = 16;

SourceMark mark_of(const YAML::Mark& mark) { return {mark.line + 1, mark.column + 1}; }

/// Ends parsing from inside of yaml-cpp's callbacks.
struct Refused {
    SourceMark mark;
    std::string what;
};

class Builder final : public YAML::EventHandler {
public:
    void OnDocumentStart(const YAML::Mark&) override { root_ = YamlNode{}; }
    void OnDocumentEnd() override {
        if (root_.kind != YamlNode::Kind::nothing) documents.push_back(std::move(root_));
    }
    void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        check(mark, "", anchor);
        add({YamlNode::Kind::nothing, mark_of(mark), {}, {}, {}});
    }
    void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
        throw Refused{mark_of(mark), "aliases ('*name') are not taken here; write the value out"};
    }
    void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  const std::string& value) override {
        check(mark, tag, anchor);
        if (!base::is_utf8(value)) throw Refused{mark_of(mark), "the text is not UTF-8"};
        const bool plain = tag == "?";
        const bool nothing = plain && (value.empty() || value == "~" || value == "null");
        add({nothing ? YamlNode::Kind::nothing : YamlNode::Kind::text, mark_of(mark), value, {}, {}});
    }
    void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                         YAML::EmitterStyle::value) override {
        open(YamlNode::Kind::list, mark, tag, anchor);
    }
    void OnSequenceEnd() override { close(); }
    void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                    YAML::EmitterStyle::value) override {
        open(YamlNode::Kind::map, mark, tag, anchor);
    }
    void OnMapEnd() override { close(); }

    std::vector<YamlNode> documents;

private:
    /// A list or map that is being read, with the key that waits for its value.
    struct Open {
        YamlNode node;
        std::vector<YamlNode> key;
        std::set<std::string> seen;
    };

    static void check(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
        if (anchor != 0) throw Refused{mark_of(mark), "anchors ('&name') are not taken here; write the value out"};
        if (!tag.empty() && tag != "?" && tag != "!") throw Refused{mark_of(mark), "tags ('!name') are not taken here"};
    }

    void open(YamlNode::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
        check(mark, tag, anchor);
        if (stack_.size() >= depth_limit) throw Refused{mark_of(mark), "nested too deeply"};
        if (expects_key()) throw Refused{mark_of(mark), "a key must be text"};
        stack_.push_back({{kind, mark_of(mark), {}, {}, {}}, {}, {}});
    }

    void close() {
        YamlNode node = std::move(stack_.back().node);
        stack_.pop_back();
        add(std::move(node));
    }

    bool expects_key() const {
        return !stack_.empty() && stack_.back().node.kind == YamlNode::Kind::map && stack_.back().key.empty();
    }

    void add(YamlNode node) {
        if (stack_.empty()) {
            root_ = std::move(node);
            return;
        }
        Open& parent = stack_.back();
        if (parent.node.kind == YamlNode::Kind::list) {
            parent.node.items.push_back(std::move(node));
        } else if (parent.key.empty()) {
            if (node.kind != YamlNode::Kind::text) throw Refused{node.mark, "a key must be text"};
            if (!parent.seen.insert(node.text).second)
                throw Refused{node.mark, "the key '" + base::escape_for_terminal(node.text, 60) + "' is here twice"};
            parent.key.push_back(std::move(node));
        } else {
            parent.node.pairs.emplace_back(std::move(parent.key.back()), std::move(node));
            parent.key.clear();
        }
    }

    YamlNode root_;
    std::vector<Open> stack_;
};

}  // namespace

std::string_view kind_name(YamlNode::Kind kind) {
    switch (kind) {
        case YamlNode::Kind::text:
            return "text";
        case YamlNode::Kind::list:
            return "a list";
        case YamlNode::Kind::map:
            return "a map";
        case YamlNode::Kind::nothing:
            break;
    }
    return "nothing";
}

std::string at_mark(std::string_view file, SourceMark mark, std::string_view what) {
    return base::escape_for_terminal(file) + ":" + std::to_string(mark.line) + ":" + std::to_string(mark.column) +
           ": " + std::string(what);
}

Result<std::vector<YamlNode>> parse_yaml(std::string_view text, std::string_view file, std::size_t limit_bytes) {
    if (text.size() > limit_bytes)
        return {Errc::invalid_argument, base::escape_for_terminal(file) + ": larger than " +
                                            std::to_string(limit_bytes / 1024) + " KiB; split it"};
    if (!base::is_utf8(text)) return {Errc::invalid_argument, base::escape_for_terminal(file) + ": not UTF-8 text"};
    std::istringstream stream{std::string(text)};
    Builder builder;
    try {
        YAML::Parser parser(stream);
        while (parser.HandleNextDocument(builder)) {
        }
    } catch (const Refused& refused) {
        return {Errc::invalid_argument, at_mark(file, refused.mark, refused.what)};
    } catch (const YAML::Exception& error) {
        return {Errc::invalid_argument, at_mark(file, mark_of(error.mark), base::escape_for_terminal(error.msg))};
    }
    return std::move(builder.documents);
}

}  // namespace usher::clients
