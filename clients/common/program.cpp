#include "clients/common/program.hpp"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <iostream>
#include <vector>

#include "base/text.hpp"

namespace usher::clients {

namespace {

/// "usherctl audit tail": the command that was being read when parsing failed.
std::string command_path(const CLI::App& app, const std::string& program, const CLI::App** deepest) {
    std::string path = program;
    const CLI::App* at = &app;
    while (true) {
        const auto below = at->get_subcommands();
        if (below.empty()) break;
        at = below.back();
        path += " " + at->get_name();
    }
    *deepest = at;
    return path;
}

/// "; did you mean 'account'?" for a word where a subcommand was expected.
std::string suggestion(const CLI::App& at, int argc, const char* const* argv) {
    std::vector<std::string> names;
    for (const CLI::App* sub : at.get_subcommands([](const CLI::App*) { return true; }))
        names.push_back(sub->get_name());
    for (const CLI::Option* option : at.get_options())
        for (const auto& name : option->get_lnames()) names.push_back("--" + name);
    std::vector<std::string_view> known(names.begin(), names.end());
    for (int i = 1; i < argc; ++i) {
        const std::string_view word = argv[i];
        if (std::find(known.begin(), known.end(), word) != known.end()) continue;
        if (const auto near = base::closest(word, known)) return "; did you mean '" + std::string(*near) + "'?";
    }
    return {};
}

}  // namespace

void print(std::string_view text) {
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
        throw Failure{"cannot write to standard output"};
}

void complain(std::string_view program, std::string_view message) {
    const std::string line = std::string(program) + ": " + std::string(message) + "\n";
    std::fwrite(line.data(), 1, line.size(), stderr);
    std::fflush(stderr);
}

void configure_app(CLI::App& app) {
    app.fallthrough();
    app.require_subcommand(1);
    app.get_formatter()->column_width(34);
}

std::string examples(std::initializer_list<std::string_view> lines) {
    std::string text = "Examples:";
    for (const auto line : lines) text.append("\n  ").append(line);
    return text;
}

int run_program(CLI::App& app, const std::string& program, int argc, const char* const* argv) {
    std::signal(SIGPIPE, SIG_IGN);
    // Whoever started this may ignore it, and then no child could be waited for.
    std::signal(SIGCHLD, SIG_DFL);
    try {
        app.parse(argc, argv);
        return exit_done;
    } catch (const CLI::Success& done) {  // help, version
        return app.exit(done, std::cout, std::cerr);
    } catch (const CLI::RuntimeError& error) {
        complain(program, base::escape_for_terminal(error.what()));
        return error.get_exit_code();
    } catch (const CLI::ParseError& error) {
        const CLI::App* at = &app;
        const std::string path = command_path(app, program, &at);
        complain(program,
                 base::escape_for_terminal(error.what()) + suggestion(*at, argc, argv) + " (see: " + path + " --help)");
        return exit_usage;
    } catch (const Failure& failure) {
        if (!failure.message.empty()) complain(program, failure.message);
        return failure.exit_code;
    } catch (const std::exception& error) {
        complain(program, "unexpected: " + base::escape_for_terminal(error.what()));
        return exit_failed;
    }
}

}  // namespace usher::clients
