#pragma once
#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "clients/common/device_key.hpp"
#include "clients/common/saved_session.hpp"
#include "clients/posture/posture.hpp"

namespace usher::clients {

/// The options of `login`, which are the same in both programs.
struct LoginOptions {
    std::string gateway;
    std::string ca_file;
    std::string username;
    bool password_stdin = false;
    std::string code;
    bool code_stdin = false;
    bool change_password = false;
    bool new_password_stdin = false;
};

/// Adds the options that say where secrets come from: --password-stdin, --code and --code-stdin.
void add_secret_options(CLI::App* command, LoginOptions& options);

/// Asks for what is missing (the password always, a new one where it has to be changed), signs in and keeps the session
/// in `session_file`. Throws Failure.
/// `device`: what is shown to a gateway that asks for it. `declined`: what this machine does not say of itself.
SavedSession log_in(const LoginOptions& options, const std::string& session_file, const std::string& device_id_file,
                    const std::optional<DeviceIdentity>& device = {}, const PostureFields& declined = {});

/// Ends the session of `session_file` at the gateway and removes the file. `forget`: removes the file even when the
/// gateway cannot be reached. Gives the line to print.
std::string log_out(const std::string& program, const std::string& session_file, bool forget,
                    const std::optional<DeviceIdentity>& device = {});

}  // namespace usher::clients
