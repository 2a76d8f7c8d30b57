#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace usher::audit::ocsf {

/// Which characters stand for themselves: those of UTF-8, or of ASCII alone, where nobody says how bytes are to be
/// read.
enum class Charset { utf8, ascii };

/// Writes one JSON object on one line. Keys are literals of the program; texts may be anything: what comes out is
/// well-formed UTF-8 with every control character escaped, whatever went in. Not thread-safe.
class JsonWriter {
public:
    explicit JsonWriter(Charset charset = Charset::utf8) : charset_(charset), out_("{") {}

    /// An object, or an object within an array, until end().
    void begin(std::string_view key);
    void begin_array(std::string_view key);
    void begin_element();
    void end() { close('}'); }
    void end_array() { close(']'); }

    void number(std::string_view key, std::int64_t value);
    void number(std::string_view key, std::uint64_t value);
    void number(std::string_view key, int value) { number(key, static_cast<std::int64_t>(value)); }
    void boolean(std::string_view key, bool value);
    /// At most `bytes_max` bytes come out between the quotes, whole characters only; what is cut ends with "..." and is
    /// told by cut(). An empty text is left out.
    void text(std::string_view key, std::string_view value, std::size_t bytes_max = text_bytes_max);
    /// An element of an array, as text().
    void text_element(std::string_view value, std::size_t bytes_max = text_bytes_max);

    static constexpr std::size_t text_bytes_max = 256;

    /// Whether some text was longer than its bound.
    bool cut() const noexcept { return cut_; }

    /// The whole text; nothing may be written behind it.
    std::string finish() &&;

private:
    void comma();
    void key(std::string_view name);
    void close(char bracket);
    void quoted(std::string_view value, std::size_t bytes_max);

    std::string quote(std::string_view text) const;
    std::string_view fitting(std::string_view text, std::size_t bytes_max) const;

    const Charset charset_;
    std::string out_;
    bool cut_ = false;
};

}  // namespace usher::audit::ocsf
