// Preloaded into usherd by tests/faults/syscalls.py: one write to a file below USHER_SHORT_BELOW, the one of the number
// USHER_SHORT_WHEN, does only a part of what it is asked for and says so, as write(2) may at any time.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_long calls;

static size_t shortened(int fd, size_t count) {
    const char* below = getenv("USHER_SHORT_BELOW");
    const char* when = getenv("USHER_SHORT_WHEN");
    if (below == NULL || when == NULL || count < 2) return count;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return count;
    path[length] = 0;
    if (strncmp(path, below, strlen(below)) != 0) return count;
    return atomic_fetch_add(&calls, 1) + 1 == atol(when) ? count / 2 : count;
}

ssize_t pwrite64(int fd, const void* data, size_t count, off64_t offset) {
    static ssize_t (*real)(int, const void*, size_t, off64_t);
    if (real == NULL) real = (ssize_t(*)(int, const void*, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
    return real(fd, data, shortened(fd, count), offset);
}

ssize_t pwrite(int fd, const void* data, size_t count, off_t offset) { return pwrite64(fd, data, count, offset); }
