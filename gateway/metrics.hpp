#pragma once
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <memory>
#include <string>

#include "base/clock.hpp"

namespace usher::gateway {

/// The gateway's own figures. Thread-safe; updated at the ends of things, never per chunk. docs/metrics.md describes
/// each.
class Metrics {
public:
    Metrics();

    prometheus::Counter& connections;
    prometheus::Gauge& connections_open;
    prometheus::Counter& handshakes_ok;
    prometheus::Counter& handshakes_failed;
    prometheus::Gauge& tunnels_open;
    prometheus::Counter& tunnels_admitted;
    prometheus::Counter& bytes_up;
    prometheus::Counter& bytes_down;
    prometheus::Histogram& setup_seconds;
    prometheus::Counter& sign_ins_ok;
    prometheus::Counter& sign_ins_failed;
    prometheus::Counter& accept_errors;
    prometheus::Gauge& journal_durable_sequence;
    prometheus::Gauge& journal_shipped_sequence;
    prometheus::Gauge& journal_healthy;
    prometheus::Gauge& journal_unshipped_events;
    prometheus::Gauge& journal_shipping_lag_seconds;
    prometheus::Gauge& audit_parked_records;
    prometheus::Gauge& audit_tail_subscribers;
    prometheus::Counter& audit_tails_cut;
    prometheus::Gauge& journal_queue_events;
    prometheus::Gauge& hashing_queue;
    prometheus::Gauge& background_queue;
    prometheus::Gauge& revocations_pending;
    prometheus::Counter& dns_cached;
    prometheus::Counter& dns_answered;
    prometheus::Counter& dns_absent;
    prometheus::Counter& dns_failed;
    prometheus::Gauge& retention_attention;
    prometheus::Gauge& retention_completed_timestamp;

    /// How long a batch of audit events took to be on disk.
    void observe_commit(base::Microseconds took);
    /// Connections open on one worker.
    prometheus::Gauge& worker_connections(unsigned worker);

    /// A denial by the first word of its reason (one of a fixed set).
    void denied(const std::string& reason);
    /// A bound that was reached: "connections", "connections_per_address", "sign_in" ...
    void limited(const std::string& limit);

    /// Records that retention removed, by their class.
    void retention_removed(std::string_view retention_class, std::uint64_t records);

    /// A sink that is configured: its figures are there from now on.
    void add_sink(const std::string& sink);
    void sink_delivered(const std::string& sink, std::uint64_t records);
    void sink_failed(const std::string& sink);
    void sink_state(const std::string& sink, std::uint64_t lag_records, base::Microseconds lag, std::uint64_t parked);

    /// The exposition text (Prometheus text format 0.0.4).
    std::string expose() const;

private:
    Metrics(std::shared_ptr<prometheus::Registry> registry);
    std::shared_ptr<prometheus::Registry> registry_;
    prometheus::Family<prometheus::Counter>& denied_;
    prometheus::Family<prometheus::Counter>& limited_;
    prometheus::Family<prometheus::Counter>& retention_removed_;
    prometheus::Family<prometheus::Gauge>& worker_connections_;
    prometheus::Histogram& commit_seconds_;
    struct SinkFamilies {
        explicit SinkFamilies(prometheus::Registry& registry);
        prometheus::Family<prometheus::Gauge>&lag_records, &lag_seconds, &parked_records;
        prometheus::Family<prometheus::Counter>&delivered, &failures;
    } sinks_;
};

}  // namespace usher::gateway
