// enroll

#include "clients/usher/device_commands.hpp"

#include <unistd.h>

#include <array>
#include <memory>

#include "base/clock.hpp"
#include "base/text.hpp"
#include "clients/common/gateway_call.hpp"
#include "clients/common/json.hpp"
#include "clients/common/program.hpp"
#include "clients/common/sign_in.hpp"
#include "clients/common/table.hpp"
#include "clients/usher/commands.hpp"
#include "clients/usher/local_session.hpp"

namespace usher::clients::agent {

namespace {

namespace json = boost::json;
using base::Errc;
using base::Result;

struct Options {
    std::string name;
    std::string key;  ///< where it is made; empty: where the present one is, else in a file
    bool replace = false;
    std::string format = "table";
};

std::string host_name() {
    std::array<char, 256> name{};
    return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

/// The refusals of an enrolment, for people.
std::string refusal(const std::string& word, const Endpoint& gateway) {
    if (word == "sign-in-too-old")
        return "you have to prove once more who you are: sign in again (or, with a second factor, run: usher "
               "second-factor verify), and enrol within ten minutes; the gateway is " +
               gateway.to_string();
    if (word == "too-many-devices") return "you have as many devices as you may; ask an administrator to unbind one";
    if (word == "device-name-invalid") return "--name: the gateway does not take this name; try a shorter one";
    if (word == "no-device") return "this session is not of an enrolled device";
    return "the gateway refused it: " + base::escape_for_terminal(word, 100);
}

struct Answer {
    std::string certificate, state, device_id;
    base::UtcTime not_after;
};

/// POSTs and reads the certificate in the answer.
Result<Answer> ask(const TlsTrust& trust, const SavedSession& session, std::string_view path, std::string_view body) {
    auto answer = call_gateway(trust, session.gateway, {"POST", path, &session.token, body});
    if (!answer) return std::move(answer).error();
    if (answer->head.status == 401) return {Errc::unauthenticated, "the session is over"};
    auto object = parse_json_object(answer->body);
    const auto word = object ? json_text(*object, "error") : std::nullopt;
    const int status = answer->head.status;
    if (word && (status == 400 || status == 403 || status == 409))
        return {Errc::failed_precondition, refusal(*word, session.gateway)};
    if (!answer->head.is_success()) return unexpected_answer(*answer);
    if (!object) return {Errc::data_loss, "the gateway's answer: " + object.error().message};
    auto certificate = json_text(*object, "certificate");
    auto state = json_text(*object, "state");
    auto id = json_text(*object, "device_id");
    const auto until = json_text(*object, "not_after");
    const auto not_after = until ? base::parse_rfc3339(*until) : std::nullopt;
    if (!certificate || !state || !id || !not_after)
        return {Errc::data_loss, "the gateway's answer lacks a member; is it an older gateway?"};
    return Answer{std::move(*certificate), std::move(*state), std::move(*id), *not_after};
}

device::KeyPlace chosen_place(const Options& options, const device::DeviceStore& store) {
    if (!options.key.empty()) {
        auto place = device::parse_key_place(options.key);
        if (!place) throw Failure{"--key: " + place.error().message, exit_usage};
        return std::move(*place);
    }
    // A device whose key is on a token must not get one in a file because somebody left an option out.
    const auto present = store.place();
    if (!present) throw Failure{present.error().message + "; say where its key is to be with --key"};
    return present->value_or(device::KeyPlace{});
}

/// Keys that nobody uses any more are to be in no token's way; that one stays ends nothing.
void clean_up(device::DeviceStore& store) {
    for (const auto& kept : store.clean_up()) complain("usher", kept.message);
}

[[noreturn]] void give_up(device::DeviceStore& store, const base::Error& why) {
    clean_up(store);
    fail_with(why);
}

std::string shown(const device::KeyPlace& place) { return place ? place->shown() : "file"; }

void enroll(const Options& options) {
    auto place = chosen_place(options, device_store());
    const SavedSession session = current_session();
    auto store = device_store();
    const auto alone = must(store.alone());
    const auto present = store.load();
    if (!options.replace && (!present || *present))
        throw Failure{"this device is enrolled already" +
                      (present ? std::string() : " (" + present.error().message + ")") +
                      "; to enrol it anew, with another key: usher enroll --replace"};
    const std::string name = options.name.empty() ? host_name() : options.name;
    clean_up(store);
    auto key = store.begin(place);
    if (!key) give_up(store, key.error());
    const auto request = must(certificate_request(*key));
    const std::string body =
        "{\"name\":" + base::json_quote(name) + ",\"certificate_request\":" +
        base::json_quote(base::base64_encode({reinterpret_cast<const std::uint8_t*>(request.data()), request.size()})) +
        "}";
    auto answer = [&]() -> Result<Answer> {
        // A broken store is no reason not to put another one in its place.
        if (present) return ask(trust_of(session), session, "/.usher/v1/devices", body);
        return ask(must(TlsTrust::load(session.ca_file)), session, "/.usher/v1/devices", body);
    }();
    if (!answer) give_up(store, answer.error());
    must(store.commit(answer->certificate));
    clean_up(store);
    place = must(store.place()).value_or(place);
    if (options.format == "json")
        return print(json::serialize(json::object{{"device_id", answer->device_id},
                                                  {"name", name},
                                                  {"state", answer->state},
                                                  {"key", shown(place)},
                                                  {"not_after", base::format_rfc3339(answer->not_after)}}) +
                     "\n");
    print("this device is enrolled as " + base::escape_for_terminal(name, 100) + " (" +
          base::escape_for_terminal(answer->device_id, 100) + ", " + base::escape_for_terminal(answer->state, 100) +
          ") until " + short_time(answer->not_after) + "\n" +
          (place ? "Its key is on the token: " + place->shown() + "\n" : std::string()) +
          "Sign in again, so that your session is bound to it: usher login --gateway " + session.gateway.to_string() +
          "\n");
    if (place && !place->pin_file())
        print(
            "The PIN of the token will be asked for. usher up has nobody to ask: for it, write the PIN into a file of "
            "mode 0600 and add pin-source=file:/PATH to the URI in ~/.config/usher/device.key\n");
    if (answer->state == "pending") print("It counts as enrolled when an administrator has approved it.\n");
}

}  // namespace

void renew_device(const SavedSession& session) {
    const auto identity = device_identity();
    if (!identity || !identity->to_be_renewed(base::SystemClock{}.utc())) return;
    auto answer = ask(trust_of(session), session, "/.usher/v1/devices/current/certificate", {});
    auto stored = answer ? device_store().renew(answer->certificate) : Result<void>(answer.error());
    if (!stored) complain("usher", "the certificate of this device could not be renewed: " + stored.error().message);
}

void add_device_commands(CLI::App& app) {
    auto* command = app.add_subcommand(
        "enroll", "Make a key on this device and have the gateway certify it; new sessions are bound to it");
    auto options = std::make_shared<Options>();
    command->add_option("--name", options->name, "What this device is called; default: the host's name");
    command
        ->add_option("--key", options->key,
                     "Where the key is made: 'file', or the PKCS#11 URI of a token (a smart card, a TPM); default: "
                     "where the present one is, else file")
        ->type_name("file|pkcs11:TOKEN");
    command->add_flag("--replace", options->replace, "Enrol anew where this device is enrolled already");
    command->add_option("-o,--output", options->format, "Form of the answer")
        ->check(CLI::IsMember({"table", "json"}))
        ->capture_default_str();
    command->footer(
        examples({"usher enroll", "usher enroll --name \"Alice's laptop\"", "usher enroll --key 'pkcs11:token=usher'",
                  "usher enroll --key 'pkcs11:token=usher;object=laptop?pin-source=file:/home/alice/.pin'"}));
    command->callback([options] { enroll(*options); });
}

}  // namespace usher::clients::agent
