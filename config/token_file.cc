#include "config/token_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/fd.h"

namespace phub::config {
namespace {
constexpr size_t kTokenBytesMin = 16;
constexpr size_t kTokenBytesMax = 512;
}  // namespace

Result<std::string> read_token_file(const std::string& path, const std::string& what) {
  const std::string shown = what + " " + path + ": ";
  const base::Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.valid()) {
    const Code code = errno == ENOENT ? Code::not_found : Code::permission_denied;
    return Status(code, shown + base::errno_text());
  }
  struct stat facts {};
  if (::fstat(file.get(), &facts) != 0 || !S_ISREG(facts.st_mode)) {
    return Status(Code::invalid_argument, shown + "not a regular file");
  }
  if ((facts.st_mode & (S_IROTH | S_IWOTH)) != 0) {
    return Status(Code::permission_denied, shown + "every user can read it; chmod 600 " + path);
  }
  std::array<char, kTokenBytesMax + 2> bytes;
  const ssize_t count = ::read(file.get(), bytes.data(), bytes.size());
  if (count < 0) {
    return Status(Code::permission_denied, shown + base::errno_text());
  }
  std::string token(bytes.data(), static_cast<size_t>(count));
  if (const size_t end = token.find_first_of("\r\n"); end != std::string::npos) token.resize(end);
  if (token.size() < kTokenBytesMin || token.size() > kTokenBytesMax) {
    return Status(Code::invalid_argument,
                  shown + "the first line has " + std::to_string(token.size()) +
                      " characters; want " + std::to_string(kTokenBytesMin) + " to " +
                      std::to_string(kTokenBytesMax) + ", for example from `openssl rand -hex 32`");
  }
  if (!std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c < 127; })) {
    return Status(Code::invalid_argument,
                  shown + "the first line has spaces or unprintable characters");
  }
  return token;
}

}  // namespace phub::config
