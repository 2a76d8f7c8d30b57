#include "gateway/record.hpp"

#include <algorithm>

namespace usher::gateway {

using usher::v1::AccessRecord;

namespace {

using Said = usher::v1::Device;

/// What is said at the sign-in and in reports: its word in Device::reported, which is the member's name there, and what
/// it is in a posture.
struct NameSaid {
    const char* word;
    const char* field;
    std::string auth::Posture::*of_posture;
    const std::string& (Said::*to_read)() const;
    std::string* (Said::*to_write)();
};
constexpr NameSaid names_said[] = {
    {"name", "device_name", &auth::Posture::device_name, &Said::name, &Said::mutable_name},
    {"brand", "brand", &auth::Posture::brand, &Said::brand, &Said::mutable_brand},
    {"model", "model", &auth::Posture::model, &Said::model, &Said::mutable_model},
    {"os", "os_name", &auth::Posture::os_name, &Said::os, &Said::mutable_os},
    {"language", "language", &auth::Posture::language, &Said::language, &Said::mutable_language},
};

}  // namespace

void set_time(google::protobuf::Timestamp& into, base::UtcTime time) {
    const std::int64_t us = base::to_micros(time);
    const std::int64_t seconds = us >= 0 ? us / 1'000'000 : -((-us + 999'999) / 1'000'000);
    into.set_seconds(seconds);
    into.set_nanos(static_cast<std::int32_t>((us - seconds * 1'000'000) * 1000));
}

base::UtcTime get_time(const google::protobuf::Timestamp& from) {
    return base::from_micros(from.seconds() * 1'000'000 + from.nanos() / 1000);
}

AccessRecord new_record(const Peer& peer, base::UtcTime now) {
    AccessRecord record;
    record.set_kind(usher::v1::AccessKind::TUNNEL);
    record.set_client_ip(peer.ip);
    record.set_client_port(peer.port);
    record.set_retention_class("access");
    set_time(*record.mutable_opened_at(), now);
    return record;
}

void set_subject(AccessRecord& record, const auth::Account& account, const auth::Session& session) {
    record.set_account_id(account.id);
    record.set_username(account.username);
    record.set_department(account.department);
    record.set_session_id(session.id);
    if (!(session.device == auth::DeviceClaims{})) *record.mutable_device() = to_proto(session.device);
}

void set_device(AccessRecord& record, const auth::Device* device) {
    record.set_enrolled_device_state(std::string(device != nullptr ? auth::to_word(device->state) : "none"));
    if (device == nullptr) return;
    record.set_enrolled_device_id(device->id);
    record.set_enrolled_device_name(device->name);
}

void set_second_factor(AccessRecord& record, const auth::Context& known) {
    if (known.second_factor_age)
        set_time(*record.mutable_second_factor_at(), get_time(record.opened_at()) - *known.second_factor_age);
}

void set_destination(AccessRecord& record, const base::Destination& destination) {
    record.set_destination_host(destination.host);
    record.set_destination_port(destination.port);
}

void deny(AccessRecord& record, std::string_view reason) {
    record.set_event(usher::v1::AccessEventType::DENIED);
    record.set_verdict(usher::v1::Verdict::DENIED);
    record.set_retention_class("denial");
    record.add_reasons(std::string(reason));
}

usher::v1::Device to_proto(const auth::DeviceClaims& device) {
    usher::v1::Device out;
    out.set_device_id(device.device_id);
    out.set_name(device.name);
    out.set_brand(device.brand);
    out.set_model(device.model);
    out.set_os(device.os);
    out.set_language(device.language);
    return out;
}

void add_posture(usher::v1::Device& device, const auth::Posture& posture) {
    const auto word = [](const std::optional<bool>& truth) { return !truth ? "" : *truth ? "yes" : "no"; };
    device.set_os_id(posture.os);
    device.set_os_version(posture.os_version);
    device.set_agent_version(posture.agent_version);
    device.set_uid(posture.device_uid);
    device.set_time_zone(posture.time_zone);
    device.set_network_type(posture.network_type);
    device.set_screen(posture.screen);
    if (posture.storage_bytes) device.set_storage_bytes(*posture.storage_bytes);
    if (posture.storage_free_bytes) device.set_storage_free_bytes(*posture.storage_free_bytes);
    if (posture.battery_percent) device.set_battery_percent(static_cast<std::uint32_t>(*posture.battery_percent));
    device.set_disk_encrypted(word(posture.disk_encrypted));
    device.set_firewall(word(posture.firewall));
    device.set_screen_lock(word(posture.screen_lock));
    // What is left out of a report may have been said at the sign-in, and stands there as it was said.
    for (const auto& name : names_said) {
        const std::string& said = posture.*name.of_posture;
        if (said.empty()) continue;
        *(device.*name.to_write)() = said;
        device.add_reported(name.word);
    }
}

auth::PosturePtr posture_of(const usher::v1::Device& device) {
    auth::Posture::Texts texts;
    const auto add = [&](const char* name, const std::string& text) {
        if (!text.empty()) texts.emplace(name, text);
    };
    add("os", device.os_id());
    add("os_version", device.os_version());
    add("agent_version", device.agent_version());
    add("device_uid", device.uid());
    add("time_zone", device.time_zone());
    add("network_type", device.network_type());
    add("screen", device.screen());
    add("disk_encrypted", device.disk_encrypted());
    add("firewall", device.firewall());
    add("screen_lock", device.screen_lock());
    for (const auto& name : names_said)
        if (std::count(device.reported().begin(), device.reported().end(), name.word) != 0)
            add(name.field, (device.*name.to_read)());
    if (device.has_storage_bytes()) texts.emplace("storage_bytes", std::to_string(device.storage_bytes()));
    if (device.has_storage_free_bytes())
        texts.emplace("storage_free_bytes", std::to_string(device.storage_free_bytes()));
    if (device.has_battery_percent()) texts.emplace("battery_percent", std::to_string(device.battery_percent()));
    auto posture = auth::Posture::from_texts(texts);
    if (texts.empty() || !posture) return nullptr;
    return std::make_shared<const auth::Posture>(std::move(*posture));
}

}  // namespace usher::gateway
