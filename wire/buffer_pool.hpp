#pragma once
#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace usher::wire {

/// Blocks for bytes in motion, one pool a worker, used on its thread only. A connection holds a block only while it has
/// bytes in it, so an idle one costs nothing here. At most `keep` free blocks stay; the rest go back to the allocator.
class BufferPool {
public:
    /// Room for 64 KiB of plaintext as TLS records: four of them with at most 256 bytes of overhead each.
    static constexpr std::size_t block_bytes = 66 * 1024;
    /// What is read or encrypted at once.
    static constexpr std::size_t chunk_bytes = 64 * 1024;

    explicit BufferPool(std::size_t keep = 64) : keep_(keep) {}
    BufferPool(const BufferPool&) = delete;
    BufferPool& operator=(const BufferPool&) = delete;

    /// A block on loan; goes back to its pool when it is reset or destroyed. The pool must outlive it.
    class Block {
    public:
        Block() = default;
        Block(BufferPool& pool, std::unique_ptr<char[]> bytes) : pool_(&pool), bytes_(std::move(bytes)) {}
        Block(Block&& other) noexcept : pool_(other.pool_), bytes_(std::move(other.bytes_)) {}
        Block& operator=(Block&& other) noexcept {
            reset();
            pool_ = other.pool_;
            bytes_ = std::move(other.bytes_);
            return *this;
        }
        ~Block() { reset(); }

        char* data() noexcept { return bytes_.get(); }
        explicit operator bool() const noexcept { return bytes_ != nullptr; }
        void reset() noexcept {
            if (bytes_) pool_->give_back(std::move(bytes_));
        }

    private:
        BufferPool* pool_ = nullptr;
        std::unique_ptr<char[]> bytes_;
    };

    Block take() {
        if (free_.empty()) return Block(*this, std::unique_ptr<char[]>(new char[block_bytes]));
        auto bytes = std::move(free_.back());
        free_.pop_back();
        return Block(*this, std::move(bytes));
    }

private:
    void give_back(std::unique_ptr<char[]> bytes) noexcept {
        // The vector's capacity is reserved up to keep_ on first use, so this cannot throw.
        if (free_.capacity() < keep_) {
            try {
                free_.reserve(keep_);
            } catch (const std::bad_alloc&) {
                return;  // Without memory for the list the block simply goes back to the allocator.
            }
        }
        if (free_.size() < keep_) free_.push_back(std::move(bytes));
    }

    std::size_t keep_;
    std::vector<std::unique_ptr<char[]>> free_;
};

}  // namespace usher::wire
