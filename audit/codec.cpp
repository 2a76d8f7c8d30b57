#include "audit/audit.hpp"
#include "base/text.hpp"

namespace usher::audit {

using usher::v1::AccessEventType;

namespace {

template <class Message>
JournalAppend make(RecordType type, const Message& message, base::Uuid id = {}) {
    JournalAppend append{type, id, {}};
    append.payload = message.SerializeAsString();
    return append;
}

RecordType type_of(AccessEventType::Value event) {
    switch (event) {
        case AccessEventType::OPENED:
            return RecordType::access_opened;
        case AccessEventType::PROGRESS:
            return RecordType::access_progress;
        case AccessEventType::CLOSED:
            return RecordType::access_closed;
        default:
            return RecordType::access_denied;
    }
}

}  // namespace

JournalAppend encode(const usher::v1::AccessRecord& access) {
    return make(type_of(access.event()), access, base::Uuid::parse(access.access_id()).value_or(base::Uuid{}));
}
JournalAppend encode(const usher::v1::AdminRecord& admin) { return make(RecordType::admin, admin); }
JournalAppend encode(const usher::v1::SessionRecord& session) { return make(RecordType::session, session); }
JournalAppend encode(const usher::v1::SystemRecord& system) { return make(RecordType::system, system); }

base::Result<usher::v1::AuditEvent> decode(const base::Uuid& gateway, const JournalRecord& record) {
    usher::v1::AuditEvent event;
    event.set_gateway_id(gateway.to_string());
    event.set_sequence(record.sequence);
    event.set_cursor(Cursor{gateway, record.sequence}.to_string());
    const std::int64_t us = base::to_micros(record.recorded_at);
    event.mutable_recorded_at()->set_seconds(us / 1'000'000);
    event.mutable_recorded_at()->set_nanos(static_cast<std::int32_t>(us % 1'000'000) * 1000);
    bool parsed = false;
    switch (record.type) {
        case RecordType::access_opened:
        case RecordType::access_progress:
        case RecordType::access_closed:
        case RecordType::access_denied:
            parsed = event.mutable_access()->ParseFromString(record.payload);
            event.mutable_access()->set_gateway_id(event.gateway_id());
            event.mutable_access()->set_sequence(record.sequence);
            break;
        case RecordType::admin:
            parsed = event.mutable_admin()->ParseFromString(record.payload);
            break;
        case RecordType::session:
            parsed = event.mutable_session()->ParseFromString(record.payload);
            break;
        case RecordType::system:
            parsed = event.mutable_system()->ParseFromString(record.payload);
            break;
    }
    if (!parsed)
        return base::Error{base::Errc::data_loss, "audit event " + event.cursor() + " of type " +
                                                      std::to_string(static_cast<int>(record.type)) +
                                                      " cannot be read"};
    return event;
}

std::string Cursor::to_string() const { return gateway.to_string() + ":" + std::to_string(sequence); }

std::optional<Cursor> Cursor::parse(std::string_view text) {
    const auto colon = text.find(':');
    if (colon == std::string_view::npos) return std::nullopt;
    const auto gateway = base::Uuid::parse(text.substr(0, colon));
    const auto sequence = base::parse_unsigned(text.substr(colon + 1), INT64_MAX);
    if (!gateway || !sequence) return std::nullopt;
    return Cursor{*gateway, *sequence};
}

}  // namespace usher::audit
