// What a relay over loopback cannot go below on this machine: usher_bench_floor. One process moves bytes from a source
// to a sink, each a process on other cores, in pieces of 256 KiB: with a recv() and a send() each and nothing else, and
// with AES-256-GCM over records of 16 KiB in between, which is what TLS 1.3 adds to a download at least. Prints the
// relay's CPU seconds per GiB. See docs/benchmarks.md.
#include <netinet/in.h>
#include <openssl/evp.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <vector>

namespace {

constexpr std::uint64_t gib = std::uint64_t{1} << 30, total = 4 * gib;
constexpr std::size_t piece = 256 * 1024, record = 16 * 1024, overhead = 22;

[[noreturn]] void die(const char* what) {
    std::perror(what);
    std::exit(1);
}

/// Two ends of a TCP connection over loopback.
std::array<int, 2> connection() {
    const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    if (listener < 0 || ::bind(listener, any, length) != 0 || ::listen(listener, 1) != 0 ||
        ::getsockname(listener, any, &length) != 0)
        die("listen");
    const int out = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (out < 0 || ::connect(out, any, length) != 0) die("connect");
    const int in = ::accept(listener, nullptr, nullptr);
    if (in < 0) die("accept");
    ::close(listener);
    return {out, in};
}

/// The last core for the relay, the others for its peers.
void pin(bool relay) {
    const long cores = ::sysconf(_SC_NPROCESSORS_ONLN);
    if (cores < 2) return;
    cpu_set_t set;
    CPU_ZERO(&set);
    for (long core = relay ? cores - 1 : 0; core < (relay ? cores : cores - 1); ++core)
        CPU_SET(static_cast<std::size_t>(core), &set);
    if (::sched_setaffinity(0, sizeof set, &set) != 0) die("sched_setaffinity");
}

void send_all(int fd, const char* data, std::size_t size) {
    while (size > 0) {
        const ssize_t sent = ::send(fd, data, size, MSG_NOSIGNAL);
        if (sent < 0) die("send");
        data += sent;
        size -= static_cast<std::size_t>(sent);
    }
}

template <class Work>
pid_t child(Work work) {
    const pid_t pid = ::fork();
    if (pid < 0) die("fork");
    if (pid > 0) return pid;
    pin(false);
    work();
    std::_Exit(0);
}

double cpu_seconds() {
    rusage used{};
    ::getrusage(RUSAGE_SELF, &used);
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    return seconds(used.ru_utime) + seconds(used.ru_stime);
}

/// Seals `size` bytes as records behind each other; returns how many bytes they take.
std::size_t seal(EVP_CIPHER_CTX* context, const char* plain, std::size_t size, char* out) {
    std::size_t made = 0;
    for (std::size_t at = 0; at < size; at += record) {
        const auto count = static_cast<int>(size - at < record ? size - at : record);
        const std::array<unsigned char, 12> nonce{};
        auto* const to = reinterpret_cast<unsigned char*>(out + made + 5);
        int done = 0;
        if (EVP_EncryptInit_ex(context, nullptr, nullptr, nullptr, nonce.data()) != 1 ||
            EVP_EncryptUpdate(context, to, &done, reinterpret_cast<const unsigned char*>(plain + at), count) != 1 ||
            EVP_EncryptFinal_ex(context, to + done, &done) != 1 ||
            EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, 16, to + count + 1) != 1)
            std::exit(1);
        made += static_cast<std::size_t>(count) + overhead;
    }
    return made;
}

double relay(bool sealed) {
    const auto from = connection(), onwards = connection();
    const pid_t source = child([&] {
        const std::vector<char> zeros(piece);
        for (std::uint64_t sent = 0; sent < total; sent += piece) send_all(from[0], zeros.data(), piece);
    });
    const pid_t sink = child([&] {
        ::close(onwards[0]);
        std::vector<char> buffer(piece);
        while (::recv(onwards[1], buffer.data(), piece, 0) > 0) {
        }
    });
    pin(true);
    std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> context(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
    const std::array<unsigned char, 32> key{};
    if (EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key.data(), nullptr) != 1) std::exit(1);
    std::vector<char> plain(piece), out(piece + piece / record * overhead);
    const double before = cpu_seconds();
    for (std::uint64_t moved = 0; moved < total;) {
        const ssize_t count = ::recv(from[1], plain.data(), piece, 0);
        if (count <= 0) die("recv");
        moved += static_cast<std::uint64_t>(count);
        const auto size = static_cast<std::size_t>(count);
        if (sealed)
            send_all(onwards[0], out.data(), seal(context.get(), plain.data(), size, out.data()));
        else
            send_all(onwards[0], plain.data(), size);
    }
    const double used = cpu_seconds() - before;
    for (const int fd : {from[0], from[1], onwards[0], onwards[1]}) ::close(fd);
    ::waitpid(source, nullptr, 0);
    ::waitpid(sink, nullptr, 0);
    return used * static_cast<double>(gib) / static_cast<double>(total);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc > 1) {
        const bool asked = std::string_view(argv[1]) == "--help";
        std::fprintf(asked ? stdout : stderr, "usage: %s\nCPU seconds per GiB of a relay that does nothing else.\n",
                     argv[0]);
        return asked ? 0 : 2;
    }
    std::printf("recv and send            %.3f s/GiB\n", relay(false));
    std::printf("with AES-256-GCM         %.3f s/GiB\n", relay(true));
    return 0;
}
