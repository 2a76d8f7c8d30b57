// A mock of one Kafka broker, which librdkafka brings along, and a consumer that prints what stands in its topic.
//
//   kafka_mock TOPIC
//
// Prints "broker HOST:PORT", then "message PARTITION KEY VALUE" for each message. Takes lines: "error COUNT CODE" makes
// the next COUNT requests to produce fail with Kafka's error CODE. Ends with its input.
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <atomic>
#include <cstdio>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr int partitions = 3;
constexpr std::int16_t produce_request = 0;

rd_kafka_t* make(rd_kafka_type_t type, const std::string& brokers) {
    char why[512];
    rd_kafka_conf_t* conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "log_level", "0", why, sizeof why);
    if (!brokers.empty()) {
        rd_kafka_conf_set(conf, "bootstrap.servers", brokers.c_str(), why, sizeof why);
        rd_kafka_conf_set(conf, "group.id", "print", why, sizeof why);
    }
    rd_kafka_t* made = rd_kafka_new(type, conf, why, sizeof why);
    if (made == nullptr) {
        std::cerr << why << "\n";
        std::exit(1);
    }
    return made;
}

void print(rd_kafka_t* consumer, const char* topic, const std::atomic<bool>& ending) {
    auto* all = rd_kafka_topic_partition_list_new(partitions);
    for (int i = 0; i < partitions; ++i)
        rd_kafka_topic_partition_list_add(all, topic, i)->offset = RD_KAFKA_OFFSET_BEGINNING;
    rd_kafka_assign(consumer, all);
    rd_kafka_topic_partition_list_destroy(all);
    while (!ending) {
        rd_kafka_message_t* message = rd_kafka_consumer_poll(consumer, 100);
        if (message == nullptr) continue;
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            std::printf("message %d %.*s %.*s\n", message->partition, static_cast<int>(message->key_len),
                        static_cast<const char*>(message->key), static_cast<int>(message->len),
                        static_cast<const char*>(message->payload));
            std::fflush(stdout);
        }
        rd_kafka_message_destroy(message);
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::cerr << "usage: kafka_mock TOPIC\n";
        return 2;
    }
    rd_kafka_t* owner = make(RD_KAFKA_PRODUCER, "");
    rd_kafka_mock_cluster_t* mock = rd_kafka_mock_cluster_new(owner, 1);
    if (mock == nullptr || rd_kafka_mock_topic_create(mock, argv[1], partitions, 1) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        std::cerr << "no cluster\n";
        return 1;
    }
    const std::string brokers = rd_kafka_mock_cluster_bootstraps(mock);
    std::printf("broker %s\n", brokers.c_str());
    std::fflush(stdout);
    rd_kafka_t* consumer = make(RD_KAFKA_CONSUMER, brokers);
    std::atomic<bool> ending{false};
    std::thread printer([&] { print(consumer, argv[1], ending); });
    std::string word;
    std::size_t count = 0;
    int code = 0;
    while (std::cin >> word >> count >> code) {
        const std::vector<rd_kafka_resp_err_t> errors(count, static_cast<rd_kafka_resp_err_t>(code));
        rd_kafka_mock_push_request_errors_array(mock, produce_request, errors.size(), errors.data());
    }
    ending = true;
    printer.join();
    rd_kafka_consumer_close(consumer);
    rd_kafka_destroy(consumer);
    rd_kafka_mock_cluster_destroy(mock);
    rd_kafka_destroy(owner);
}
