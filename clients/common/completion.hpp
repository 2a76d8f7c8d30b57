#pragma once
#include <CLI/CLI.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace usher::clients {

/// What a shell may offer behind one command: the tree of a CLI11 program, flattened.
struct CompletionNode {
    std::vector<std::string> path;  ///< names below the program; empty for the program itself
    struct Word {
        std::string text;
        std::string description;
        bool takes_value = false;
        bool is_file = false;              ///< its value is a file's name
        std::vector<std::string> choices;  ///< the values it takes, when they are a closed set
    };
    std::vector<Word> subcommands;
    std::vector<Word> options;         ///< with their dashes; each spelling is a word of its own
    std::vector<std::string> choices;  ///< of the positional arguments
};

/// Walks the tree below `app`; hidden commands (an empty group) are left out.
std::vector<CompletionNode> completion_tree(const CLI::App& app);

/// A script for "bash", "zsh" or "fish" that completes subcommands, options and closed sets of values. Empty for
/// another shell.
std::string completion_script(std::string_view shell, std::string_view program, const CLI::App& app);

/// Adds the subcommand `completion bash|zsh|fish`, which prints the script of `root`.
CLI::App* add_completion_command(CLI::App& root, std::string program);

}  // namespace usher::clients
