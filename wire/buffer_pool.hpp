#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <utility>
#include <vector>

namespace usher::wire {

/// Blocks for bytes in motion, one pool a worker, used on its thread only. A connection holds a block only while it has
/// bytes in it, so an idle one costs nothing here. There are small ones, and large ones for a direction in which bytes
/// come as fast as they are moved. Of each at most a fixed number stay when they are free; the rest go back to the
/// allocator.
class BufferPool {
public:
    /// What is read or encrypted at once.
    static constexpr std::size_t chunk_bytes = 64 * 1024;
    /// The same in a flow that fills chunks: a fourth of the system calls and of the wake-ups of both peers, and three
    /// such buffers still lie in a core's own cache.
    static constexpr std::size_t bulk_bytes = 256 * 1024;
    /// Room for so much plaintext as TLS records of 16 KiB, with at most 256 bytes of overhead each.
    static constexpr std::size_t sealed(std::size_t plain) noexcept { return plain + plain / (16 * 1024) * 256; }

    BufferPool() = default;
    BufferPool(const BufferPool&) = delete;
    BufferPool& operator=(const BufferPool&) = delete;

    enum class Size : std::uint8_t { chunk, bulk };
    /// The smaller one in which `plain` bytes have room.
    static constexpr Size size_for(std::size_t plain) noexcept {
        return plain > chunk_bytes ? Size::bulk : Size::chunk;
    }

    /// A block on loan; goes back to its pool when it is reset or destroyed. The pool must outlive it.
    class Block {
    public:
        Block() = default;
        Block(BufferPool& pool, Size size, std::unique_ptr<char[]> bytes)
            : pool_(&pool), bytes_(std::move(bytes)), size_(size) {}
        Block(Block&& other) noexcept : pool_(other.pool_), bytes_(std::move(other.bytes_)), size_(other.size_) {}
        Block& operator=(Block&& other) noexcept {
            reset();
            pool_ = other.pool_;
            bytes_ = std::move(other.bytes_);
            size_ = other.size_;
            return *this;
        }
        ~Block() { reset(); }

        char* data() noexcept { return bytes_.get(); }
        /// How many bytes of plaintext it is for.
        std::size_t plain_bytes() const noexcept { return size_ == Size::bulk ? bulk_bytes : chunk_bytes; }
        /// How many it holds: the same as TLS records.
        std::size_t capacity() const noexcept { return sealed(plain_bytes()); }
        explicit operator bool() const noexcept { return bytes_ != nullptr; }
        void reset() noexcept {
            if (bytes_) pool_->give_back(size_, std::move(bytes_));
        }

    private:
        BufferPool* pool_ = nullptr;
        std::unique_ptr<char[]> bytes_;
        Size size_ = Size::chunk;
    };

    Block take(Size size = Size::chunk) {
        auto& free = free_[static_cast<std::size_t>(size)];
        if (free.empty()) {
            const std::size_t plain = size == Size::bulk ? bulk_bytes : chunk_bytes;
            return Block(*this, size, std::unique_ptr<char[]>(new char[sealed(plain)]));
        }
        auto bytes = std::move(free.back());
        free.pop_back();
        return Block(*this, size, std::move(bytes));
    }

private:
    void give_back(Size size, std::unique_ptr<char[]> bytes) noexcept {
        auto& free = free_[static_cast<std::size_t>(size)];
        const std::size_t keep = size == Size::bulk ? 8 : 64;
        // The capacity is reserved on first use, so this cannot throw.
        if (free.capacity() < keep) {
            try {
                free.reserve(keep);
            } catch (const std::bad_alloc&) {
                return;  // Without memory for the list the block simply goes back to the allocator.
            }
        }
        if (free.size() < keep) free.push_back(std::move(bytes));
    }

    std::array<std::vector<std::unique_ptr<char[]>>, 2> free_;
};

}  // namespace usher::wire
