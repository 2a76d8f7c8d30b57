#pragma once
#include <optional>
#include <string>

#include "clients/common/saved_session.hpp"
#include "clients/common/tls_connection.hpp"
#include "clients/device/device_store.hpp"

namespace usher::clients::agent {

std::string session_file();
std::string device_id_file();
std::string declined_file();

/// The session of this machine. Throws Failure when nobody signed in or its time is over.
SavedSession current_session();
device::DeviceStore device_store();
/// What this device shows, where it is enrolled and its certificate is good; complains of one that has expired.
std::optional<DeviceIdentity> device_identity();
/// The same; nothing, and a complaint, where the key cannot be used now.
std::optional<DeviceIdentity> device_identity_if_any();
/// With what the device shows.
TlsTrust trust_of(const SavedSession& session);

/// Throws Failure for an error of the gateway; says how to sign in again where it wants that.
[[noreturn]] void fail_with(const base::Error& error);

}  // namespace usher::clients::agent
