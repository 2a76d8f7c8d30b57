// How fast a store that was away catches up, as it grows: usher_bench_shipping DATABASE_URL [--accesses N] [--step N].
//
// A real journal is filled with `--step` accesses at a time (OPENED and CLOSED, of 997 users and 50 apps) while nobody
// ships; then a real shipper brings them to the store, until that has `--accesses`. Each step is a line of JSON: how
// many accesses the store has, records a second, CPU a record, and how long a small transaction of somebody else (a
// sign-in writes one) took meanwhile, twenty a second. The database must be empty; "sqlite:" makes a file in a folder
// that goes with the run.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "audit/audit.hpp"
#include "audit/days.hpp"
#include "base/text.hpp"
#include "gateway/record.hpp"
#include "in_process.hpp"

namespace {

using namespace usher;
using namespace usher::bench;
using namespace std::chrono_literals;
namespace v1 = usher::v1;
using Steady = std::chrono::steady_clock;

constexpr unsigned users = 997, apps = 50;

struct Options {
    std::string database;
    std::uint64_t accesses = 1'000'000, step = 100'000;
};

Options read_options(int count, char** arguments) {
    Options options;
    for (int i = 1; i < count; ++i) {
        const std::string_view option = arguments[i];
        std::uint64_t* number = option == "--accesses" ? &options.accesses
                                : option == "--step"   ? &options.step
                                                       : nullptr;
        if (number == nullptr && options.database.empty() && !option.starts_with("--")) {
            options.database = option;
            continue;
        }
        const auto value = number != nullptr && i + 1 < count ? base::parse_unsigned(arguments[++i], 100'000'000)
                                                              : std::optional<std::uint64_t>();
        if (!value || *value == 0) {
            std::fprintf(stderr, "usage: usher_bench_shipping DATABASE_URL|sqlite: [--accesses N] [--step N]\n");
            std::exit(2);
        }
        *number = *value;
    }
    if (options.database.empty()) fail("which database? sqlite: or a postgresql:// URL");
    return options;
}

/// Both events of access `number`.
void append(audit::Journal& journal, const base::Clock& clock, std::uint64_t number) {
    const std::string user = "user-" + std::to_string(number % users);
    v1::AccessRecord record;
    record.set_access_id(base::new_uuid(clock).to_string());
    record.set_username(user);
    record.set_account_id("01900000-0000-7000-8000-" + user);
    record.set_session_id(record.access_id());
    record.set_department("sales");
    record.set_app("app-" + std::to_string(number % apps));
    record.set_destination_host("host-" + std::to_string(number % users) + ".example.internal");
    record.set_destination_ip("10.0." + std::to_string(number % users / 250) + "." +
                              std::to_string(number % users % 250));
    record.set_destination_port(443);
    record.set_client_ip("192.0.2." + std::to_string(number % 250));
    record.add_reasons("allow-rule policy-1");
    for (const auto event : {v1::AccessEventType::OPENED, v1::AccessEventType::CLOSED}) {
        record.set_event(event);
        auto& at = event == v1::AccessEventType::OPENED ? *record.mutable_opened_at() : *record.mutable_closed_at();
        gateway::set_time(at, clock.utc());
        if (event == v1::AccessEventType::CLOSED) {
            record.set_bytes_up(number % 10'000);
            record.set_bytes_down(number % 100'000);
        }
        journal.append(audit::encode(record), {});
    }
}

/// Somebody who writes a little beside the shipper, twenty times a second.
class Bystander {
public:
    explicit Bystander(base::sql::Database& database) : database_(database), thread_([this] { run(); }) {}
    /// The longest of all, and what 99 of 100 stayed below, in ms.
    std::pair<double, double> finish() {
        over_ = true;
        thread_.join();
        std::sort(waits_.begin(), waits_.end());
        if (waits_.empty()) return {0, 0};
        return {waits_.back(), waits_[waits_.size() * 99 / 100]};
    }

private:
    void run() {
        while (!over_) {
            const auto began = Steady::now();
            must(database_.transaction([](base::sql::Transaction& tx) -> base::Result<void> {
                tx.execute("UPDATE bystander SET number = number + 1");
                return {};
            }));
            waits_.push_back(std::chrono::duration<double, std::milli>(Steady::now() - began).count());
            std::this_thread::sleep_until(began + 50ms);
        }
    }

    base::sql::Database& database_;
    std::vector<double> waits_;
    std::atomic<bool> over_{false};
    std::thread thread_;
};

void run(const Options& options, const std::string& folder) {
    const bool sqlite = options.database == "sqlite:";
    const auto database = open_database(sqlite ? "sqlite:" + folder + "/usher.db" : options.database);
    const base::SystemClock clock;
    must(audit::prepare_days(*database, clock.utc()));
    must(database->transaction([](base::sql::Transaction& tx) -> base::Result<void> {
        tx.execute("CREATE TABLE bystander (number BIGINT)");
        tx.execute("INSERT INTO bystander VALUES (0)");
        return {};
    }));
    audit::JournalOptions journal_options;
    journal_options.directory = folder + "/journal";
    const auto journal = must(audit::Journal::open(journal_options, clock));
    audit::Store store(*database);

    for (std::uint64_t there = 0; there < options.accesses;) {
        const auto end = std::min(there + options.step, options.accesses);
        for (; there < end; ++there) {
            append(*journal, clock, there);
            while (journal->status().queued > 10'000) std::this_thread::sleep_for(1ms);
        }
        v1::SystemRecord last;
        last.set_event(v1::SystemRecord::Event::STARTED);
        const auto wanted = must(journal->append_and_wait(audit::encode(last)));
        const auto first = must(store.watermark(journal->gateway_id()));

        Bystander bystander(*database);
        const auto cpu = cpu_s();
        const auto began = Steady::now();
        {
            const auto shipper = audit::Shipper::start(*journal, store, clock);
            while (shipper->shipped_sequence() < wanted) std::this_thread::sleep_for(1ms);
        }
        const double took = std::chrono::duration<double>(Steady::now() - began).count();
        const auto records = static_cast<double>(wanted - first);
        const auto [longest, p99] = bystander.finish();
        std::printf(
            "{\"database\": \"%s\", \"accesses\": %llu, \"records_a_second\": %.0f, \"cpu_us_a_record\": %.1f, "
            "\"bystander_p99_ms\": %.1f, \"bystander_longest_ms\": %.1f}\n",
            sqlite ? "sqlite" : "postgresql", static_cast<unsigned long long>(there), records / took,
            1e6 * (cpu_s() - cpu) / records, p99, longest);
        std::fflush(stdout);
    }
}

}  // namespace

int main(int count, char** arguments) {
    const Options options = read_options(count, arguments);
    const char* parent = std::getenv("TMPDIR");
    std::string name = std::string(parent != nullptr ? parent : "/tmp") + "/usher-bench-shipping-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) fail("no folder can be made in " + name);
    run(options, name);
    std::filesystem::remove_all(name);
    return 0;
}
