#include "clients/common/completion.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "catch.hpp"
#include "clients/common/program.hpp"

using namespace usher::clients;

namespace {

/// A small program: `tool audit tail --follow -o table|json`, `tool get apps|policies`, and a global --ca FILE.
void build(CLI::App& app) {
    configure_app(app);
    app.add_option("--ca")->type_name("FILE");
    auto* audit = app.add_subcommand("audit", "Read the record; it's all there");
    auto* tail = audit->add_subcommand("tail", "Show events");
    tail->add_flag("--follow")->description("Go on");
    tail->add_option("-o,--output")->check(CLI::IsMember({"table", "json"}));
    app.add_subcommand("get", "List")->add_option("KIND")->check(CLI::IsMember({"apps", "policies"}));
    add_completion_command(app, "tool");
}

bool has(const std::vector<CompletionNode::Word>& words, std::string_view text) {
    return std::any_of(words.begin(), words.end(), [&](const auto& word) { return word.text == text; });
}

/// What bash offers behind `words`, the last of which is being typed.
std::string bash_offers(const std::string& script, const std::string& words, int current) {
    const auto path = std::filesystem::temp_directory_path() / ("usher-completion-" + std::to_string(::getpid()));
    {
        std::ofstream file(path);
        file << script << "COMP_WORDS=(" << words << "); COMP_CWORD=" << current
             << "; _tool_complete; printf '%s ' \"${COMPREPLY[@]}\"\n";
    }
    FILE* shell = ::popen(("bash " + path.string()).c_str(), "r");
    REQUIRE(shell != nullptr);
    std::string out;
    for (int c = std::fgetc(shell); c != EOF; c = std::fgetc(shell)) out += static_cast<char>(c);
    CHECK(::pclose(shell) == 0);
    std::filesystem::remove(path);
    return out;
}

}  // namespace

TEST_CASE("the tree has commands below commands, their options and their closed sets") {
    CLI::App app{"tool", "tool"};
    build(app);
    const auto nodes = completion_tree(app);
    REQUIRE(nodes.size() == 5);
    CHECK(nodes[0].path.empty());
    CHECK(has(nodes[0].subcommands, "audit"));
    CHECK(has(nodes[0].options, "--ca"));
    const auto tail = std::find_if(nodes.begin(), nodes.end(), [](const auto& node) {
        return node.path == std::vector<std::string>{"audit", "tail"};
    });
    REQUIRE(tail != nodes.end());
    CHECK(has(tail->options, "--follow"));
    CHECK(has(tail->options, "-o"));
    const auto output = std::find_if(tail->options.begin(), tail->options.end(),
                                     [](const auto& word) { return word.text == "--output"; });
    REQUIRE(output != tail->options.end());
    CHECK(output->takes_value);
    CHECK(output->choices == std::vector<std::string>{"table", "json"});
    const auto get = std::find_if(nodes.begin(), nodes.end(),
                                  [](const auto& node) { return node.path == std::vector<std::string>{"get"}; });
    REQUIRE(get != nodes.end());
    CHECK(get->choices == std::vector<std::string>{"apps", "policies"});
}

TEST_CASE("bash offers what the command line takes at that place") {
    CLI::App app{"tool", "tool"};
    build(app);
    const auto script = completion_script("bash", "tool", app);
    CHECK(bash_offers(script, "tool au", 1) == "audit ");
    CHECK(bash_offers(script, "tool audit ''", 2).find("tail ") == 0);
    CHECK(bash_offers(script, "tool --ca x audit tail --f", 5) == "--follow ");
    CHECK(bash_offers(script, "tool audit tail -o ''", 4) == "table json ");
    CHECK(bash_offers(script, "tool get p", 2) == "policies ");
}

TEST_CASE("each known shell has a script, another has none") {
    CLI::App app{"tool", "tool"};
    build(app);
    CHECK(completion_script("zsh", "tool", app).rfind("#compdef tool", 0) == 0);
    const auto fish = completion_script("fish", "tool", app);
    CHECK(fish.find("-l follow") != std::string::npos);
    CHECK(completion_script("csh", "tool", app).empty());
}
