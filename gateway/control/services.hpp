#pragma once
#include <grpcpp/impl/codegen/service_type.h>

#include <memory>

#include "gateway/control/unary.hpp"

/// The services of the API, one file each. A service refers to its context, which outlives it.
namespace usher::gateway::control {

std::unique_ptr<grpc::Service> make_account_service(const ServiceContext& context);
std::unique_ptr<grpc::Service> make_resource_service(const ServiceContext& context);
std::unique_ptr<grpc::Service> make_session_service(const ServiceContext& context);
std::unique_ptr<grpc::Service> make_audit_service(const ServiceContext& context);
std::unique_ptr<grpc::Service> make_retention_service(const ServiceContext& context);
std::unique_ptr<grpc::Service> make_device_service(const ServiceContext& context);   ///< needs gateway.devices
std::unique_ptr<grpc::Service> make_sink_service(const ServiceContext& context);     ///< needs gateway.sinks
std::unique_ptr<grpc::Service> make_gateway_service(const ServiceContext& context);  ///< needs gateway.operation

}  // namespace usher::gateway::control
