#pragma once
#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace usher::clients {

constexpr int exit_done = 0;
constexpr int exit_failed = 1;
constexpr int exit_usage = 2;

/// A failure that ends the command: `message` is one line for a person, already safe for a terminal.
struct Failure {
    std::string message;
    int exit_code = exit_failed;
};

/// Throws Failure for an error; gives the value else. Commands are short and have one way to fail: to say why and end.
template <class T>
T must(base::Result<T> result) {
    if (!result) throw Failure{result.error().message};
    return std::move(result).value();
}
inline void must(base::Result<void> result) {
    if (!result) throw Failure{result.error().message};
}

/// Writes to standard output and flushes. Throws Failure when nobody takes it.
void print(std::string_view text);
/// "PROGRAM: MESSAGE" on standard error.
void complain(std::string_view program, std::string_view message);

/// Parses the command line and runs the callback of the command that it names. Maps: help 0, wrong usage 2, Failure its
/// own code. Ignores SIGPIPE, so that a write to whoever went away is an error where it happens.
int run_program(CLI::App& app, const std::string& program, int argc, const char* const* argv);

/// The settings that both programs share: commands may be followed by global options, exactly one command is required.
void configure_app(CLI::App& app);

/// A footer of examples.
std::string examples(std::initializer_list<std::string_view> lines);

}  // namespace usher::clients
