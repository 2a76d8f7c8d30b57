#include "gateway/control/status.hpp"

#include "base/log.hpp"

namespace usher::gateway::control {
namespace {

using base::Errc;

/// The gateway's own trouble: the cause is the operator's, the sentence the caller's.
grpc::Status hidden(grpc::StatusCode code, const char* sentence, const base::Error& error, std::string_view what) {
    base::log_error("a control call failed", {{"call", what}, {"error", error.message}});
    return {code, sentence};
}

}  // namespace

grpc::Status to_status(const base::Error& error, std::string_view what) {
    switch (error.code) {
        case Errc::invalid_argument:
            return {grpc::StatusCode::INVALID_ARGUMENT, error.message};
        case Errc::not_found:
            return {grpc::StatusCode::NOT_FOUND, error.message};
        case Errc::already_exists:
            return {grpc::StatusCode::ALREADY_EXISTS, error.message};
        case Errc::failed_precondition:
            return {grpc::StatusCode::FAILED_PRECONDITION, error.message};
        case Errc::permission_denied:
            return permission_denied();
        case Errc::unauthenticated:
            return unauthenticated();
        case Errc::resource_exhausted:
            return hidden(grpc::StatusCode::RESOURCE_EXHAUSTED, "the gateway is at a limit; its log says which", error,
                          what);
        case Errc::unavailable:
            return hidden(grpc::StatusCode::UNAVAILABLE, "the gateway's database or journal is away; try again", error,
                          what);
        case Errc::deadline_exceeded:
            return hidden(grpc::StatusCode::DEADLINE_EXCEEDED, "the gateway took too long; try again", error, what);
        case Errc::data_loss:
            return hidden(grpc::StatusCode::DATA_LOSS, "stored data is damaged; the gateway's log says which", error,
                          what);
        case Errc::internal:
            return hidden(grpc::StatusCode::INTERNAL, "internal error", error, what);
    }
    return hidden(grpc::StatusCode::INTERNAL, "internal error", error, what);
}

grpc::Status unauthenticated() { return {grpc::StatusCode::UNAUTHENTICATED, "unauthenticated"}; }
grpc::Status permission_denied() { return {grpc::StatusCode::PERMISSION_DENIED, "permission denied"}; }
grpc::Status overloaded() { return {grpc::StatusCode::RESOURCE_EXHAUSTED, "too many calls wait; try again"}; }
grpc::Status stopping() { return {grpc::StatusCode::UNAVAILABLE, "the gateway is stopping"}; }
grpc::Status internal_error() { return {grpc::StatusCode::INTERNAL, "internal error"}; }

}  // namespace usher::gateway::control
