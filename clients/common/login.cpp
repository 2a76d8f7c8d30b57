#include "clients/common/login.hpp"

#include <filesystem>

#include "base/text.hpp"
#include "clients/common/password.hpp"
#include "clients/common/private_file.hpp"
#include "clients/common/program.hpp"
#include "clients/common/sign_in.hpp"

namespace usher::clients {

SavedSession log_in(const LoginOptions& options, const std::string& session_file, const std::string& device_id_file) {
    auto gateway = parse_endpoint(options.gateway);
    if (!gateway) throw Failure{"--gateway: " + gateway.error().message, exit_usage};
    std::string ca_file;
    if (!options.ca_file.empty()) {
        std::error_code error;
        // Later commands run in other directories.
        ca_file = std::filesystem::absolute(options.ca_file, error);
        if (error) throw Failure{"--ca: " + error.message()};
    }
    const TlsTrust trust = must(TlsTrust::load(ca_file));
    const std::string shown = base::escape_for_terminal(options.username, 100);
    const auto password = must(
        read_password("Password of " + shown + " at " + gateway->to_string() + ": ", {options.password_stdin, false}));
    auto session = must(sign_in(trust, *gateway, options.username, password, this_device(device_id_file)));
    must(save_session(session_file, session));
    return session;
}

std::string log_out(const std::string& program, const std::string& session_file, bool forget) {
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
