// CHECK and LOG, as programs written for ps-lite use them; the real header of dmlc-core, where it
// is included first, takes this one's place.
//
// A failed check and LOG(FATAL) print their text and throw dmlc::Error.
#pragma once

#ifndef DMLC_LOGGING_H_
#define DMLC_LOGGING_H_

#include <cstdio>
#include <ctime>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>

#include <dmlc/base.h>

namespace dmlc {

struct Error : public std::runtime_error {
  explicit Error(const std::string& text) : std::runtime_error(text) {}
};

// One line for stderr, written whole.
class LogMessage {
 public:
  LogMessage(const char* file, int line) {
    char time[16] = "";
    const std::time_t now = std::time(nullptr);
    std::tm local{};
    if (::localtime_r(&now, &local) != nullptr) std::strftime(time, sizeof(time), "%T", &local);
    text_ << '[' << time << "] " << file << ':' << line << ": ";
  }
  ~LogMessage() {
    text_ << '\n';
    const std::string line = text_.str();
    std::fwrite(line.data(), 1, line.size(), stderr);
  }
  LogMessage(const LogMessage&) = delete;
  void operator=(const LogMessage&) = delete;
  std::ostream& stream() { return text_; }

 private:
  std::ostringstream text_;
};

class LogMessageFatal {
 public:
  LogMessageFatal(const char* file, int line) { text_ << file << ':' << line << ": "; }
  ~LogMessageFatal() noexcept(false) {
    const std::string text = text_.str();
    std::fwrite((text + "\n").data(), 1, text.size() + 1, stderr);
    throw Error(text);
  }
  LogMessageFatal(const LogMessageFatal&) = delete;
  void operator=(const LogMessageFatal&) = delete;
  std::ostream& stream() { return text_; }

 private:
  std::ostringstream text_;
};

// Makes both arms of ?: void.
struct LogMessageVoidify {
  void operator&(std::ostream&) {}
};

template <typename T>
T&& CheckedNotNull(const char* file, int line, const char* name, T&& pointer) {
  if (pointer == nullptr) LogMessageFatal(file, line).stream() << name << " must not be null";
  return static_cast<T&&>(pointer);
}

}  // namespace dmlc

#define LOG_INFO ::dmlc::LogMessage(__FILE__, __LINE__)
#define LOG_WARNING LOG_INFO
#define LOG_ERROR LOG_INFO
#define LOG_FATAL ::dmlc::LogMessageFatal(__FILE__, __LINE__)
#define LOG(severity) LOG_##severity.stream()
#define LG LOG(INFO)
#define LOG_IF(severity, condition) \
  !(condition) ? (void)0 : ::dmlc::LogMessageVoidify() & LOG(severity)
#define VLOG(level) LOG(INFO)

#define CHECK(condition) \
  if (!(condition)) LOG(FATAL) << "Check failed: " #condition << ' '
#define DMLC_CHECK_PAIR(a, op, b) \
  if (!((a)op(b)))                \
  LOG(FATAL) << "Check failed: " #a " " #op " " #b " (" << (a) << " vs. " << (b) << ") "
#define CHECK_EQ(a, b) DMLC_CHECK_PAIR(a, ==, b)
#define CHECK_NE(a, b) DMLC_CHECK_PAIR(a, !=, b)
#define CHECK_LT(a, b) DMLC_CHECK_PAIR(a, <, b)
#define CHECK_LE(a, b) DMLC_CHECK_PAIR(a, <=, b)
#define CHECK_GT(a, b) DMLC_CHECK_PAIR(a, >, b)
#define CHECK_GE(a, b) DMLC_CHECK_PAIR(a, >=, b)
#define CHECK_NOTNULL(pointer) \
  ::dmlc::CheckedNotNull(__FILE__, __LINE__, "'" #pointer "'", (pointer))

#ifdef NDEBUG
#define DCHECK(condition) \
  while (false) CHECK(condition)
#else
#define DCHECK(condition) CHECK(condition)
#endif
#define DCHECK_EQ(a, b) DCHECK((a) == (b))
#define DCHECK_NE(a, b) DCHECK((a) != (b))
#define DCHECK_LT(a, b) DCHECK((a) < (b))
#define DCHECK_LE(a, b) DCHECK((a) <= (b))
#define DCHECK_GT(a, b) DCHECK((a) > (b))
#define DCHECK_GE(a, b) DCHECK((a) >= (b))
#define DLOG(severity) LOG(severity)

#endif  // DMLC_LOGGING_H_
