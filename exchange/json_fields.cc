#include "exchange/json_fields.h"

#include <charconv>
#include <cmath>
#include <exception>
#include <nlohmann/json.hpp>

namespace phub::exchange {
namespace {

using Json = nlohmann::json;

constexpr size_t kQuoteBytes = 60;  // Of a peer's bytes in an error message.

// A peer's bytes, fit for a log line.
std::string quote(std::string text) {
  if (text.size() > kQuoteBytes) text = text.substr(0, kQuoteBytes) + "...";
  for (char& c : text) {
    if (c < ' ' || c > '~') c = '?';
  }
  return text;
}

std::string show(const Json& value) {
  if (value.is_structured()) return value.is_array() ? "an array" : "an object";
  return quote(value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

// The library keeps one bit and more per level, so depth is bounded before it sees the text.
bool is_too_deep(std::string_view text) {
  size_t depth = 0;
  bool is_in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (is_in_string) {
      if (c == '\\') ++i;
      if (c == '"') is_in_string = false;
    } else if (c == '"') {
      is_in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kJsonDepthMax) return true;
    } else if ((c == '}' || c == ']') && depth > 0) {
      --depth;
    }
  }
  return false;
}

bool is_token_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}
bool is_hex_char(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }
bool is_printing(char c) { return static_cast<unsigned char>(c) >= ' ' && c != 0x7f; }

// What a text that breaks the rule should have been; null if it keeps it.
const char* broken_rule(const std::string& text, TextRule rule, size_t bytes_max) {
  switch (rule) {
    case TextRule::any:
      return nullptr;
    case TextRule::line:
      return std::all_of(text.begin(), text.end(), is_printing) ? nullptr
                                                                : "text without control characters";
    case TextRule::token:
      return !text.empty() && std::all_of(text.begin(), text.end(), is_token_char)
                 ? nullptr
                 : "one or more of [A-Za-z0-9._-]";
    case TextRule::hex:
      return text.size() == bytes_max && std::all_of(text.begin(), text.end(), is_hex_char)
                 ? nullptr
                 : "lower-case hexadecimal of the right length";
  }
  return nullptr;
}

const Json& json(const void* node) { return *static_cast<const Json*>(node); }

}  // namespace

struct JsonDocument::Tree {
  Json root;
};

JsonDocument::JsonDocument(std::unique_ptr<Tree> tree)
    : tree_(std::move(tree)), status_(std::make_unique<Status>()) {}
JsonDocument::JsonDocument(JsonDocument&&) noexcept = default;
JsonDocument::~JsonDocument() = default;

Result<JsonDocument> JsonDocument::parse(std::string_view text) {
  if (is_too_deep(text)) {
    return Status(Code::invalid_argument,
                  "body nests deeper than " + std::to_string(kJsonDepthMax) + " levels");
  }
  try {
    auto tree = std::make_unique<Tree>(Tree{Json::parse(text)});
    if (!tree->root.is_object()) {
      return Status(Code::invalid_argument, "body is " + show(tree->root) + ", want an object");
    }
    return JsonDocument(std::move(tree));
  } catch (const std::bad_alloc&) {
    return Status(Code::resource_exhausted, "out of memory while reading a body of " +
                                                std::to_string(text.size()) + " bytes");
  } catch (const std::exception& error) {
    return Status(Code::invalid_argument, "body is not JSON: " + quote(error.what()));
  }
}

JsonObject JsonDocument::root() { return {&tree_->root, status_.get()}; }

bool JsonObject::has(const char* name) const { return json(node_).contains(name); }

std::string JsonObject::path() const {
  if (parent_ == nullptr) return "";
  std::string text = parent_->path() + name_;
  if (index_ >= 0) text += "[" + std::to_string(index_) + "]";
  return text + ".";
}

void JsonObject::fail(const char* name, const std::string& what) {
  if (!status_->ok()) return;
  *status_ = Status(Code::invalid_argument, "field " + path() + name + ": " + what);
}

const void* JsonObject::find(const char* name) {
  if (!status_->ok()) return nullptr;
  const auto found = json(node_).find(name);
  if (found != json(node_).end()) return &*found;
  fail(name, "missing");
  return nullptr;
}

uint64_t JsonObject::number(const char* name, uint64_t low, uint64_t high) {
  const void* const node = find(name);
  if (node == nullptr) return 0;
  if (json(node).is_number_unsigned()) {
    const auto value = json(node).get<uint64_t>();
    if (value >= low && value <= high) return value;
  }
  fail(name, "want an integer from " + std::to_string(low) + " to " + std::to_string(high) +
                 ", got " + show(json(node)));
  return 0;
}

int64_t JsonObject::integer(const char* name, int64_t low, int64_t high) {
  const void* const node = find(name);
  if (node == nullptr) return 0;
  const bool is_too_large =
      json(node).is_number_unsigned() && json(node).get<uint64_t>() > uint64_t{INT64_MAX};
  if (json(node).is_number_integer() && !is_too_large) {
    const auto value = json(node).get<int64_t>();
    if (value >= low && value <= high) return value;
  }
  fail(name, "want an integer from " + std::to_string(low) + " to " + std::to_string(high) +
                 ", got " + show(json(node)));
  return 0;
}

float JsonObject::real(const char* name) {
  const void* const node = find(name);
  if (node == nullptr) return 0;
  if (json(node).is_number()) {
    const double value = json(node).get<double>();
    if (std::abs(value) <= double{std::numeric_limits<float>::max()}) {
      return static_cast<float>(value);
    }
  }
  fail(name, "want a number in float32's range, got " + show(json(node)));
  return 0;
}

bool JsonObject::boolean(const char* name) {
  const void* const node = find(name);
  if (node == nullptr) return false;
  if (json(node).is_boolean()) return json(node).get<bool>();
  fail(name, "want true or false, got " + show(json(node)));
  return false;
}

std::string JsonObject::text(const char* name, TextRule rule, size_t bytes_max) {
  const void* const node = find(name);
  if (node == nullptr) return "";
  if (!json(node).is_string()) {
    fail(name, "want a string, got " + show(json(node)));
    return "";
  }
  const auto& value = json(node).get_ref<const std::string&>();
  if (value.size() > bytes_max) {
    fail(name, "has " + std::to_string(value.size()) + " bytes, at most " +
                   std::to_string(bytes_max) + " are allowed");
    return "";
  }
  if (const char* const want = broken_rule(value, rule, bytes_max)) {
    fail(name, std::string("want ") + want + ", got \"" + quote(value) + "\"");
    return "";
  }
  return value;
}

std::vector<uint32_t> JsonObject::numbers(const char* name, size_t count_max, uint32_t high) {
  std::vector<uint32_t> values;
  const void* const node = find(name);
  if (node == nullptr) return values;
  if (!json(node).is_array() || json(node).size() > count_max) {
    fail(name, "want an array of at most " + std::to_string(count_max) + " integers");
    return values;
  }
  values.reserve(json(node).size());
  for (const Json& item : json(node)) {
    if (!item.is_number_unsigned() || item.get<uint64_t>() > high) {
      fail(name, "item " + std::to_string(values.size()) + ": want an integer from 0 to " +
                     std::to_string(high) + ", got " + show(item));
      return {};
    }
    values.push_back(item.get<uint32_t>());
  }
  return values;
}

void JsonObject::each(const char* name, size_t count_max,
                      const std::function<void(JsonObject&)>& read) {
  const void* const node = find(name);
  if (node == nullptr) return;
  if (!json(node).is_array() || json(node).size() > count_max) {
    fail(name, "want an array of at most " + std::to_string(count_max) + " objects");
    return;
  }
  for (size_t i = 0; i < json(node).size() && status_->ok(); ++i) {
    JsonObject item(&json(node)[i], this, name, static_cast<int64_t>(i));
    if (!json(node)[i].is_object()) {
      fail(name, "item " + std::to_string(i) + ": want an object");
      return;
    }
    read(item);
  }
}

void JsonObject::object(const char* name, const std::function<void(JsonObject&)>& read) {
  const void* const node = find(name);
  if (node == nullptr) return;
  if (!json(node).is_object()) {
    fail(name, "want an object, got " + show(json(node)));
    return;
  }
  JsonObject child(node, this, name, -1);
  read(child);
}

void JsonWriter::separate() {
  if (out_.back() != '{' && out_.back() != '[') out_ += ',';
}

void JsonWriter::key(const char* name) {
  separate();
  ((out_ += '"') += name) += "\":";
}

void JsonWriter::number(const char* name, uint64_t value) {
  key(name);
  out_ += std::to_string(value);
}

void JsonWriter::integer(const char* name, int64_t value) {
  key(name);
  out_ += std::to_string(value);
}

void JsonWriter::real(const char* name, float value) {
  key(name);
  if (!std::isfinite(value)) {
    out_ += "null";
    return;
  }
  // As double: the shortest digits of a float, read as a double, may round to another float.
  char digits[32];
  const char* const end = std::to_chars(digits, digits + sizeof(digits), double{value}).ptr;
  const std::string_view text(digits, static_cast<size_t>(end - digits));
  out_ += text;
  // A whole number needs a point: "-0" is the integer 0 to a JSON reader.
  if (text.find_first_of(".e") == std::string_view::npos) out_ += ".0";
}

void JsonWriter::boolean(const char* name, bool value) {
  key(name);
  out_ += value ? "true" : "false";
}

void JsonWriter::text(const char* name, std::string_view value) {
  key(name);
  out_ += Json(value).dump(-1, ' ', false, Json::error_handler_t::replace);
}

void JsonWriter::numbers(const char* name, const std::vector<uint32_t>& values) {
  begin_array(name);
  for (const uint32_t value : values) {
    separate();
    out_ += std::to_string(value);
  }
  end_array();
}

void JsonWriter::begin_object(const char* name) {
  key(name);
  out_ += '{';
}
void JsonWriter::begin_array(const char* name) {
  key(name);
  out_ += '[';
}
void JsonWriter::begin_item() {
  separate();
  out_ += '{';
}
void JsonWriter::end_object() { out_ += '}'; }
void JsonWriter::end_array() { out_ += ']'; }
std::string JsonWriter::finish() && {
  out_ += '}';
  return std::move(out_);
}

}  // namespace phub::exchange
