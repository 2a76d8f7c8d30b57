#include <google/protobuf/util/time_util.h>

#include "audit/audit.hpp"
#include "gateway/control/admin_recorder.hpp"
#include "gateway/control/convert.hpp"
#include "gateway/control/paging.hpp"
#include "gateway/control/personal_fields.hpp"
#include "gateway/control/services.hpp"
#include "usher/v1/sink.grpc.pb.h"

namespace usher::gateway::control {
namespace {

using audit::Cursor;
using audit::sinks::SinkStore;
using base::Errc;
using base::Result;
namespace v1 = usher::v1;
using Call = grpc::CallbackServerContext;
using Reactor = grpc::ServerUnaryReactor;

v1::Sink to_sink(const audit::sinks::Status& status, const base::Uuid& gateway) {
    v1::Sink out;
    out.set_name(status.settings.name);
    out.set_kind(audit::sinks::to_word(status.settings.kind));
    out.set_address(status.settings.address());
    out.set_filter(status.settings.filter);
    out.set_gateway_id(gateway.to_string());
    out.set_forwarded_sequence(status.forwarded_sequence);
    out.set_lag_records(status.lag_records);
    if (status.lag) *out.mutable_lag() = google::protobuf::util::TimeUtil::MicrosecondsToDuration(status.lag->count());
    out.set_error(status.error);
    if (status.failing_since) *out.mutable_failing_since() = control::to_proto(*status.failing_since);
    out.set_delivered_records(status.delivered);
    out.set_missing_records(status.missing);
    out.set_parked_records(status.parked);
    return out;
}

v1::ParkedSinkRecord to_parked(const SinkStore::Parked& parked) {
    v1::ParkedSinkRecord out;
    out.set_sink(parked.sink);
    out.set_record(Cursor{parked.gateway, parked.sequence}.to_string());
    *out.mutable_recorded_at() = control::to_proto(parked.recorded_at);
    *out.mutable_parked_at() = control::to_proto(parked.parked_at);
    out.set_error(parked.error);
    out.set_retry(parked.retry);
    return out;
}

/// A receiver may quote the record that it does not take.
template <class Message>
void mask_error(const Caller& caller, Message& message) {
    if (!sees_personal_fields(caller.role) && !message.error().empty()) message.set_error(std::string(masked_text));
}

Result<Cursor> read_record(const std::string& text) {
    const auto cursor = Cursor::parse(text);
    if (!cursor)
        return {Errc::invalid_argument,
                "record: is not of the form GATEWAY:SEQUENCE, as the list of parked records shows it"};
    return *cursor;
}

/// What a page ends with: "sink GATEWAY:SEQUENCE".
std::string place_of(const SinkStore::Parked& parked) {
    return parked.sink + " " + Cursor{parked.gateway, parked.sequence}.to_string();
}

Result<SinkStore::Parked> read_place(const std::string& text) {
    SinkStore::Parked place;
    if (text.empty()) return place;
    const auto space = text.find(' ');
    const auto cursor = space == std::string::npos ? std::nullopt : Cursor::parse(text.substr(space + 1));
    if (!cursor) return {Errc::invalid_argument, "page_token: is not one of this list"};
    place.sink = text.substr(0, space);
    place.gateway = cursor->gateway;
    place.sequence = cursor->sequence;
    return place;
}

class SinkServiceImpl final : public v1::SinkService::CallbackService {
public:
    explicit SinkServiceImpl(const ServiceContext& context) : context_(context) {}

    Reactor* ListSinks(Call* call, const v1::ListSinksRequest* request, v1::ListSinksResponse* response) override {
        return unary(context_, call, method("SinkService/ListSinks"), {},
                     [this, request, response](const Caller& caller) -> Result<void> {
                         auto page = read_page(request->page_size(), request->page_token(), "sinks");
                         if (!page) return std::move(page).error();
                         for (const auto& status : sinks().status()) {
                             auto& sink = *response->add_sinks();
                             sink = to_sink(status, context_.gateway.journal.gateway_id());
                             mask_error(caller, sink);
                         }
                         return {};
                     });
    }

    Reactor* ListParkedSinkRecords(Call* call, const v1::ListParkedSinkRecordsRequest* request,
                                   v1::ListParkedSinkRecordsResponse* response) override {
        return unary(context_, call, method("SinkService/ListParkedSinkRecords"), {},
                     [this, request, response](const Caller& caller) -> Result<void> {
                         const std::string kind = "parked_sink_records " + request->sink();
                         auto page = read_page(request->page_size(), request->page_token(), kind);
                         if (!page) return std::move(page).error();
                         auto after = read_place(page->after);
                         if (!after) return std::move(after).error();
                         auto parked = sinks().store().list_parked(request->sink(), *after, page->size + 1);
                         if (!parked) return std::move(parked).error();
                         for (std::size_t i = 0; i < parked->size() && i < page->size; ++i) {
                             auto& record = *response->add_parked_sink_records();
                             record = to_parked((*parked)[i]);
                             mask_error(caller, record);
                         }
                         if (parked->size() > page->size)
                             response->set_next_page_token(page_token(kind, place_of((*parked)[page->size - 1])));
                         return {};
                     });
    }

    Reactor* RetryParkedSinkRecords(Call* call, const v1::RetryParkedSinkRecordsRequest* request,
                                    v1::RetryParkedSinkRecordsResponse* response) override {
        return unary(
            context_, call, method("SinkService/RetryParkedSinkRecords"), "sinks/" + request->sink(),
            [this, request, response](const Caller& caller) -> Result<void> {
                if (!audit::sinks::is_sink_name(request->sink()))
                    return {Errc::invalid_argument, "sink: is not the name of a sink"};
                std::optional<base::Uuid> gateway;
                std::uint64_t sequence = 0;
                if (!request->record().empty()) {
                    auto record = read_record(request->record());
                    if (!record) return std::move(record).error();
                    gateway = record->gateway;
                    sequence = record->sequence;
                }
                AdminRecorder recorder(context_.gateway.journal, caller);
                const std::string what = request->record().empty() ? "all" : request->record();
                if (auto ok = recorder.record({"sink.retry", "sinks/" + request->sink() + "/" + what, {}, {}}); !ok)
                    return ok;
                auto asked = sinks().store().ask_retry(request->sink(), gateway, sequence);
                if (!asked) return recorder.failed(std::move(asked).error());
                if (*asked == 0 && gateway)
                    return recorder.failed({Errc::not_found,
                                            "no such record is parked; 'usherctl sink parked list' shows those "
                                            "that are"});
                sinks().look_for_retries();
                response->set_asked(*asked);
                return {};
            });
    }

private:
    audit::sinks::Sinks& sinks() const { return *context_.gateway.sinks; }

    const ServiceContext& context_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_sink_service(const ServiceContext& context) {
    return std::make_unique<SinkServiceImpl>(context);
}

}  // namespace usher::gateway::control
