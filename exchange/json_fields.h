// JSON bodies of session messages: strict reading by field, and writing.
//
// A reader names fields and their ranges; the first one that is missing or wrong is remembered with
// its path ("table[3].count") and everything after it reads as zero, so that a message's code is a
// straight list. Hides the JSON library from the codec's files.
#pragma once

#include <phub/status.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace phub::exchange {

constexpr size_t kJsonDepthMax = 8;  // No message nests deeper than 3.

enum class TextRule : uint8_t {
  line,   // No control characters: safe in a log line.
  any,    // Any UTF-8.
  token,  // One or more of [A-Za-z0-9._-].
  hex,    // Exactly bytes_max of [0-9a-f].
};

// One JSON object of a document. Unknown fields are ignored (docs/wire.md, Versions).
class JsonObject {
 public:
  bool has(const char* name) const;
  uint64_t number(const char* name, uint64_t low, uint64_t high);
  int64_t integer(const char* name, int64_t low, int64_t high);
  float real(const char* name);  // Finite as float32.
  bool boolean(const char* name);
  std::string text(const char* name, TextRule rule, size_t bytes_max);
  std::vector<uint32_t> numbers(const char* name, size_t count_max, uint32_t high);
  // Calls `read` with every object of the array `name`.
  void each(const char* name, size_t count_max, const std::function<void(JsonObject&)>& read);
  // Calls `read` with the object `name`.
  void object(const char* name, const std::function<void(JsonObject&)>& read);

  // Remembers an error of the caller's own finding; the first one stays.
  void fail(const char* name, const std::string& what);

 private:
  friend class JsonDocument;
  JsonObject(const void* node, Status* status) : node_(node), status_(status) {}
  JsonObject(const void* node, const JsonObject* parent, const char* name, int64_t index)
      : node_(node), status_(parent->status_), parent_(parent), name_(name), index_(index) {}
  const void* find(const char* name);
  std::string path() const;

  const void* node_;  // The library's value; always an object.
  Status* status_;
  const JsonObject* parent_ = nullptr;
  const char* name_ = nullptr;  // In the parent.
  int64_t index_ = -1;          // Within the array `name_`; -1: not in one.
};

class JsonDocument {
 public:
  // invalid_argument: not JSON, not UTF-8, nested too deep, or not an object.
  static Result<JsonDocument> parse(std::string_view text);
  JsonDocument(JsonDocument&&) noexcept;
  ~JsonDocument();

  JsonObject root();
  const Status& status() const { return *status_; }  // The first error of reading.

 private:
  struct Tree;
  explicit JsonDocument(std::unique_ptr<Tree> tree);
  std::unique_ptr<Tree> tree_;
  std::unique_ptr<Status> status_;  // Objects point at it.
};

// Writes one object, field by field. begin_x and end_x must pair up.
class JsonWriter {
 public:
  JsonWriter() { out_ += '{'; }
  void number(const char* name, uint64_t value);
  void integer(const char* name, int64_t value);
  void real(const char* name, float value);  // Reads back as the same float; not finite: null.
  void boolean(const char* name, bool value);
  void text(const char* name, std::string_view value);
  void numbers(const char* name, const std::vector<uint32_t>& values);
  void begin_object(const char* name);
  void begin_array(const char* name);
  void begin_item();  // An object in the array.
  void end_object();  // Also of an item.
  void end_array();
  std::string finish() &&;

 private:
  void key(const char* name);
  void separate();
  std::string out_;
};

}  // namespace phub::exchange
