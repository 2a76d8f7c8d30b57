// How long a decision takes with 1,000 policies and 10,000 accounts, and whether it allocates: usher_bench_policy
// [--json]. Median and 99th percentile in nanoseconds, of decisions that are timed one by one (the clock's own cost is
// in it), for policies that are spread over the apps and for policies that all name one app. Half of the policies ask
// for a device and its posture; what rules ask besides whom they are about comes in some hundred sorts. Exits with 1
// where the 99th percentile is above 2 us, or where a decision allocates.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "auth/policy.hpp"
#include "base/text.hpp"

namespace {

std::atomic<std::uint64_t> allocations{0};

using namespace usher;
using namespace std::chrono_literals;

constexpr std::size_t account_count = 10'000, policy_count = 1'000, group_count = 500, department_count = 200;
constexpr std::size_t decisions = 200'000;
constexpr long bound_ns = 2'000;

auth::App app(std::size_t number) {
    auth::App out;
    out.name = "app-" + std::to_string(number);
    out.destinations = {auth::DestinationPattern::parse(out.name + ".example:443").value()};
    return out;
}

std::vector<auth::Account> accounts() {
    std::vector<auth::Account> out(account_count);
    for (std::size_t i = 0; i < out.size(); ++i) {
        out[i].id = "id-" + std::to_string(i);
        out[i].username = "user" + std::to_string(i);
        out[i].department = "Department " + std::to_string(i % department_count);
        for (std::size_t g = 0; g < 5; ++g) out[i].groups.push_back("group-" + std::to_string((i * 7 + g * 97) % 500));
        std::sort(out[i].groups.begin(), out[i].groups.end());
    }
    return out;
}

/// A policy as they are written: who, some with a network, hours, a second factor or a device, and an exception.
auth::Policy policy(std::size_t number, std::vector<std::string> apps, std::mt19937& random) {
    auth::Policy out;
    out.name = "policy-" + std::to_string(number);
    out.apps = std::move(apps);
    const auto any = [&](std::size_t n) { return static_cast<std::size_t>(random()) % n; };
    for (int i = 0; i < 3; ++i) {
        auth::Rule rule;
        for (int n = 0; n < 3; ++n) rule.groups.push_back("group-" + std::to_string(any(group_count)));
        if (i == 0 && number % 2 == 0) {
            rule.devices = {auth::DeviceState::active};
            rule.posture = {
                auth::PostureTest::parse(number % 4 == 0 ? "disk_encrypted" : "screen != 1920x1080").value(),
                auth::PostureTest::parse("storage_free_bytes >= 8GiB").value(),
                auth::PostureTest::parse("os_version >= " + std::to_string(10 + any(6))).value()};
        }
        if (i == 1) rule.networks = {base::Cidr::parse("10." + std::to_string(any(80)) + ".0.0/16").value()};
        if (i == 2) rule.mfa_within = 12h;
        out.allow.push_back(std::move(rule));
    }
    auth::Rule department;
    department.departments = {"Department " + std::to_string(any(department_count))};
    department.times = {
        auth::TimeWindow::parse("mon-fri 0" + std::to_string(any(10)) + ":00-18:00 Europe/Berlin").value()};
    out.allow.push_back(std::move(department));
    auth::Rule except;
    for (int n = 0; n < 5; ++n) except.accounts.push_back("user" + std::to_string(any(account_count)));
    out.deny.push_back(std::move(except));
    return out;
}

struct Shape {
    const char* name;
    std::size_t apps, apps_of_a_policy;
};

struct Figures {
    long median, p99;
    double allowed_percent;
    std::uint64_t allocations;
};

Figures measure(const Shape& shape) {
    std::mt19937 random(20261129);
    std::vector<auth::App> apps;
    for (std::size_t i = 0; i < shape.apps; ++i) apps.push_back(app(i));
    std::vector<auth::Policy> policies;
    for (std::size_t i = 0; i < policy_count; ++i) {
        std::vector<std::string> names;
        for (std::size_t n = 0; n < shape.apps_of_a_policy; ++n)
            names.push_back(apps[(i * 13 + n * 37) % apps.size()].name);
        policies.push_back(policy(i, std::move(names), random));
    }
    const auth::DirectorySnapshot directory(1, accounts(), std::move(apps), std::move(policies));
    auth::Context context;
    context.client_address = base::IpAddress::parse("192.0.2.7");
    context.time = base::parse_rfc3339("2026-11-24T10:00:00Z");
    context.device = auth::DeviceState::active;
    auth::Posture posture;
    posture.os = "debian";
    posture.os_version = "12.4";
    posture.disk_encrypted = false;
    posture.screen = "2560x1440";
    posture.storage_free_bytes = std::uint64_t{10} << 30;
    context.posture = std::make_shared<const auth::Posture>(posture);

    std::vector<long> times(decisions);
    std::size_t allowed = 0;
    std::uint64_t allocated = 0;
    // Once to warm up, and once to measure.
    for (int round = 0; round < 2; ++round) {
        random.seed(7);
        allowed = 0;
        const auto before = allocations.load();
        for (auto& time : times) {
            const auto& account = directory.accounts()[random() % account_count];
            const auto& wanted = directory.apps()[random() % shape.apps];
            const auto from = std::chrono::steady_clock::now();
            const auto decision = auth::decide(directory, account, wanted, context);
            time = static_cast<long>((std::chrono::steady_clock::now() - from).count());
            allowed += decision.allowed;
        }
        allocated = allocations.load() - before;
    }
    std::sort(times.begin(), times.end());
    return {times[decisions / 2], times[decisions - decisions / 100],
            100.0 * static_cast<double>(allowed) / static_cast<double>(decisions), allocated};
}

}  // namespace

void* operator new(std::size_t size) {
    allocations.fetch_add(1, std::memory_order_relaxed);
    if (void* memory = std::malloc(size)) return memory;
    throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

int main(int argc, char** argv) {
    const bool json = argc == 2 && std::strcmp(argv[1], "--json") == 0;
    if (argc > 1 && !json) {
        std::fprintf(stderr, "usage: %s [--json]\n", argv[0]);
        return 2;
    }
    bool good = true;
    for (const Shape& shape : {Shape{"spread over 100 apps, 5 each", 100, 5}, Shape{"all about one app", 1, 1}}) {
        const auto figures = measure(shape);
        std::printf(json ? "{\"policies\":\"%s\",\"median_ns\":%ld,\"p99_ns\":%ld,\"allowed_percent\":%.1f,"
                           "\"allocations\":%llu}\n"
                         : "%-30s median %6ld ns   p99 %6ld ns   %5.1f %% allowed   %llu allocations\n",
                    shape.name, figures.median, figures.p99, figures.allowed_percent,
                    static_cast<unsigned long long>(figures.allocations));
        good = good && figures.p99 <= bound_ns && figures.allocations == 0;
    }
    return good ? 0 : 1;
}
