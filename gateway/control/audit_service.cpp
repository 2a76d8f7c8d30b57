#include "base/text.hpp"
#include "gateway/control/admin_recorder.hpp"
#include "gateway/control/convert.hpp"
#include "gateway/control/paging.hpp"
#include "gateway/control/parked_records.hpp"
#include "gateway/control/personal_fields.hpp"
#include "gateway/control/read_record.hpp"
#include "gateway/control/services.hpp"
#include "gateway/control/status.hpp"
#include "gateway/control/tail.hpp"
#include "gateway/control/two_person.hpp"
#include "usher/v1/audit.grpc.pb.h"

namespace usher::gateway::control {
namespace {

using base::Errc;
using base::Result;
namespace v1 = usher::v1;
using Call = grpc::CallbackServerContext;
using Reactor = grpc::ServerUnaryReactor;
using TailReactor = grpc::ServerWriteReactor<grpc::ByteBuffer>;

/// A stream that never was: it ends with its status and goes.
class Refused final : public TailReactor {
public:
    explicit Refused(grpc::Status status) { Finish(std::move(status)); }
    void OnDone() override { delete this; }
};

Result<TailStart> read_start(const v1::TailRequest& request) {
    TailStart start;
    if (!request.after().empty()) {
        start.after = audit::FleetCursor::parse(request.after());
        if (!start.after) return {Errc::invalid_argument, "after: is not a cursor of the stream"};
    }
    if (request.has_since()) {
        auto since = from_proto(request.since(), "since");
        if (!since) return std::move(since).error();
        start.since = *since;
    }
    return start;
}

/// Whose tails are bytes: what many subscribers are sent is made once.
class AuditServiceImpl final : public v1::AuditService::WithRawCallbackMethod_Tail<v1::AuditService::CallbackService> {
public:
    explicit AuditServiceImpl(const ServiceContext& context) : context_(context) {}

    TailReactor* Tail(Call* call, const grpc::ByteBuffer* bytes) override {
        auto caller = context_.callers.identify(call->client_metadata(), call->peer());
        if (!caller) return new Refused(unauthenticated());
        if (!satisfies(caller->role, method("AuditService/Tail").need)) return new Refused(permission_denied());
        v1::TailRequest request;
        grpc::ByteBuffer copy(*bytes);  // which reading empties
        if (!grpc::SerializationTraits<v1::TailRequest>::Deserialize(&copy, &request).ok())
            return new Refused({grpc::StatusCode::INVALID_ARGUMENT, "the request is no usher.v1.TailRequest"});
        auto start = read_start(request);
        if (!start) return new Refused(to_status(start.error(), "audit.tail"));
        auto filter = audit::Filter::parse(request.filter());
        if (!filter) return new Refused(to_status(filter.error(), "audit.tail"));

        auto stream =
            std::make_shared<TailStream>(context_.tails, context_.callers, call, std::move(*caller),
                                         audit::FleetReader(context_.gateway.journal, context_.gateway.store,
                                                            {request.filter(), *filter}, &context_.tails.recent()),
                                         std::move(*start), request);
        // The hub owns it until OnDone().
        if (!context_.tails.add(stream)) {
            return new Refused(
                {grpc::StatusCode::RESOURCE_EXHAUSTED, "there are " + std::to_string(tail_subscribers_max) +
                                                           " subscribers already, or the gateway is stopping"});
        }
        stream->begin();
        return stream.get();
    }

    Reactor* ListAccesses(Call* call, const v1::ListAccessesRequest* request,
                          v1::ListAccessesResponse* response) override {
        return unary(context_, call, method("AuditService/ListAccesses"), {},
                     [this, request, response](const Caller& caller) -> Result<void> {
                         auto size = read_page_size(request->page_size());
                         if (!size) return std::move(size).error();
                         auto filter = audit::Filter::parse(request->filter());
                         if (!filter) return std::move(filter).error();
                         auto page = context_.gateway.store.list_accesses(*filter, request->oldest_first(), *size,
                                                                          request->page_token());
                         if (!page) return std::move(page).error();
                         const AuditRead read{"access.list", "accesses", page->accesses.size()};
                         if (auto ok = record_read(context_.gateway.journal, caller, read, *request); !ok) return ok;
                         for (auto& access : page->accesses) *response->add_accesses() = std::move(access);
                         response->set_next_page_token(page->next_page_token);
                         return {};
                     });
    }

    Reactor* GetAuditStatus(Call* call, const v1::GetAuditStatusRequest*, v1::AuditStatus* response) override {
        return unary(context_, call, method("AuditService/GetAuditStatus"), {},
                     [this, response](const Caller&) -> Result<void> {
                         const auto status = context_.gateway.journal.status();
                         response->set_gateway_id(context_.gateway.journal.gateway_id().to_string());
                         response->set_durable_sequence(status.durable_sequence);
                         response->set_shipped_sequence(context_.gateway.shipper.shipped_sequence());
                         response->set_store_error(context_.gateway.shipper.last_error());
                         response->set_open_accesses(status.open_accesses);
                         const auto lag = audit::shipping_lag(context_.gateway.journal, context_.gateway.shipper,
                                                              context_.gateway.clock.utc());
                         response->set_unshipped_events(lag.events);
                         // While the database is away the rest is still worth an answer; store_error tells it.
                         const auto parked = context_.gateway.store.count_parked();
                         if (parked)
                             response->set_parked_records(*parked);
                         else if (parked.error().code != Errc::unavailable)
                             return parked.error();
                         if (lag.age) {
                             response->mutable_shipping_lag()->set_seconds(lag.age->count() / 1'000'000);
                             response->mutable_shipping_lag()->set_nanos(
                                 static_cast<std::int32_t>(lag.age->count() % 1'000'000 * 1'000));
                         }
                         return {};
                     });
    }

    Reactor* ListParkedRecords(Call* call, const v1::ListParkedRecordsRequest* request,
                               v1::ListParkedRecordsResponse* response) override {
        return unary(context_, call, method("AuditService/ListParkedRecords"), {},
                     [this, request, response](const Caller& caller) -> Result<void> {
                         v1::ListParkedRecordsResponse page;
                         if (auto ok = list_parked(context_.gateway.store, *request, page); !ok) return ok;
                         const AuditRead read{"parked_record.list", "parked_records",
                                              static_cast<std::uint64_t>(page.parked_records_size())};
                         if (auto ok = record_read(context_.gateway.journal, caller, read, *request); !ok) return ok;
                         *response = std::move(page);
                         return {};
                     });
    }

    Reactor* GetParkedRecord(Call* call, const v1::GetParkedRecordRequest* request,
                             v1::ParkedRecord* response) override {
        return unary(context_, call, method("AuditService/GetParkedRecord"), {},
                     [this, request, response](const Caller& caller) -> Result<void> {
                         v1::ParkedRecord parked;
                         if (auto ok = get_parked(context_.gateway.store, *request, parked); !ok) return ok;
                         const AuditRead read{"parked_record.get", "parked_records/" + parked.record(), 1};
                         if (auto ok = record_read(context_.gateway.journal, caller, read, *request); !ok) return ok;
                         if (!sees_personal_fields(caller.role)) mask_personal_fields(parked);
                         *response = std::move(parked);
                         return {};
                     });
    }

    Reactor* RetryParkedRecords(Call* call, const v1::RetryParkedRecordsRequest* request,
                                v1::RetryParkedRecordsResponse* response) override {
        return unary(context_, call, method("AuditService/RetryParkedRecords"), request->record(),
                     [this, request, response](const Caller& caller) -> Result<void> {
                         AdminRecorder recorder(context_.gateway.journal, caller);
                         return retry_parked(context_.gateway.store, recorder, *request, *response);
                     });
    }

    Reactor* DiscardParkedRecord(Call* call, const v1::DiscardParkedRecordRequest* request,
                                 google::protobuf::Empty*) override {
        return unary(context_, call, method("AuditService/DiscardParkedRecord"), request->record(),
                     [this, request](const Caller& caller) -> Result<void> {
                         auto order = discard_order(context_.gateway.store, *request);
                         if (!order) return std::move(order).error();
                         if (auto ok = approve(context_.gateway.two_person, caller, *order); !ok) return ok;
                         AdminRecorder recorder(context_.gateway.journal, caller);
                         return discard_parked(context_.gateway.store, recorder, *request);
                     });
    }

private:
    const ServiceContext& context_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_audit_service(const ServiceContext& context) {
    return std::make_unique<AuditServiceImpl>(context);
}

}  // namespace usher::gateway::control
