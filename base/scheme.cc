#include "base/scheme.h"

#include <array>

namespace phub::base {
namespace {

// Over verbs and dpdk only the chunks travel by the device; sessions are connections over TCP to
// HOST:PORT, as of tcp.
constexpr std::array kSchemes{Scheme{"shm", "shm://PATH", true}, Scheme{"tcp", "tcp://HOST:PORT"},
                              Scheme{"tls", "tls://HOST:PORT"},
                              Scheme{"verbs", "verbs://HOST:PORT"},
                              Scheme{"dpdk", "dpdk://HOST:PORT"}};

}  // namespace

std::span<const Scheme> schemes() { return kSchemes; }

const Scheme* find_scheme(std::string_view name) {
  for (const Scheme& scheme : kSchemes) {
    if (scheme.name == name) return &scheme;
  }
  return nullptr;
}

std::string scheme_names() {
  std::string text;
  for (const Scheme& scheme : kSchemes)
    text += (text.empty() ? "" : ", ") + std::string(scheme.name);
  return text;
}

std::string scheme_forms() {
  std::string text;
  for (const Scheme& scheme : kSchemes) {
    const bool is_last = &scheme == &kSchemes.back();
    text += (text.empty() ? "" : is_last ? " or " : ", ") + std::string(scheme.form);
  }
  return text;
}

}  // namespace phub::base
