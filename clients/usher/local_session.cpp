#include "clients/usher/local_session.hpp"

#include "base/clock.hpp"
#include "clients/common/private_file.hpp"
#include "clients/common/program.hpp"

namespace usher::clients::agent {

std::string session_file() { return must(config_directory("usher")) + "/session.json"; }
std::string device_id_file() { return must(config_directory("usher")) + "/device_id"; }
std::string declined_file() { return must(config_directory("usher")) + "/posture.yaml"; }

SavedSession current_session() {
    auto session = must(load_session(session_file()));
    if (!session)
        throw Failure{"nobody is signed in here; sign in with: usher login --gateway HOST:PORT --username NAME"};
    if (session->expires_at <= base::SystemClock{}.utc())
        throw Failure{"the session is over; sign in again with: usher login --gateway " + session->gateway.to_string()};
    return std::move(*session);
}

device::DeviceStore device_store() { return device::DeviceStore(must(config_directory("usher"))); }

std::optional<DeviceIdentity> device_identity() {
    auto identity = must(device_store().load());
    if (!identity || !identity->expired(base::SystemClock{}.utc())) return identity;
    complain("usher", "the certificate of this device has expired; enrol it anew with: usher enroll --replace");
    return std::nullopt;
}

std::optional<DeviceIdentity> device_identity_if_any() {
    try {
        return device_identity();
    } catch (const Failure& failure) {
        complain("usher", failure.message);
        return std::nullopt;
    }
}

TlsTrust trust_of(const SavedSession& session) {
    auto trust = must(TlsTrust::load(session.ca_file));
    if (auto identity = device_identity()) trust.present(std::move(*identity));
    return trust;
}

void fail_with(const base::Error& error) {
    if (error.code == base::Errc::unauthenticated) throw Failure{error.message + "; sign in again with: usher login"};
    throw Failure{error.message};
}

}  // namespace usher::clients::agent
