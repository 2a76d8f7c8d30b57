#include "load/loads.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <functional>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "load/pattern.hpp"

namespace bench {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// Runs `work(thread)` on each thread and waits for all; the first failure is thrown again here.
void on_threads(unsigned threads, const std::function<void(unsigned)>& work) {
    std::mutex mutex;
    std::optional<std::string> failure;
    std::vector<std::thread> running;
    running.reserve(threads);
    for (unsigned i = 0; i < threads; ++i)
        running.emplace_back([&, i] {
            try {
                work(i);
            } catch (const std::exception& e) {
                const std::lock_guard lock(mutex);
                if (!failure) failure = e.what();
            }
        });
    for (auto& thread : running) thread.join();
    if (failure) throw std::runtime_error(*failure);
}

std::string count_header(std::uint64_t count) {
    std::string head;
    for (int shift = 56; shift >= 0; shift -= 8) head.push_back(static_cast<char>(count >> shift & 0xff));
    return head;
}

void echo_once(Tunnel& tunnel, std::string_view bytes) {
    std::string back(bytes.size(), '\0');
    tunnel.write(bytes);
    tunnel.read_exactly(back.data(), back.size());
    if (back != bytes) throw std::runtime_error("the echo differs from what was sent");
}

int report_bytes(double seconds, const Amount& amount) {
    std::printf("{\"bytes\": %llu, \"seconds\": %.6f}\n",
                static_cast<unsigned long long>(amount.count * amount.concurrency), seconds);
    return 0;
}

int report_times(double seconds, std::vector<double> milliseconds, std::uint64_t late) {
    std::sort(milliseconds.begin(), milliseconds.end());
    const auto at = [&](double share) {
        return milliseconds[static_cast<std::size_t>(share * static_cast<double>(milliseconds.size() - 1))];
    };
    std::printf(
        "{\"tunnels\": %zu, \"seconds\": %.6f, \"p50_ms\": %.4f, \"p99_ms\": %.4f, \"max_ms\": %.4f, \"late\": %llu}\n",
        milliseconds.size(), seconds, at(0.5), at(0.99), milliseconds.back(), static_cast<unsigned long long>(late));
    return 0;
}

}  // namespace

int download(const Route& route, const Amount& amount) {
    const TlsClient tls;
    const auto start = Clock::now();
    on_threads(amount.concurrency, [&](unsigned) {
        Tunnel tunnel(tls, route);
        tunnel.write(count_header(amount.count));
        // Each full record adds 22 bytes; with smaller records the last few stay unread, less than 1 in 100.
        tunnel.discard_ciphertext(amount.count + amount.count / 16384 * 22);
    });
    return report_bytes(seconds_since(start), amount);
}

int upload(const Route& route, const Amount& amount) {
    const TlsClient tls;
    const auto start = Clock::now();
    on_threads(amount.concurrency, [&](unsigned) {
        Tunnel tunnel(tls, route);
        tunnel.write(count_header(amount.count));
        for (std::uint64_t offset = 0; offset < amount.count;) {
            const auto bytes = pattern_from(offset).substr(0, amount.count - offset);
            tunnel.write(bytes);
            offset += bytes.size();
        }
        char answer = 0;
        tunnel.read_exactly(&answer, 1);
        if (answer != 'k') throw std::runtime_error("the app did not confirm the upload");
        tunnel.finish();
    });
    return report_bytes(seconds_since(start), amount);
}

int short_tunnels(const Route& route, const Amount& amount) {
    const TlsClient tls;
    std::atomic<std::uint64_t> next{0};
    const auto start = Clock::now();
    on_threads(amount.concurrency, [&](unsigned) {
        while (next++ < amount.count) {
            Tunnel tunnel(tls, route);
            echo_once(tunnel, std::string_view(pattern()).substr(0, 1024));
            tunnel.finish();
        }
    });
    std::printf("{\"tunnels\": %llu, \"seconds\": %.6f}\n", static_cast<unsigned long long>(amount.count),
                seconds_since(start));
    return 0;
}

int setup(const Route& route, const Amount& amount) {
    const TlsClient tls;
    std::vector<double> milliseconds(amount.count);
    std::atomic<std::uint64_t> next{0};
    std::atomic<std::uint64_t> late{0};
    const auto start = Clock::now();
    on_threads(amount.concurrency, [&](unsigned) {
        for (std::uint64_t i; (i = next++) < amount.count;) {
            const auto due = start + std::chrono::duration_cast<Clock::duration>(
                                         std::chrono::duration<double>(static_cast<double>(i) / amount.rate));
            std::this_thread::sleep_until(due);
            const auto begin = Clock::now();
            if (begin - due > std::chrono::milliseconds(5)) ++late;
            Tunnel tunnel(tls, route);
            echo_once(tunnel, "u");
            milliseconds[i] = seconds_since(begin) * 1000;
            tunnel.finish();
        }
    });
    return report_times(seconds_since(start), std::move(milliseconds), late.load());
}

int transfers(const Route& route, const Amount& amount) {
    const TlsClient tls;
    std::vector<std::unique_ptr<Tunnel>> tunnels(amount.concurrency);
    for (auto& tunnel : tunnels) {
        tunnel = std::make_unique<Tunnel>(tls, route);
        echo_once(*tunnel, "u");
    }
    std::vector<double> milliseconds(amount.count);
    std::atomic<std::uint64_t> late{0};
    const auto start = Clock::now() + std::chrono::milliseconds(100);
    on_threads(amount.concurrency, [&](unsigned thread) {
        for (std::uint64_t i = thread; i < amount.count; i += amount.concurrency) {
            const auto due = start + std::chrono::duration_cast<Clock::duration>(
                                         std::chrono::duration<double>(static_cast<double>(i) / amount.rate));
            std::this_thread::sleep_until(due);
            if (Clock::now() - due > std::chrono::milliseconds(5)) ++late;
            echo_once(*tunnels[thread], std::string_view(pattern()).substr(0, 64 * 1024));
            milliseconds[i] = seconds_since(due) * 1000;
        }
        tunnels[thread]->finish();
    });
    return report_times(seconds_since(start), std::move(milliseconds), late.load());
}

int idle(const Route& route, const Amount& amount) {
    const TlsClient tls;
    std::vector<std::unique_ptr<Tunnel>> tunnels(amount.count);
    std::atomic<std::uint64_t> next{0};
    const auto start = Clock::now();
    on_threads(amount.concurrency, [&](unsigned) {
        for (std::uint64_t i; (i = next++) < amount.count;) {
            tunnels[i] = std::make_unique<Tunnel>(tls, route);
            echo_once(*tunnels[i], "u");
        }
    });
    std::printf("{\"tunnels\": %zu, \"seconds\": %.6f}\n", tunnels.size(), seconds_since(start));
    std::fflush(stdout);
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    for (auto& tunnel : tunnels) echo_once(*tunnel, "v");  // all of them were alive all the time
    return 0;
}

int verify(const Route& route) {
    const TlsClient tls;
    Tunnel tunnel(tls, route);
    static constexpr std::uint64_t total = 16U << 20;
    static constexpr std::array<std::size_t, 6> pieces{1, 16383, 16384, 16385, 65536, 99991};
    std::uint64_t offset = 0;
    for (std::size_t i = 0; offset < total; ++i) {
        const auto bytes = pattern_from(offset).substr(0, pieces[i % pieces.size()]);
        echo_once(tunnel, bytes);
        offset += bytes.size();
    }
    tunnel.finish();
    std::printf("{\"bytes\": %llu}\n", static_cast<unsigned long long>(offset));
    return 0;
}

}  // namespace bench
