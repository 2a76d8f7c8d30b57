// Debian's librdkafka is not built with ThreadSanitizer, which does not bear its threads. AddressSanitizer's build runs
// these.
#if !defined(__SANITIZE_THREAD__)

#include "audit/sinks/kafka_outlet.hpp"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "audit/ocsf/ocsf.hpp"
#include "audit/sinks/password_file.hpp"
#include "tests/unit/audit/records.hpp"

using namespace usher;
using namespace usher::test;
using audit::sinks::KafkaOptions;
using audit::sinks::make_kafka_outlet;
using audit::sinks::read_password_file;
using audit::sinks::Settings;
using base::Errc;
using Clock = std::chrono::steady_clock;

namespace {

constexpr const char* topic = "usher-audit";
constexpr int partitions = 3;
constexpr std::int16_t produce_request = 0;  // Kafka's number of it

v1::AuditEvent event(std::uint64_t sequence) {
    v1::AuditEvent out;
    out.set_gateway_id("0198c0de-0000-7000-8000-00000000aaaa");
    out.set_sequence(sequence);
    set(*out.mutable_recorded_at(), noon);
    *out.mutable_access() = access(base::Uuid{}, v1::AccessEventType::CLOSED, 1, 2);
    return out;
}

std::vector<v1::AuditEvent> events(std::uint64_t from, std::uint64_t to) {
    std::vector<v1::AuditEvent> out;
    for (auto i = from; i <= to; ++i) out.push_back(event(i));
    return out;
}

/// librdkafka's own cluster of brokers in this process, and what stands in the topic.
class Cluster {
public:
    Cluster() {
        char why[512];
        rd_kafka_conf_t* conf = rd_kafka_conf_new();
        rd_kafka_conf_set(conf, "log_level", "0", why, sizeof why);
        owner_ = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
        REQUIRE(owner_ != nullptr);
        mock = rd_kafka_mock_cluster_new(owner_, 1);
        REQUIRE(mock != nullptr);
        REQUIRE(rd_kafka_mock_topic_create(mock, topic, partitions, 1) == RD_KAFKA_RESP_ERR_NO_ERROR);
        settings.name = "lake";
        settings.kind = Settings::Kind::kafka;
        settings.brokers = rd_kafka_mock_cluster_bootstraps(mock);
        settings.topic = topic;
    }
    ~Cluster() {
        rd_kafka_mock_cluster_destroy(mock);
        rd_kafka_destroy(owner_);
    }
    Cluster(const Cluster&) = delete;
    Cluster& operator=(const Cluster&) = delete;

    std::unique_ptr<audit::sinks::Outlet> outlet(std::chrono::milliseconds batch = std::chrono::seconds(30)) const {
        KafkaOptions options;
        options.plaintext = true;
        options.batch = batch;
        auto made = make_kafka_outlet(settings, options);
        if (!made) FAIL(made.error().message);
        return std::move(*made);
    }
    void answer_with(const std::vector<rd_kafka_resp_err_t>& errors) {
        rd_kafka_mock_push_request_errors_array(mock, produce_request, errors.size(), errors.data());
    }

    struct Message {
        int partition;
        std::string key, value;
    };
    /// Those that stand in the topic, once there are `count`; and then whether there are more.
    std::vector<Message> messages(std::size_t count) const {
        char why[512];
        rd_kafka_conf_t* conf = rd_kafka_conf_new();
        rd_kafka_conf_set(conf, "bootstrap.servers", settings.brokers.c_str(), why, sizeof why);
        rd_kafka_conf_set(conf, "group.id", "test", why, sizeof why);
        rd_kafka_conf_set(conf, "enable.partition.eof", "true", why, sizeof why);
        rd_kafka_t* consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
        REQUIRE(consumer != nullptr);
        auto* all = rd_kafka_topic_partition_list_new(partitions);
        for (int i = 0; i < partitions; ++i)
            rd_kafka_topic_partition_list_add(all, topic, i)->offset = RD_KAFKA_OFFSET_BEGINNING;
        rd_kafka_assign(consumer, all);
        rd_kafka_topic_partition_list_destroy(all);
        std::vector<Message> out;
        std::set<int> ended;
        const auto until = Clock::now() + std::chrono::seconds(60);
        while ((out.size() < count || ended.size() < partitions) && Clock::now() < until) {
            rd_kafka_message_t* message = rd_kafka_consumer_poll(consumer, 100);
            if (message == nullptr) continue;
            if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
                ended.insert(message->partition);
            else if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
                out.push_back({message->partition, std::string(static_cast<char*>(message->key), message->key_len),
                               std::string(static_cast<char*>(message->payload), message->len)});
            rd_kafka_message_destroy(message);
        }
        rd_kafka_consumer_close(consumer);
        rd_kafka_destroy(consumer);
        return out;
    }
    void check_topic_has(const std::vector<v1::AuditEvent>& expected) const {
        const auto found = messages(expected.size());
        REQUIRE(found.size() == expected.size());
        for (std::size_t i = 0; i < found.size(); ++i) {
            REQUIRE(found[i].key == expected[i].gateway_id());
            REQUIRE(found[i].value == audit::ocsf::to_ocsf(expected[i]));
            REQUIRE(found[i].partition == found.front().partition);
        }
    }

    rd_kafka_mock_cluster_t* mock = nullptr;
    Settings settings;

private:
    rd_kafka_t* owner_ = nullptr;
};

struct Folder {
    Folder() {
        char name[] = "/tmp/usher-kafka-XXXXXX";
        path = ::mkdtemp(name);
    }
    ~Folder() { std::filesystem::remove_all(path); }
    std::string file(const std::string& text, ::mode_t mode = 0600) const {
        const std::string name = path + "/password";
        std::filesystem::remove(name);
        std::ofstream(name) << text;
        ::chmod(name.c_str(), mode);
        return name;
    }
    std::string path;
};

}  // namespace

TEST_CASE("batches stand in one partition, in order, by the gateway's id, as OCSF") {
    Cluster cluster;
    auto outlet = cluster.outlet();
    for (std::uint64_t from = 1; from <= 2001; from += 1000) {
        auto delivered = outlet->deliver(events(from, from + 999));
        if (!delivered) FAIL(delivered.error().message);
    }
    cluster.check_topic_has(events(1, 3000));
}

TEST_CASE("what passes by itself is tried again, and stands there once") {
    Cluster cluster;
    cluster.answer_with({RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
                         RD_KAFKA_RESP_ERR__TRANSPORT, RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE});
    auto delivered = cluster.outlet()->deliver(events(1, 100));
    if (!delivered) FAIL(delivered.error().message);
    cluster.check_topic_has(events(1, 100));
}

TEST_CASE("what a broker will never take is refused, and what comes next is not") {
    const auto error = GENERATE(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, RD_KAFKA_RESP_ERR_INVALID_RECORD);
    Cluster cluster;
    auto outlet = cluster.outlet();
    REQUIRE(outlet->deliver(events(1, 3)));
    cluster.answer_with({error});
    auto refused = outlet->deliver(events(4, 4));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Errc::invalid_argument);
    CHECK(refused.error().message == std::string("the broker refuses: ") + rd_kafka_err2str(error));
    auto next = outlet->deliver(events(5, 7));
    if (!next) FAIL(next.error().message);
    auto expected = events(1, 3);
    for (auto& each : events(5, 7)) expected.push_back(each);
    cluster.check_topic_has(expected);
}

TEST_CASE("a broker's error that does not blame the message refuses none") {
    Cluster cluster;
    auto outlet = cluster.outlet();
    cluster.answer_with({RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED});
    auto denied = outlet->deliver(events(1, 3));
    REQUIRE_FALSE(denied);
    CHECK(denied.error().code == Errc::unavailable);
    CHECK(denied.error().message.find("authorization") != std::string::npos);
    auto next = outlet->deliver(events(1, 3));
    if (!next) FAIL(next.error().message);
}

TEST_CASE("a broker that is away is said at once, and is used when it is back") {
    Cluster cluster;
    rd_kafka_mock_broker_set_down(cluster.mock, -1);
    auto outlet = cluster.outlet();
    const auto began = Clock::now();
    auto away = outlet->deliver(events(1, 3));
    REQUIRE_FALSE(away);
    CHECK(away.error().code == Errc::unavailable);
    CHECK(away.error().message.find(cluster.settings.brokers + ": ") == 0);
    CHECK(Clock::now() - began < std::chrono::seconds(20));
    rd_kafka_mock_broker_set_up(cluster.mock, -1);
    int tries = 0;
    while (!outlet->deliver(events(1, 3))) REQUIRE(++tries < 20);
    CHECK(cluster.messages(3).size() >= 3);
    // The same of one that has been used.
    rd_kafka_mock_broker_set_down(cluster.mock, -1);
    const auto again = Clock::now();
    REQUIRE_FALSE(outlet->deliver(events(4, 6)));
    CHECK(Clock::now() - again < std::chrono::seconds(20));
    rd_kafka_mock_broker_set_up(cluster.mock, -1);
    tries = 0;
    while (!outlet->deliver(events(4, 6))) REQUIRE(++tries < 20);
}

TEST_CASE("a broker that does not acknowledge costs the batch's time, and a stop ends that") {
    Cluster cluster;
    rd_kafka_mock_broker_set_rtt(cluster.mock, -1, 5'000);
    auto slow = cluster.outlet(std::chrono::milliseconds(1'000))->deliver(events(1, 3));
    REQUIRE_FALSE(slow);
    CHECK(slow.error().code == Errc::unavailable);

    auto outlet = cluster.outlet();
    std::thread stopper([&] { outlet->stop(); });
    const auto began = Clock::now();
    auto stopped = outlet->deliver(events(1, 3));
    stopper.join();
    REQUIRE_FALSE(stopped);
    CHECK(stopped.error().message == "the gateway is stopping");
    CHECK_FALSE(outlet->deliver(events(1, 3)));
    outlet.reset();
    CHECK(Clock::now() - began < std::chrono::seconds(4));
}

TEST_CASE("a password is one line of a file that nobody else may read") {
    const Folder folder;
    auto password = read_password_file(folder.file("secret word\n"));
    REQUIRE(password);
    CHECK(password->reveal() == "secret word");
    CHECK(read_password_file(folder.file("x", 0400)));
    CHECK(read_password_file(folder.file(std::string(1024, 'x') + "\n")));
    const auto error_of = [](const std::string& path) {
        auto read = read_password_file(path);
        REQUIRE_FALSE(read);
        CHECK(read.error().message.find("secret") == std::string::npos);
        return read.error().message;
    };
    CHECK(error_of(folder.file("secret\n", 0640)).find("may be read by others: chmod 600 ") != std::string::npos);
    for (const std::string& text : {std::string(), std::string("\n"), std::string("secret\n\n"),
                                    std::string("secret\r\n"), std::string("secret\0x", 8), std::string(1025, 'x')})
        CHECK(error_of(folder.file(text)).find("expected one line of 1 to 1024 bytes") != std::string::npos);
    CHECK(error_of(folder.path).find("is not a regular file") != std::string::npos);
    CHECK(error_of("/nonexistent/password").find("/nonexistent/password: cannot be opened: ") == 0);
}

TEST_CASE("a Kafka sink whose files cannot be used does not start") {
    const Folder folder;
    Settings settings;
    settings.kind = Settings::Kind::kafka;
    settings.brokers = "127.0.0.1:1";
    settings.topic = topic;
    settings.ca = "/nonexistent/ca.pem";
    auto made = make_kafka_outlet(settings);
    REQUIRE_FALSE(made);
    CHECK(made.error().code == Errc::invalid_argument);
    CHECK(made.error().message.find("'ca': /nonexistent/ca.pem") == 0);
    KafkaOptions plain;
    plain.plaintext = true;
    settings.username = "usher";
    settings.password_file = folder.file("secret", 0644);
    made = make_kafka_outlet(settings, plain);
    REQUIRE_FALSE(made);
    CHECK(made.error().message.find("'password_file': " + settings.password_file + ": may be read by others") == 0);
    settings.password_file = folder.file("secret");
    CHECK(make_kafka_outlet(settings, plain));
    settings.mechanism = "PLAIN-TEXT";
    made = make_kafka_outlet(settings, plain);
    CHECK((made || made.error().message.find("secret") == std::string::npos));
}

#endif
