#include "clients/common/completion.hpp"

#include <algorithm>
#include <iostream>
#include <memory>

namespace usher::clients {

namespace {

/// CLI11 names a closed set in the type of the option, as "TEXT:{table,json}".
std::vector<std::string> choices_of(const CLI::Option& option) {
    const std::string type = option.get_type_name();
    const auto open = type.find('{');
    const auto close = type.find('}', open == std::string::npos ? 0 : open);
    std::vector<std::string> choices;
    if (open == std::string::npos || close == std::string::npos) return choices;
    std::string word;
    for (std::size_t i = open + 1; i <= close; ++i) {
        if (type[i] == ',' || type[i] == '}') {
            if (!word.empty()) choices.push_back(word);
            word.clear();
        } else {
            word += type[i];
        }
    }
    return choices;
}

std::string first_sentence(const std::string& text) {
    const auto end = text.find_first_of(".;\n(");
    std::string sentence = text.substr(0, end);
    while (!sentence.empty() && sentence.back() == ' ') sentence.pop_back();
    return sentence;
}

void walk(const CLI::App& app, const std::vector<std::string>& path, std::vector<CompletionNode>& out) {
    CompletionNode node;
    node.path = path;
    for (const CLI::Option* option : app.get_options()) {
        if (option->get_group().empty()) continue;
        if (option->get_positional()) {
            const auto choices = choices_of(*option);
            node.choices.insert(node.choices.end(), choices.begin(), choices.end());
        }
        CompletionNode::Word word;
        word.description = first_sentence(option->get_description());
        word.takes_value = option->get_items_expected_max() > 0;
        word.is_file = option->get_type_name().find("FILE") != std::string::npos;
        word.choices = choices_of(*option);
        for (const auto& name : option->get_lnames()) {
            word.text = "--" + name;
            node.options.push_back(word);
        }
        for (const auto& name : option->get_snames()) {
            word.text = "-" + name;
            node.options.push_back(word);
        }
    }
    const auto children = app.get_subcommands([](const CLI::App* sub) { return !sub->get_group().empty(); });
    for (const CLI::App* child : children)
        node.subcommands.push_back({child->get_name(), first_sentence(child->get_description()), false, false, {}});
    out.push_back(std::move(node));
    for (const CLI::App* child : children) {
        auto below = path;
        below.push_back(child->get_name());
        walk(*child, below, out);
    }
}

std::string joined(const std::vector<std::string>& words, std::string_view separator) {
    std::string out;
    for (const auto& word : words) {
        if (!out.empty()) out += separator;
        out += word;
    }
    return out;
}

std::vector<std::string> texts(const std::vector<CompletionNode::Word>& words) {
    std::vector<std::string> out;
    for (const auto& word : words) out.push_back(word.text);
    return out;
}

/// 'text' for a shell.
std::string shell_quoted(std::string_view text) {
    std::string out = "'";
    for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return out + "'";
}

std::string key_of(const CompletionNode& node) { return joined(node.path, " "); }

/// The part that bash and zsh share: two functions of case statements over "command path".
std::string posix_tables(const std::string& prefix, const std::vector<CompletionNode>& nodes) {
    std::string words = prefix + "_words() {\n    case \"$1\" in\n";
    std::string values = prefix + "_values() {\n    case \"$1:$2\" in\n";
    for (const auto& node : nodes) {
        auto all = texts(node.subcommands);
        all.insert(all.end(), node.choices.begin(), node.choices.end());
        const auto options = texts(node.options);
        words += "        " + shell_quoted(key_of(node)) + ") printf '%s\\n' " + shell_quoted(joined(all, " ")) + " " +
                 shell_quoted(joined(options, " ")) + " ;;\n";
        for (const auto& option : node.options) {
            if (!option.takes_value) continue;
            const std::string offer = option.is_file           ? "<file>"
                                      : option.choices.empty() ? "<text>"
                                                               : joined(option.choices, " ");
            values += "        " + shell_quoted(key_of(node) + ":" + option.text) + ") printf '%s\\n' " +
                      shell_quoted(offer) + " ;;\n";
        }
    }
    // Options of the program itself may also stand behind its subcommands.
    words += "    esac\n}\n";
    std::string fallback;
    for (const auto& option : nodes.front().options) {
        if (!option.takes_value) continue;
        const std::string offer = option.is_file           ? "<file>"
                                  : option.choices.empty() ? "<text>"
                                                           : joined(option.choices, " ");
        fallback += "        *:" + option.text + ") printf '%s\\n' " + shell_quoted(offer) + " ;;\n";
    }
    values += fallback + "    esac\n}\n";
    return words + values;
}

std::string known_paths(const std::vector<CompletionNode>& nodes) {
    std::string out;
    for (const auto& node : nodes) {
        if (node.path.empty()) continue;
        if (!out.empty()) out += "|";
        out += shell_quoted(key_of(node));
    }
    return out;
}

std::string bash_script(const std::string& program, const std::vector<CompletionNode>& nodes) {
    const std::string f = "_" + program;
    return "# bash completion of " + program + "; load it with: source <(" + program + " completion bash)\n" +
           posix_tables(f, nodes) + f + "_complete() {\n" +
           "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} path='' next offer i\n" +
           "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
           "        next=\"${path:+$path }${COMP_WORDS[i]}\"\n"
           "        case \"$next\" in\n"
           "            " +
           known_paths(nodes) +
           ") path=$next ;;\n"
           "        esac\n"
           "    done\n"
           "    COMPREPLY=()\n"
           "    offer=$(" +
           f +
           "_values \"$path\" \"$previous\")\n"
           "    case \"$offer\" in\n"
           "        '<file>') compopt -o default 2>/dev/null; return ;;\n"
           "        '<text>') return ;;\n"
           "        '') offer=$(" +
           f +
           "_words \"$path\") ;;\n"
           "    esac\n"
           "    mapfile -t COMPREPLY < <(compgen -W \"$offer\" -- \"$current\")\n"
           "}\n"
           "complete -F " +
           f + "_complete " + program + "\n";
}

std::string zsh_script(const std::string& program, const std::vector<CompletionNode>& nodes) {
    const std::string f = "_" + program;
    return "#compdef " + program + "\n# zsh completion of " + program + "; load it with: source <(" + program +
           " completion zsh)\n" + posix_tables(f, nodes) + f + "_complete() {\n" +
           "    local previous=${words[CURRENT-1]} route='' next offer i\n"
           "    for ((i = 2; i < CURRENT; i++)); do\n"
           "        next=\"${route:+$route }${words[i]}\"\n"
           "        case \"$next\" in\n"
           "            " +
           known_paths(nodes) +
           ") route=$next ;;\n"
           "        esac\n"
           "    done\n"
           "    offer=$(" +
           f +
           "_values \"$route\" \"$previous\")\n"
           "    case \"$offer\" in\n"
           "        '<file>') _files; return ;;\n"
           "        '<text>') return ;;\n"
           "        '') offer=$(" +
           f +
           "_words \"$route\") ;;\n"
           "    esac\n"
           "    compadd -- ${=offer}\n"
           "}\n"
           "compdef " +
           f + "_complete " + program + "\n";
}

std::string fish_script(const std::string& program, const std::vector<CompletionNode>& nodes) {
    const std::string f = "__" + program + "_at";
    std::string known;
    for (const auto& node : nodes)
        if (!node.path.empty()) known += " " + shell_quoted(key_of(node));
    std::string out = "# fish completion of " + program + "; load it with: " + program + " completion fish | source\n" +
                      "function " + f +
                      "\n"
                      "    set -l route ''\n"
                      "    for word in (commandline -opc)[2..-1]\n"
                      "        set -l next (string trim -- \"$route $word\")\n"
                      "        contains -- \"$next\"" +
                      known +
                      "; and set route $next\n"
                      "    end\n"
                      "    test \"$route\" = \"$argv[1]\"\n"
                      "end\n"
                      "complete -c " +
                      program + " -f\n";
    for (const auto& node : nodes) {
        const std::string condition = " -n " + shell_quoted(f + " " + shell_quoted(key_of(node)));
        const std::string head = "complete -c " + program + condition;
        for (const auto& sub : node.subcommands)
            out += head + " -a " + shell_quoted(sub.text) + " -d " + shell_quoted(sub.description) + "\n";
        if (!node.choices.empty()) out += head + " -a " + shell_quoted(joined(node.choices, " ")) + "\n";
        for (const auto& option : node.options) {
            const bool is_long = option.text.starts_with("--");
            out += head + (is_long ? " -l " + option.text.substr(2) : " -s " + option.text.substr(1));
            if (option.is_file)
                out += " -r -F";
            else if (option.takes_value)
                out += " -x";
            if (!option.choices.empty()) out += " -a " + shell_quoted(joined(option.choices, " "));
            out += " -d " + shell_quoted(option.description) + "\n";
        }
    }
    return out;
}

}  // namespace

std::vector<CompletionNode> completion_tree(const CLI::App& app) {
    std::vector<CompletionNode> nodes;
    walk(app, {}, nodes);
    return nodes;
}

std::string completion_script(std::string_view shell, std::string_view program, const CLI::App& app) {
    const auto nodes = completion_tree(app);
    const std::string name{program};
    if (shell == "bash") return bash_script(name, nodes);
    if (shell == "zsh") return zsh_script(name, nodes);
    if (shell == "fish") return fish_script(name, nodes);
    return {};
}

CLI::App* add_completion_command(CLI::App& root, std::string program) {
    auto* command = root.add_subcommand("completion", "Print a script that completes this program's words in a shell");
    auto shell = std::make_shared<std::string>();
    command->add_option("SHELL", *shell, "bash, zsh or fish")
        ->required()
        ->check(CLI::IsMember({"bash", "zsh", "fish"}));
    command->footer("Examples:\n  source <(" + program + " completion bash)\n  " + program +
                    " completion fish | source");
    command->callback([&root, shell, program = std::move(program)] {
        std::cout << completion_script(*shell, program, root) << std::flush;
        if (!std::cout) throw CLI::RuntimeError("cannot write to standard output", 1);
    });
    return command;
}

}  // namespace usher::clients
