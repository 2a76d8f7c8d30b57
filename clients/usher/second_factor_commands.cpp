// second-factor enroll|verify

#include <memory>

#include "base/text.hpp"
#include "clients/common/gateway_call.hpp"
#include "clients/common/json.hpp"
#include "clients/common/password.hpp"
#include "clients/common/program.hpp"
#include "clients/common/sign_in.hpp"
#include "clients/common/table.hpp"
#include "clients/usher/commands.hpp"
#include "clients/usher/local_session.hpp"

namespace usher::clients::agent {

namespace {

namespace json = boost::json;

struct Options {
    bool password_stdin = false;
    bool code_stdin = false;
    std::string code;
    std::string format = "table";
};

/// POST of a form of secrets in the session; gives the answer's object. Throws Failure.
json::object post(const SavedSession& session, std::string_view path,
                  std::initializer_list<std::pair<std::string_view, const base::Secret*>> form) {
    std::string body;
    body.reserve(8 * 1024);  // one block, so that wiping it wipes every copy
    body += '{';
    for (const auto& [key, secret] : form) {
        if (secret->empty()) continue;
        if (!base::is_utf8(secret->reveal())) throw Failure{"the " + std::string(key) + " is not UTF-8 text"};
        std::string quoted = base::json_quote(secret->reveal());
        body.append(body.size() > 1 ? ",\"" : "\"").append(key).append("\":").append(quoted);
        base::wipe(quoted);
    }
    body += '}';
    const TlsTrust trust = trust_of(session);
    auto answer = call_gateway(trust, session.gateway, {"POST", path, &session.token, body});
    base::wipe(body);
    if (!answer) fail_with(answer.error());
    if (answer->head.status == 401) fail_with({base::Errc::unauthenticated, "the session is over"});
    if (answer->head.status == 403) throw Failure{"the gateway does not accept this; a code is good once"};
    if (!answer->head.is_success()) fail_with(unexpected_answer(*answer));
    auto object = parse_json_object(answer->body);
    base::wipe(answer->body);
    if (!object) throw Failure{"the gateway's answer: " + object.error().message};
    return std::move(*object);
}

std::string member(const json::object& object, std::string_view key) {
    auto text = json_text(object, key);
    if (!text) throw Failure{"the gateway's answer lacks '" + std::string(key) + "'"};
    return std::move(*text);
}

bool has_second_factor(const SavedSession& session) {
    auto answer = get_json(trust_of(session), session, "/.usher/v1/sessions/current");
    if (!answer) fail_with(answer.error());
    const auto object = parse_json_object(*answer);
    if (!object) throw Failure{"the gateway's answer: " + object.error().message};
    const auto* enrolled = object->if_contains("second_factor");
    return enrolled != nullptr && enrolled->is_bool() && enrolled->get_bool();
}

void enroll(const Options& options) {
    const SavedSession session = current_session();
    const bool replaces = has_second_factor(session);
    const auto password = must(read_password("Your password: ", {options.password_stdin, false}));
    base::Secret old_code;
    if (replaces)
        old_code =
            must(read_code("Code of the second factor that you have (or a recovery code): ", options.code_stdin));
    const auto begun =
        post(session, "/.usher/v1/second-factor", {{"password", &password}, {"second_factor", &old_code}});
    if (options.format == "json")
        print(json::serialize(begun) + "\n");
    else
        print("Put this into your authenticator app:\n\n  " + base::escape_for_terminal(member(begun, "uri")) +
              "\n\nor type the key " + base::escape_for_terminal(member(begun, "secret")) +
              " (time-based, 6 digits, SHA-1, 30 seconds).\n");
    const auto code = must(read_code("The code that the app shows: ", options.code_stdin));
    const auto done = post(session, "/.usher/v1/second-factor/confirm", {{"second_factor", &code}});
    if (options.format == "json") return print(json::serialize(done) + "\n");
    const auto* codes = done.if_contains("recovery_codes");
    if (codes == nullptr || !codes->is_array()) throw Failure{"the gateway's answer has no recovery codes"};
    std::string text =
        "Your second factor is enrolled; from now on every sign-in asks for it.\n"
        "Keep these recovery codes where your phone is not. Each stands once for a code of the app:\n\n";
    for (const auto& recovery : codes->get_array())
        if (recovery.is_string()) text += "  " + base::escape_for_terminal(recovery.get_string()) + "\n";
    print(text);
}

void verify(const Options& options) {
    const SavedSession session = current_session();
    const base::Secret code = options.code.empty() ? must(read_code("Code of your second factor: ", options.code_stdin))
                                                   : base::Secret(std::string_view(options.code));
    if (code.empty()) throw Failure{"the code is empty"};
    const auto done = post(session, "/.usher/v1/sessions/current/second-factor", {{"second_factor", &code}});
    if (options.format == "json") return print(json::serialize(done) + "\n");
    const auto at = base::parse_rfc3339(member(done, "second_factor_at"));
    if (!at) throw Failure{"the gateway's answer has a malformed time"};
    print("second factor verified at " + short_time(*at) + "\n");
}

void add_format(CLI::App* command, Options& options) {
    command->add_option("-o,--output", options.format, "Form of the answer")
        ->check(CLI::IsMember({"table", "json"}))
        ->capture_default_str();
}

}  // namespace

void add_second_factor_commands(CLI::App& app) {
    auto* group = app.add_subcommand("second-factor", "Enrol an authenticator app, and show its code again");
    group->require_subcommand(1);
    group->footer(examples({"usher second-factor enroll", "usher second-factor verify"}));
    {
        auto* command =
            group->add_subcommand("enroll", "Enrol an authenticator app (TOTP), in place of the one that you have");
        auto options = std::make_shared<Options>();
        command->add_flag("--password-stdin", options->password_stdin,
                          "Read the password from the first line of standard input");
        command->add_flag(
            "--code-stdin", options->code_stdin,
            "Read codes from standard input, a line each: of the present app if there is one, then of the "
            "new one");
        add_format(command, *options);
        command->footer(examples({"usher second-factor enroll"}));
        command->callback([options] { enroll(*options); });
    }
    {
        auto* command = group->add_subcommand(
            "verify", "Show a code again in the session that you have, for apps that want it fresh");
        auto options = std::make_shared<Options>();
        auto* code = command->add_option("--code", options->code, "The code, or a recovery code; each is good once");
        command->add_flag("--code-stdin", options->code_stdin, "Read the code from a line of standard input")
            ->excludes(code);
        add_format(command, *options);
        command->footer(examples({"usher second-factor verify", "usher second-factor verify --code 287082"}));
        command->callback([options] { verify(*options); });
    }
}

}  // namespace usher::clients::agent
