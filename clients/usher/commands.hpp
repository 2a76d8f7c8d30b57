#pragma once
#include <CLI/CLI.hpp>

namespace usher::clients::agent {

/// Adds every command of `usher` to the program's tree. A command's callback runs it and throws Failure where it fails.
void add_session_commands(CLI::App& app);        // login, logout, token, apps, status
void add_second_factor_commands(CLI::App& app);  // second-factor enroll, verify
void add_device_commands(CLI::App& app);         // enroll
void add_posture_commands(CLI::App& app);        // posture show, decline, allow
void add_tunnel_commands(CLI::App& app);         // connect, forward
void add_up_command(CLI::App& app);              // up

}  // namespace usher::clients::agent
