#include "gateway/control/parked_records.hpp"

#include "audit/audit.hpp"
#include "base/text.hpp"
#include "gateway/control/convert.hpp"
#include "gateway/control/paging.hpp"

namespace usher::gateway::control {

using audit::Cursor;
using base::Errc;
using base::Result;
namespace v1 = usher::v1;

namespace {

constexpr std::size_t tried_max = 1000;
constexpr std::size_t reason_bytes_min = 3;
constexpr std::size_t reason_bytes_max = 500;

const char* event_name(audit::RecordType type) {
    switch (type) {
        case audit::RecordType::access_opened:
            return "OPENED";
        case audit::RecordType::access_progress:
            return "PROGRESS";
        case audit::RecordType::access_closed:
            return "CLOSED";
        case audit::RecordType::access_denied:
            return "DENIED";
        case audit::RecordType::admin:
            return "ADMIN";
        case audit::RecordType::session:
            return "SESSION";
        case audit::RecordType::system:
            return "SYSTEM";
    }
    return "UNKNOWN";
}

v1::ParkedRecord to_proto(const audit::Store::Parked& parked) {
    v1::ParkedRecord out;
    out.set_gateway_id(parked.gateway.to_string());
    out.set_sequence(parked.record.sequence);
    *out.mutable_recorded_at() = control::to_proto(parked.record.recorded_at);
    out.set_record(Cursor{parked.gateway, parked.record.sequence}.to_string());
    out.set_event(event_name(parked.record.type));
    if (!parked.record.access_id.is_nil()) out.set_access_id(parked.record.access_id.to_string());
    out.set_error(parked.error);
    return out;
}

/// What is said of a record that is given up: what it was, not what it said.
std::string json_of(const audit::Store::Parked& parked) {
    return "{\"event\":" + base::json_quote(event_name(parked.record.type)) +
           ",\"recorded_at\":" + base::json_quote(base::format_rfc3339(parked.record.recorded_at)) + ",\"access_id\":" +
           base::json_quote(parked.record.access_id.is_nil() ? "" : parked.record.access_id.to_string()) +
           ",\"bytes\":" + std::to_string(parked.record.payload.size()) +
           ",\"error\":" + base::json_quote(parked.error) + "}";
}

std::string reason_json(const v1::DiscardParkedRecordRequest& request) {
    return "{\"reason\":" + base::json_quote(request.reason()) + "}";
}

Result<Cursor> read_record(const std::string& text, const char* field) {
    const auto cursor = Cursor::parse(text);
    if (!cursor)
        return {Errc::invalid_argument,
                std::string(field) + ": is not of the form GATEWAY:SEQUENCE, as the list of parked records shows it"};
    return *cursor;
}

}  // namespace

Result<void> list_parked(audit::Store& store, const v1::ListParkedRecordsRequest& request,
                         v1::ListParkedRecordsResponse& response) {
    constexpr std::string_view kind = "parked_records";
    auto page = read_page(request.page_size(), request.page_token(), kind);
    if (!page) return std::move(page).error();
    Cursor after{};
    if (!page->after.empty()) {
        auto read = read_record(page->after, "page_token");
        if (!read) return std::move(read).error();
        after = *read;
    }
    auto parked = store.list_parked(after.gateway, after.sequence, page->size + 1);
    if (!parked) return std::move(parked).error();
    for (std::size_t i = 0; i < parked->size() && i < page->size; ++i)
        *response.add_parked_records() = to_proto((*parked)[i]);
    if (parked->size() > page->size)
        response.set_next_page_token(page_token(kind, response.parked_records().rbegin()->record()));
    return {};
}

Result<void> get_parked(audit::Store& store, const v1::GetParkedRecordRequest& request, v1::ParkedRecord& response) {
    auto record = read_record(request.record(), "record");
    if (!record) return std::move(record).error();
    auto parked = store.find_parked(record->gateway, record->sequence);
    if (!parked) return std::move(parked).error();
    response = to_proto(*parked);
    response.set_payload(parked->record.payload);
    if (auto event = audit::decode(parked->gateway, parked->record)) *response.mutable_decoded() = std::move(*event);
    return {};
}

Result<void> retry_parked(audit::Store& store, AdminRecorder& recorder, const v1::RetryParkedRecordsRequest& request,
                          v1::RetryParkedRecordsResponse& response) {
    std::vector<audit::Store::Parked> tried;
    if (!request.record().empty()) {
        auto record = read_record(request.record(), "record");
        if (!record) return std::move(record).error();
        auto parked = store.find_parked(record->gateway, record->sequence);
        if (!parked) return std::move(parked).error();
        tried.push_back(std::move(*parked));
    } else {
        Cursor after{};
        if (!request.after().empty()) {
            auto record = read_record(request.after(), "after");
            if (!record) return std::move(record).error();
            after = *record;
        }
        auto parked = store.list_parked(after.gateway, after.sequence, tried_max);
        if (!parked) return std::move(parked).error();
        tried = std::move(*parked);
    }
    if (tried.empty()) return {};
    const std::string what = request.record().empty() ? "all" : request.record();
    if (auto ok = recorder.record({"parked_record.retry", "parked_records/" + what, {}, {}}); !ok) return ok;
    for (auto& parked : tried) {
        const std::string name = Cursor{parked.gateway, parked.record.sequence}.to_string();
        auto done = store.retry_parked(parked.gateway, parked.record.sequence);
        if (!done && audit::is_refusal(done.error())) {
            parked.error = done.error().message;
            *response.add_refused() = to_proto(parked);
        } else if (!done && done.error().code != Errc::not_found) {  // not found: somebody else was faster
            return recorder.failed(std::move(done).error());
        } else {
            response.add_stored(name);
        }
        response.set_last(name);
    }
    return {};
}

Result<TwoPerson::Order> discard_order(audit::Store& store, const v1::DiscardParkedRecordRequest& request) {
    auto record = read_record(request.record(), "record");
    if (!record) return std::move(record).error();
    const auto bytes = request.reason().size();
    if (bytes < reason_bytes_min || bytes > reason_bytes_max)
        return base::Error{Errc::invalid_argument, "reason: has " + std::to_string(bytes) + " bytes, expected " +
                                                       std::to_string(reason_bytes_min) + " to " +
                                                       std::to_string(reason_bytes_max)};
    auto parked = store.find_parked(record->gateway, record->sequence);
    if (!parked) return std::move(parked).error();
    return TwoPerson::Order{"parked_record.discard", "parked_records/" + record->to_string(), json_of(*parked),
                            reason_json(request)};
}

Result<void> discard_parked(audit::Store& store, AdminRecorder& recorder,
                            const v1::DiscardParkedRecordRequest& request) {
    auto record = read_record(request.record(), "record");
    if (!record) return std::move(record).error();
    auto discarded = store.discard_parked(record->gateway, record->sequence, [&](const audit::Store::Parked& parked) {
        return recorder.record(
            {"parked_record.discard", "parked_records/" + record->to_string(), json_of(parked), reason_json(request)});
    });
    if (!discarded) return recorder.failed(std::move(discarded).error());
    return {};
}

}  // namespace usher::gateway::control
