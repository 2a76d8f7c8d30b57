#include "gateway/metrics.hpp"

#include <prometheus/text_serializer.h>

namespace usher::gateway {
namespace {

prometheus::Counter& counter(prometheus::Registry& r, const char* name, const char* help,
                             const prometheus::Labels& labels = {}) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(r).Add(labels);
}
prometheus::Gauge& gauge(prometheus::Registry& r, const char* name, const char* help) {
    return prometheus::BuildGauge().Name(name).Help(help).Register(r).Add({});
}
/// A label value must come from a small set: a reason is one word of lower-case letters and hyphens.
std::string label(const std::string& reason) {
    const std::string word = reason.substr(0, reason.find(' '));
    if (word.empty() || word.size() > 40 ||
        word.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-_") != std::string::npos)
        return "other";
    return word;
}

}  // namespace

Metrics::Metrics() : Metrics(std::make_shared<prometheus::Registry>()) {}

Metrics::Metrics(std::shared_ptr<prometheus::Registry> r)
    : connections(counter(*r, "usher_connections_total", "Connections accepted.")),
      connections_open(gauge(*r, "usher_connections_open", "Connections open now.")),
      handshakes_ok(counter(*r, "usher_tls_handshakes_total", "TLS handshakes by outcome.", {{"outcome", "ok"}})),
      handshakes_failed(
          counter(*r, "usher_tls_handshakes_total", "TLS handshakes by outcome.", {{"outcome", "failed"}})),
      tunnels_open(gauge(*r, "usher_tunnels_open", "Tunnels open now.")),
      tunnels_admitted(counter(*r, "usher_tunnels_admitted_total", "Tunnels that were opened.")),
      bytes_up(counter(*r, "usher_bytes_total", "Application bytes relayed by direction.", {{"direction", "up"}})),
      bytes_down(counter(*r, "usher_bytes_total", "Application bytes relayed by direction.", {{"direction", "down"}})),
      setup_seconds(prometheus::BuildHistogram()
                        .Name("usher_tunnel_setup_seconds")
                        .Help("From a complete CONNECT to its 200.")
                        .Register(*r)
                        .Add({}, prometheus::Histogram::BucketBoundaries{0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05,
                                                                         0.1, 0.5, 1, 5})),
      sign_ins_ok(counter(*r, "usher_sign_ins_total", "Sign-ins by outcome.", {{"outcome", "ok"}})),
      sign_ins_failed(counter(*r, "usher_sign_ins_total", "Sign-ins by outcome.", {{"outcome", "failed"}})),
      accept_errors(counter(*r, "usher_accept_errors_total", "Failures to accept, such as no descriptors left.")),
      journal_durable_sequence(gauge(*r, "usher_journal_durable_sequence", "The last audit event on disk.")),
      journal_shipped_sequence(gauge(*r, "usher_journal_shipped_sequence", "The last audit event in the store.")),
      journal_healthy(gauge(*r, "usher_journal_healthy", "1 while the journal takes new accesses.")),
      journal_unshipped_events(
          gauge(*r, "usher_journal_unshipped_events", "Audit events on disk that are not in the store yet.")),
      journal_shipping_lag_seconds(gauge(*r, "usher_journal_shipping_lag_seconds",
                                         "How long the oldest audit event that is not in the store has been on disk.")),
      audit_parked_records(
          gauge(*r, "usher_audit_parked_records", "Audit records that the store refused, of all gateways.")),
      audit_tail_subscribers(gauge(*r, "usher_audit_tail_subscribers", "Tails of the audit that are open now.")),
      audit_tails_cut(counter(*r, "usher_audit_tails_cut_total", "Tails that were cut off for taking nothing.")),
      journal_queue_events(gauge(*r, "usher_journal_queue_events", "Audit events that are not on disk yet.")),
      hashing_queue(gauge(*r, "usher_hashing_queue_passwords", "Passwords that wait to be hashed.")),
      background_queue(gauge(*r, "usher_background_queue_tasks", "Tasks that wait for a database thread.")),
      revocations_pending(
          gauge(*r, "usher_revocations_pending", "Revocations in force here that the database has not taken.")),
      dns_cached(counter(*r, "usher_dns_lookups_total", "Names looked up by outcome.", {{"outcome", "cached"}})),
      dns_answered(counter(*r, "usher_dns_lookups_total", "Names looked up by outcome.", {{"outcome", "answered"}})),
      dns_absent(counter(*r, "usher_dns_lookups_total", "Names looked up by outcome.", {{"outcome", "absent"}})),
      dns_failed(counter(*r, "usher_dns_lookups_total", "Names looked up by outcome.", {{"outcome", "failed"}})),
      retention_attention(gauge(*r, "usher_retention_attention",
                                "1 while the last run of retention was stopped by its guard or failed.")),
      retention_completed_timestamp(gauge(*r, "usher_retention_completed_timestamp_seconds",
                                          "When a run of retention was last complete; 0: not since the start.")),
      registry_(r),
      denied_(prometheus::BuildCounter().Name("usher_denied_total").Help("Denials by reason.").Register(*r)),
      limited_(
          prometheus::BuildCounter().Name("usher_limits_reached_total").Help("Bounds that were reached.").Register(*r)),
      retention_removed_(prometheus::BuildCounter()
                             .Name("usher_retention_removed_records_total")
                             .Help("Records that retention removed by class.")
                             .Register(*r)),
      worker_connections_(prometheus::BuildGauge()
                              .Name("usher_worker_connections")
                              .Help("Connections open now by worker.")
                              .Register(*r)),
      commit_seconds_(prometheus::BuildHistogram()
                          .Name("usher_journal_commit_seconds")
                          .Help("From writing a batch of audit events to its being on disk.")
                          .Register(*r)
                          .Add({}, prometheus::Histogram::BucketBoundaries{0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01,
                                                                           0.02, 0.05, 0.1, 0.5, 2})),
      sinks_(*r) {}

Metrics::SinkFamilies::SinkFamilies(prometheus::Registry& r)
    : lag_records(prometheus::BuildGauge()
                      .Name("usher_sink_lag_records")
                      .Help("Audit records in the store that are not forwarded to a sink yet.")
                      .Register(r)),
      lag_seconds(prometheus::BuildGauge()
                      .Name("usher_sink_lag_seconds")
                      .Help("How long ago the oldest audit record was recorded that a sink does not have.")
                      .Register(r)),
      parked_records(prometheus::BuildGauge()
                         .Name("usher_sink_parked_records")
                         .Help("Audit records of this gateway that a sink does not take.")
                         .Register(r)),
      delivered(prometheus::BuildCounter()
                    .Name("usher_sink_delivered_records_total")
                    .Help("Audit records that a sink has confirmed.")
                    .Register(r)),
      failures(prometheus::BuildCounter()
                   .Name("usher_sink_failures_total")
                   .Help("Tries to forward to a sink that failed.")
                   .Register(r)) {}

void Metrics::add_sink(const std::string& sink) {
    sink_state(sink, 0, base::Microseconds{0}, 0);
    sinks_.delivered.Add({{"sink", sink}});
    sinks_.failures.Add({{"sink", sink}});
}
void Metrics::sink_delivered(const std::string& sink, std::uint64_t records) {
    sinks_.delivered.Add({{"sink", sink}}).Increment(static_cast<double>(records));
}
void Metrics::sink_failed(const std::string& sink) { sinks_.failures.Add({{"sink", sink}}).Increment(); }
void Metrics::sink_state(const std::string& sink, std::uint64_t lag_records, base::Microseconds lag,
                         std::uint64_t parked) {
    sinks_.lag_records.Add({{"sink", sink}}).Set(static_cast<double>(lag_records));
    sinks_.lag_seconds.Add({{"sink", sink}}).Set(static_cast<double>(lag.count()) / 1e6);
    sinks_.parked_records.Add({{"sink", sink}}).Set(static_cast<double>(parked));
}

void Metrics::observe_commit(base::Microseconds took) {
    commit_seconds_.Observe(static_cast<double>(took.count()) / 1e6);
}
prometheus::Gauge& Metrics::worker_connections(unsigned worker) {
    return worker_connections_.Add({{"worker", std::to_string(worker)}});
}

void Metrics::denied(const std::string& reason) { denied_.Add({{"reason", label(reason)}}).Increment(); }
void Metrics::limited(const std::string& limit) { limited_.Add({{"limit", label(limit)}}).Increment(); }

void Metrics::retention_removed(std::string_view retention_class, std::uint64_t records) {
    retention_removed_.Add({{"class", label(std::string(retention_class))}}).Increment(static_cast<double>(records));
}

std::string Metrics::expose() const { return prometheus::TextSerializer().Serialize(registry_->Collect()); }

}  // namespace usher::gateway
