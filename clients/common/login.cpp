#include "clients/common/login.hpp"

#include <filesystem>

#include "base/text.hpp"
#include "clients/common/password.hpp"
#include "clients/common/private_file.hpp"
#include "clients/common/program.hpp"
#include "clients/common/sign_in.hpp"
#include "clients/posture/declined.hpp"

namespace usher::clients {

namespace {

/// Nobody can know before the sign-in whether there is a second factor, so whoever sits at a terminal is asked.
base::Secret code_for(const LoginOptions& options) {
    if (!options.code.empty()) return base::Secret(std::string_view(options.code));
    if (options.code_stdin) return must(read_code({}, true));
    if (options.password_stdin) return {};
    return must(read_code("Code of your second factor (Enter if you have none): ", false));
}

base::Secret new_password_for(const LoginOptions& options) {
    return must(read_password("New password: ", {options.new_password_stdin, true}));
}

}  // namespace

void add_secret_options(CLI::App* command, LoginOptions& options) {
    command->add_flag("--password-stdin", options.password_stdin,
                      "Read the password from the first line of standard input");
    auto* code = command->add_option("--code", options.code,
                                     "The code of your second factor, or a recovery code; each is good once");
    command
        ->add_flag("--code-stdin", options.code_stdin,
                   "Read the code from a line of standard input, behind the password's")
        ->excludes(code);
    command->add_flag("--change-password", options.change_password, "Set a new password, and end every other session");
    command->add_flag("--new-password-stdin", options.new_password_stdin,
                      "As --change-password, and read it from a line of standard input, behind the other lines");
}

SavedSession log_in(const LoginOptions& options, const std::string& session_file, const std::string& device_id_file,
                    const std::optional<DeviceIdentity>& device_identity, const PostureFields& declined) {
    auto gateway = parse_endpoint(options.gateway);
    if (!gateway) throw Failure{"--gateway: " + gateway.error().message, exit_usage};
    std::string ca_file;
    if (!options.ca_file.empty()) {
        std::error_code error;
        // Later commands run in other directories.
        ca_file = std::filesystem::absolute(options.ca_file, error);
        if (error) throw Failure{"--ca: " + error.message()};
    }
    TlsTrust trust = must(TlsTrust::load(ca_file));
    if (device_identity) trust.present(*device_identity);
    const std::string shown = base::escape_for_terminal(options.username, 100);
    SignInSecrets secrets;
    secrets.password = must(
        read_password("Password of " + shown + " at " + gateway->to_string() + ": ", {options.password_stdin, false}));
    secrets.second_factor = code_for(options);
    if (options.change_password || options.new_password_stdin) secrets.new_password = new_password_for(options);
    auto device = this_device(device_id_file);
    withhold(device, declined);
    auto signed_in = sign_in(trust, *gateway, options.username, secrets, device);
    if (!signed_in && signed_in.error().code == base::Errc::failed_precondition) {
        if (options.password_stdin)
            throw Failure{signed_in.error().message + "; give the new one with --new-password-stdin"};
        complain("login", signed_in.error().message);
        secrets.new_password = new_password_for(options);
        signed_in = sign_in(trust, *gateway, options.username, secrets, device);
    }
    auto session = must(std::move(signed_in));
    must(save_session(session_file, session));
    return session;
}

std::string log_out(const std::string& program, const std::string& session_file, bool forget,
                    const std::optional<DeviceIdentity>& device) {
    auto session = load_session(session_file);
    if (!session && forget) {
        must(remove_private_file(session_file));
        return "removed a session that could not be read\n";
    }
    if (!session) throw Failure{session.error().message};
    if (!*session) return "nobody is signed in here\n";
    auto ended = [&]() -> base::Result<void> {
        auto trust = TlsTrust::load((*session)->ca_file);
        if (!trust) return std::move(trust).error();
        if (device) trust->present(*device);
        return sign_out(*trust, **session);
    }();
    if (!ended && !forget)
        throw Failure{ended.error().message +
                      "; the session still stands. Try again, or drop it from this machine only with: " + program +
                      " logout --forget"};
    must(remove_private_file(session_file));
    const std::string who =
        base::escape_for_terminal((*session)->username, 100) + " at " + (*session)->gateway.to_string();
    return ended ? "signed out " + who + "\n" : "forgot the session of " + who + "; at the gateway it ends by itself\n";
}

}  // namespace usher::clients
