#include "audit/sinks/kafka_outlet.hpp"

#include <librdkafka/rdkafka.h>

#include <array>
#include <atomic>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "audit/ocsf/ocsf.hpp"
#include "audit/sinks/password_file.hpp"
#include "audit/sinks/tls_client.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

namespace usher::audit::sinks {

using base::Errc;
using base::Result;
using Clock = std::chrono::steady_clock;

namespace {

/// A producer is not used for longer, so that files that were renewed are seen.
constexpr std::chrono::minutes producer_age_max{10};
/// A connection that broke is made anew by librdkafka, and what was under way goes again; for longer than this nothing
/// was there to connect to.
constexpr std::chrono::seconds down_max{2};
/// Between two looks at whether it is to stop.
constexpr int poll_ms = 50;
constexpr std::size_t error_bytes_max = 300;

/// What a broker answers for what is in a message, and will answer each time.
bool blames_message(rd_kafka_resp_err_t error) {
    return error == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE || error == RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE ||
           error == RD_KAFKA_RESP_ERR_INVALID_RECORD || error == RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP;
}

/// librdkafka would write to standard error by itself.
void write_log(const rd_kafka_t*, int, const char* facility, const char* text) {
    base::log_debug("kafka", {{"facility", facility}, {"message", text}});
}

/// How a batch stands, and what went wrong meanwhile. Told by rd_kafka_poll(), on the thread that calls it.
struct Progress {
    std::size_t reported = 0;
    rd_kafka_resp_err_t failed = RD_KAFKA_RESP_ERR_NO_ERROR;   ///< the first message's that was not taken
    rd_kafka_resp_err_t refused = RD_KAFKA_RESP_ERR_NO_ERROR;  ///< the first one's that never will be
    std::string trouble;                                       ///< the last one with a broker
    bool unwanted = false;                                     ///< no broker will have us
    std::optional<Clock::time_point> down_since;               ///< no broker can be reached
};

void on_report(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
    auto& progress = *static_cast<Progress*>(opaque);
    ++progress.reported;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        progress.down_since.reset();
        return;
    }
    if (progress.failed == RD_KAFKA_RESP_ERR_NO_ERROR) progress.failed = message->err;
    if (blames_message(message->err) && progress.refused == RD_KAFKA_RESP_ERR_NO_ERROR) progress.refused = message->err;
}

void on_error(rd_kafka_t*, int code, const char* reason, void* opaque) {
    auto& progress = *static_cast<Progress*>(opaque);
    const auto error = static_cast<rd_kafka_resp_err_t>(code);
    // What comes before "all brokers are down" says why.
    if (error != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || progress.trouble.empty())
        progress.trouble = base::escape_for_terminal(reason, error_bytes_max);
    if (error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && !progress.down_since) progress.down_since = Clock::now();
    if (error == RD_KAFKA_RESP_ERR__AUTHENTICATION || error == RD_KAFKA_RESP_ERR__FATAL) progress.unwanted = true;
}

using Conf = std::unique_ptr<rd_kafka_conf_t, decltype(&rd_kafka_conf_destroy)>;

/// Ends at once: what is not acknowledged is sent again by whoever comes next.
struct EndProducer {
    void operator()(rd_kafka_t* producer) const {
        rd_kafka_purge(producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        rd_kafka_poll(producer, 0);
        rd_kafka_destroy(producer);
    }
};

class KafkaOutlet final : public Outlet {
public:
    KafkaOutlet(Settings settings, KafkaOptions options) : settings_(std::move(settings)), options_(options) {}

    Result<void> deliver(std::span<const usher::v1::AuditEvent> events) override {
        if (stopping_) return stopped();
        if (auto started = start(); !started) return started;
        const auto until = Clock::now() + options_.batch;
        std::size_t queued = 0;
        for (const auto& event : events) {
            const auto error = produce(event, until);
            if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
                progress_.failed = error;
                if (blames_message(error)) progress_.refused = error;
                break;
            }
            ++queued;
        }
        while (queued == events.size() && progress_.reported < queued && may_wait(until))
            rd_kafka_poll(producer_.get(), poll_ms);
        if (progress_.failed == RD_KAFKA_RESP_ERR_NO_ERROR && progress_.reported == events.size()) return {};
        auto error = what_failed();  // before the end, which reports everything as purged
        producer_.reset();
        return error;
    }

    void stop() noexcept override { stopping_ = true; }

    /// Whether the files can be used, and librdkafka takes every setting.
    Result<void> check() {
        const Conf conf(rd_kafka_conf_new(), rd_kafka_conf_destroy);
        return configure(conf.get());
    }

private:
    /// Makes the producer, unless there is one that may be used still. It connects by itself.
    Result<void> start() {
        if (producer_ && Clock::now() - started_at_ < producer_age_max) {
            while (rd_kafka_poll(producer_.get(), 0) > 0) {
            }
            // That no broker can be reached is said once. One that has said it while there was nothing to send says
            // nothing when it is still so, nor when it is no longer.
            const bool said = progress_.down_since || progress_.unwanted;
            progress_ = {};
            if (!said) return {};
        }
        producer_.reset();
        progress_ = {};  // after the end, which reports; a new one may speak at any time
        Conf conf(rd_kafka_conf_new(), rd_kafka_conf_destroy);
        if (auto set = configure(conf.get()); !set) return set;
        std::array<char, 512> why{};
        producer_.reset(rd_kafka_new(RD_KAFKA_PRODUCER, conf.get(), why.data(), why.size()));
        if (!producer_) return {Errc::failed_precondition, std::string("librdkafka: ") + why.data()};
        (void)conf.release();  // it is the producer's now
        started_at_ = Clock::now();
        return {};
    }

    static Result<void> stopped() { return {Errc::unavailable, "the gateway is stopping"}; }

    Result<void> configure(rd_kafka_conf_t* conf) {
        const std::string limit = std::to_string(options_.batch.count());
        std::vector<std::pair<const char*, std::string>> all{
            {"bootstrap.servers", settings_.brokers},
            {"client.id", "usherd"},
            {"acks", "all"},
            {"enable.idempotence", "true"},
            {"partitioner", "murmur2"},
            {"allow.auto.create.topics", "false"},
            // One batch is in it at most: Forwarding::batch_records of ocsf::event_bytes_max each.
            {"queue.buffering.max.messages", "2000"},
            {"queue.buffering.max.kbytes", "16384"},
            {"linger.ms", "5"},
            {"message.timeout.ms", limit},
            {"socket.timeout.ms", "10000"},
            {"request.timeout.ms", "10000"},
            {"socket.connection.setup.timeout.ms", "10000"},
            {"topic.metadata.propagation.max.ms", "10000"},
            {"log.connection.close", "false"},
        };
        if (!options_.plaintext) {
            // librdkafka says little of what is wrong with a file.
            if (auto context = make_client_context(settings_); !context)
                return {Errc::failed_precondition, context.error().message};
            all.emplace_back("ssl.ca.location", settings_.ca);
            all.emplace_back("enable.ssl.certificate.verification", "true");
            all.emplace_back("ssl.endpoint.identification.algorithm", "https");
            if (!settings_.certificate.empty()) {
                all.emplace_back("ssl.certificate.location", settings_.certificate);
                all.emplace_back("ssl.key.location", settings_.private_key);
            }
        }
        const bool sasl = !settings_.username.empty();
        const std::string transport = options_.plaintext ? "plaintext" : "ssl";
        all.emplace_back("security.protocol", sasl ? "sasl_" + transport : transport);
        if (sasl) {
            all.emplace_back("sasl.mechanism", settings_.mechanism);
            all.emplace_back("sasl.username", settings_.username);
        }
        for (const auto& [key, value] : all)
            if (auto done = set(conf, key, value.c_str()); !done) return done;
        if (sasl) {
            auto password = read_password_file(settings_.password_file);
            if (!password) return {password.error().code, "'password_file': " + password.error().message};
            std::string text(password->reveal());
            auto done = set(conf, "sasl.password", text.c_str());
            base::wipe(text);
            if (!done) return done;
        }
        rd_kafka_conf_set_opaque(conf, &progress_);
        rd_kafka_conf_set_log_cb(conf, write_log);
        rd_kafka_conf_set_dr_msg_cb(conf, on_report);
        rd_kafka_conf_set_error_cb(conf, on_error);
        return {};
    }

    /// The value is in no error: it may be a secret.
    static Result<void> set(rd_kafka_conf_t* conf, const char* key, const char* value) {
        std::array<char, 512> why{};
        if (rd_kafka_conf_set(conf, key, value, why.data(), why.size()) == RD_KAFKA_CONF_OK) return {};
        return {Errc::failed_precondition, std::string("librdkafka does not take its setting ") + key};
    }

    /// Whether waiting on can do no good: librdkafka would try for the batch's whole time.
    bool hopeless() const {
        return progress_.unwanted || (progress_.down_since && Clock::now() - *progress_.down_since > down_max);
    }

    bool may_wait(Clock::time_point until) const {
        return !stopping_ && !hopeless() && progress_.failed == RD_KAFKA_RESP_ERR_NO_ERROR && Clock::now() < until;
    }

    rd_kafka_resp_err_t produce(const usher::v1::AuditEvent& event, Clock::time_point until) {
        const std::string& key = event.gateway_id();
        std::string value = ocsf::to_ocsf(event);
        for (;;) {
            const auto error = rd_kafka_producev(
                producer_.get(), RD_KAFKA_V_TOPIC(settings_.topic.c_str()), RD_KAFKA_V_KEY(key.data(), key.size()),
                RD_KAFKA_V_VALUE(value.data(), value.size()), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
            if (error != RD_KAFKA_RESP_ERR__QUEUE_FULL || !may_wait(until)) return error;
            rd_kafka_poll(producer_.get(), poll_ms);
        }
    }

    Result<void> what_failed() const {
        if (stopping_) return stopped();
        if (progress_.refused != RD_KAFKA_RESP_ERR_NO_ERROR)
            return {Errc::invalid_argument, std::string("the broker refuses: ") + rd_kafka_err2str(progress_.refused)};
        const std::string why = progress_.failed == RD_KAFKA_RESP_ERR_NO_ERROR ? "no acknowledgement in time"
                                                                               : rd_kafka_err2str(progress_.failed);
        if (progress_.trouble.empty()) return {Errc::unavailable, settings_.brokers + ": " + why};
        return {Errc::unavailable, settings_.brokers + ": " + (hopeless() ? "" : why + ": ") + progress_.trouble};
    }

    const Settings settings_;
    const KafkaOptions options_;
    std::atomic<bool> stopping_{false};
    Progress progress_;
    Clock::time_point started_at_{};
    std::unique_ptr<rd_kafka_t, EndProducer> producer_;  ///< tells progress_ until its end
};

}  // namespace

Result<std::unique_ptr<Outlet>> make_kafka_outlet(Settings settings, KafkaOptions options) {
    auto outlet = std::make_unique<KafkaOutlet>(std::move(settings), options);
    if (auto fit = outlet->check(); !fit) return {Errc::invalid_argument, fit.error().message};
    return std::unique_ptr<Outlet>(std::move(outlet));
}

}  // namespace usher::audit::sinks
