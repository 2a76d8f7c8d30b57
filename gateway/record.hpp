#pragma once
#include <google/protobuf/timestamp.pb.h>

#include <optional>
#include <string>
#include <string_view>

#include "auth/model.hpp"
#include "auth/sessions.hpp"
#include "base/clock.hpp"
#include "base/net.hpp"
#include "usher/v1/access.pb.h"

namespace usher::gateway {

/// The client's end of a connection.
struct Peer {
    std::string ip;
    std::uint16_t port = 0;
    std::optional<auth::DeviceKeyHash> device_key{};  ///< that the connection has proved the possession of
};

void set_time(google::protobuf::Timestamp& into, base::UtcTime time);
base::UtcTime get_time(const google::protobuf::Timestamp& from);

/// A record of an attempt from `peer` now, with nothing known yet.
usher::v1::AccessRecord new_record(const Peer& peer, base::UtcTime now);
/// Who asks.
void set_subject(usher::v1::AccessRecord& record, const auth::Account& account, const auth::Session& session);
/// The enrolled device that it came from, proved by its key, and its state; null: from none.
void set_device(usher::v1::AccessRecord& record, const auth::Device* device);
/// When the session's second factor was proved: as old at the record's opened_at as it was known to be.
void set_second_factor(usher::v1::AccessRecord& record, const auth::Context& known);
void set_destination(usher::v1::AccessRecord& record, const base::Destination& destination);
/// Makes it a denial for a reason whose first word is machine-readable.
void deny(usher::v1::AccessRecord& record, std::string_view reason);
usher::v1::Device to_proto(const auth::DeviceClaims& device);
/// Adds what its agent says of it; its names in the place of those of the sign-in.
void add_posture(usher::v1::Device& device, const auth::Posture& posture);
/// As add_posture() has put it there; null where there is nothing. Null as well for what is in no form of ours.
auth::PosturePtr posture_of(const usher::v1::Device& device);

}  // namespace usher::gateway
