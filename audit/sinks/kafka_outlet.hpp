#pragma once
#include <chrono>
#include <memory>

#include "audit/sinks/outlet.hpp"
#include "audit/sinks/settings.hpp"

namespace usher::audit::sinks {

/// What only tests choose.
struct KafkaOptions {
    /// No TLS, for brokers that have none. The configuration has no word for it.
    bool plaintext = false;
    std::chrono::milliseconds batch{30'000};  ///< for the acknowledgement of all of a batch
};

/// To a topic of Kafka, as an idempotent producer that waits for all in-sync replicas (decision 37). The key of each
/// message is the gateway's id, so that one partition has all of a gateway's, in order; the value is the event as OCSF
/// JSON. A batch is delivered once each message of it is acknowledged. What a broker will not take for its size or its
/// content is invalid_argument. invalid_argument also where the sink's files cannot be used.
base::Result<std::unique_ptr<Outlet>> make_kafka_outlet(Settings settings, KafkaOptions options = {});

}  // namespace usher::audit::sinks
