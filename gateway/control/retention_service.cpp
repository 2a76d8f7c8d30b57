#include <algorithm>

#include "base/text.hpp"
#include "gateway/control/admin_recorder.hpp"
#include "gateway/control/convert.hpp"
#include "gateway/control/convert_retention.hpp"
#include "gateway/control/paging.hpp"
#include "gateway/control/read_record.hpp"
#include "gateway/control/retention_change.hpp"
#include "gateway/control/services.hpp"
#include "usher/v1/retention.grpc.pb.h"

namespace usher::gateway::control {
namespace {

using base::Errc;
using base::Result;
namespace v1 = usher::v1;
using Call = grpc::CallbackServerContext;
using Reactor = grpc::ServerUnaryReactor;

constexpr std::size_t runs_shown = 10;

class RetentionServiceImpl final : public v1::RetentionService::CallbackService {
public:
    explicit RetentionServiceImpl(const ServiceContext& context) : context_(context) {}

    Reactor* GetRetentionStatus(Call* call, const v1::GetRetentionStatusRequest*,
                                v1::RetentionStatus* response) override {
        return unary(context_, call, method("RetentionService/GetRetentionStatus"), {},
                     [this, response](const Caller&) -> Result<void> {
                         auto classes = store().classes();
                         if (!classes) return std::move(classes).error();
                         auto holds = store().holds();
                         if (!holds) return std::move(holds).error();
                         auto runs = store().runs(runs_shown);
                         if (!runs) return std::move(runs).error();
                         for (const auto& stored : *classes) *response->add_classes() = control::to_proto(stored);
                         response->set_holds(holds->size());
                         for (const auto& run : *runs) *response->add_runs() = control::to_proto(run);
                         return {};
                     });
    }

    Reactor* RunRetention(Call* call, const v1::RunRetentionRequest* request, v1::RetentionRun* response) override {
        return unary(
            context_, call, method("RetentionService/RunRetention"), "retention",
            [this, request, response](const Caller& caller) -> Result<void> {
                if (request->dry_run() && request->confirm())
                    return {Errc::invalid_argument, "confirm: a dry run removes nothing that could be confirmed"};
                if (request->confirm()) {
                    if (auto ok = confirmed_by_two(caller); !ok) return ok;
                }
                auto& runner = *context_.gateway.retention;
                auto run = request->dry_run()
                               ? runner.preview()
                               : runner.run({caller.actor, caller.account_id, caller.session ? caller.session->id : ""},
                                            request->confirm());
                if (!run) return std::move(run).error();
                *response = control::to_proto(*run);
                return {};
            });
    }

    Reactor* ListRetentionClasses(Call* call, const v1::ListRetentionClassesRequest* request,
                                  v1::ListRetentionClassesResponse* response) override {
        return unary(context_, call, method("RetentionService/ListRetentionClasses"), {},
                     [this, request, response](const Caller&) -> Result<void> {
                         // There are four: whatever the page's size, one page has them all.
                         auto page = read_page(request->page_size(), request->page_token(), "retention_classes");
                         if (!page) return std::move(page).error();
                         auto classes = store().classes();
                         if (!classes) return std::move(classes).error();
                         for (const auto& stored : *classes)
                             *response->add_retention_classes() = control::to_proto(stored);
                         return {};
                     });
    }

    Reactor* ListHolds(Call* call, const v1::ListHoldsRequest* request, v1::ListHoldsResponse* response) override {
        return unary(context_, call, method("RetentionService/ListHolds"), {},
                     [this, request, response](const Caller& caller) -> Result<void> {
                         auto page = read_page(request->page_size(), request->page_token(), "holds");
                         if (!page) return std::move(page).error();
                         auto holds = store().holds();
                         if (!holds) return std::move(holds).error();
                         v1::ListHoldsResponse shown;
                         shown.set_next_page_token(
                             list_page(*holds, *page, "holds", &audit::Hold::name,
                                       [&](const audit::Hold& hold) { *shown.add_holds() = control::to_proto(hold); }));
                         // A hold says about whom somebody inquires.
                         const AuditRead read{"hold.list", "holds", static_cast<std::uint64_t>(shown.holds_size())};
                         if (auto ok = record_read(context_.gateway.journal, caller, read, *request); !ok) return ok;
                         *response = std::move(shown);
                         return {};
                     });
    }

    Reactor* DeleteRetentionClass(Call* call, const v1::DeleteRetentionClassRequest* request,
                                  google::protobuf::Empty*) override {
        return unary(
            context_, call, method("RetentionService/DeleteRetentionClass"), request->name(),
            [this, request](const Caller& caller) -> Result<void> {
                auto name = read_name(request->name(), "retention_classes");
                if (!name) return std::move(name).error();
                const auto retention_class = audit::parse_retention_class(*name);
                if (!retention_class) return {Errc::not_found, "there is no such class of records"};
                AdminRecorder recorder(context_.gateway.journal, caller);
                const ChangeRetention whole = [&](const audit::RecordRetention& record) {
                    return store().reset_class(*retention_class, record);
                };
                auto reset = change_retention(context_.gateway.two_person, caller, recorder, {&whole, 1}, whole);
                if (!reset) return recorder.failed(std::move(reset).error());
                return {};
            });
    }

    Reactor* DeleteHold(Call* call, const v1::DeleteHoldRequest* request, google::protobuf::Empty*) override {
        return unary(
            context_, call, method("RetentionService/DeleteHold"), request->name(),
            [this, request](const Caller& caller) -> Result<void> {
                auto name = read_name(request->name(), "holds");
                if (!name) return std::move(name).error();
                AdminRecorder recorder(context_.gateway.journal, caller);
                const ChangeRetention whole = [&](const audit::RecordRetention& record) {
                    return store().delete_hold(*name, record);
                };
                auto deleted = change_retention(context_.gateway.two_person, caller, recorder, {&whole, 1}, whole);
                if (!deleted) return recorder.failed(std::move(deleted).error());
                return {};
            });
    }

    Reactor* ListPendingOrders(Call* call, const v1::ListPendingOrdersRequest* request,
                               v1::ListPendingOrdersResponse* response) override {
        return unary(context_, call, method("RetentionService/ListPendingOrders"), {},
                     [this, request, response](const Caller&) -> Result<void> {
                         auto page = read_page(request->page_size(), request->page_token(), "pending_orders");
                         if (!page) return std::move(page).error();
                         if (context_.gateway.two_person == nullptr) return {};
                         auto orders = context_.gateway.two_person->list();
                         if (!orders) return std::move(orders).error();
                         for (const auto& order : *orders) *response->add_pending_orders() = control::to_proto(order);
                         return {};
                     });
    }

    Reactor* DeletePendingOrder(Call* call, const v1::DeletePendingOrderRequest* request,
                                google::protobuf::Empty*) override {
        return unary(context_, call, method("RetentionService/DeletePendingOrder"), request->name(),
                     [this, request](const Caller& caller) -> Result<void> {
                         auto id = read_name(request->name(), "pending_orders");
                         if (!id) return std::move(id).error();
                         if (context_.gateway.two_person == nullptr)
                             return {Errc::failed_precondition,
                                     "orders do not wait here: the configuration has no two_person_deletion: required"};
                         return context_.gateway.two_person->withdraw(caller, *id);
                     });
    }

private:
    /// Of a run that the guard has stopped, which both have to mean.
    Result<void> confirmed_by_two(const Caller& caller) const {
        if (context_.gateway.two_person == nullptr) return {};
        auto runs = store().runs(1);
        if (!runs) return std::move(runs).error();
        if (runs->empty() || runs->front().state != audit::RetentionRun::State::stopped)
            return {Errc::failed_precondition,
                    "the last run was not stopped, so there is nothing to confirm; 'usherctl retention run' makes one"};
        std::string counts;
        for (const auto& count : runs->front().counts)
            counts += (counts.empty() ? "" : ",") +
                      base::json_quote(std::string(audit::to_word(count.plan.retention_class))) + ":" +
                      std::to_string(count.plan.removable);
        return approve(
            context_.gateway.two_person, caller,
            {"retention.run",
             "retention",
             "{\"stopped_run\":\"" + std::to_string(runs->front().run) + "\",\"removable\":{" + counts + "}}",
             {}});
    }

    audit::RetentionStore& store() const { return context_.gateway.retention->store(); }

    const ServiceContext& context_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_retention_service(const ServiceContext& context) {
    return std::make_unique<RetentionServiceImpl>(context);
}

}  // namespace usher::gateway::control
