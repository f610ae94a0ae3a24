#include "transport/verbs_text.h"

#include <array>
#include <cstdio>

namespace phub::transport {
namespace {

struct Meaning {
  const char* name;
  const char* cause;
  const char* remedy;
};

constexpr Meaning kRetryNever = {
    "no answer within all retries", "the peer cannot be reached by this address",
    "see that both ends use the same kind of address (gid), the same network and an MTU that the "
    "switches carry; ping it, then run `ib_write_bw -d DEVICE -x GID_INDEX` between the two"};
constexpr Meaning kRetryLater = {
    "no answer within all retries",
    "the peer or the way to it has gone, or the network loses packets",
    "look at the peer, at link state (`rdma link`) and at drops (`ethtool -S`, `rdma statistic`); "
    "in a busy network raise `timeout`, or make it lossless (PFC, ECN)"};

Meaning meaning_of(ibv_wc_status status, bool has_worked) {
  switch (status) {
    case IBV_WC_RETRY_EXC_ERR:
      return has_worked ? kRetryLater : kRetryNever;
    case IBV_WC_RNR_RETRY_EXC_ERR:
      return {"the receiver had no receive posted", "a bug in the credits of PHub",
              "please report it"};
    case IBV_WC_REM_ACCESS_ERR:
      return {"the peer's device refused the memory key",
              "the write was outside the slots, or the peer has closed the link just now",
              "if the peer is well, an end of the link breaks the rules: see its log"};
    case IBV_WC_REM_INV_REQ_ERR:
      return {"the peer's device refused the request",
              "a message longer than allowed, or of a kind that is not",
              "an end of the link breaks the rules, or the two run different versions"};
    case IBV_WC_REM_OP_ERR:
      return {"the peer's device could not complete the request",
              "an error at the peer's device, or its memory is gone", "see the peer's log"};
    case IBV_WC_LOC_PROT_ERR:
    case IBV_WC_MW_BIND_ERR:
      return {"the own device refused the memory",
              "memory was given back while a put out of it was unfinished; in a virtual machine, "
              "ACS or an IOMMU between device and memory",
              "if no memory was freed, please report it"};
    case IBV_WC_LOC_LEN_ERR:
      return {"a message was longer than the receive for it", "the peer breaks the rules",
              "see that both ends run the same version"};
    case IBV_WC_LOC_QP_OP_ERR:
    case IBV_WC_LOC_EEC_OP_ERR:
      return {"the own device could not send", "its port went down, or its driver failed",
              "look at `rdma link`, `ip link` and the kernel's log"};
    case IBV_WC_FATAL_ERR:
    case IBV_WC_GENERAL_ERR:
      return {"the device failed", "a fault of the device or its driver",
              "look at the kernel's log; the machine may have to be started again"};
    case IBV_WC_WR_FLUSH_ERR:
      return {"the queue pair was stopped", "an error before this one, or a port that went down",
              "look for an earlier message, and at `rdma link`"};
    default:
      return {"an unexpected error", "not known", "look at the kernel's log"};
  }
}

}  // namespace

bool is_recoverable(ibv_wc_status status) {
  switch (status) {
    case IBV_WC_RETRY_EXC_ERR:
    case IBV_WC_RNR_RETRY_EXC_ERR:
    case IBV_WC_WR_FLUSH_ERR:
    case IBV_WC_LOC_QP_OP_ERR:
    case IBV_WC_RESP_TIMEOUT_ERR:
    case IBV_WC_REM_ABORT_ERR:
    case IBV_WC_FATAL_ERR:
    case IBV_WC_GENERAL_ERR:
      return true;
    default:
      return false;
  }
}

std::string describe(const std::string& cause, const VerbsScene& scene) {
  std::string text = scene.peer.empty() ? "RDMA link" : scene.peer + ": RDMA link";
  if (!scene.device.empty()) text += " on " + scene.device;
  if (!scene.from.empty()) text += " from " + scene.from;
  if (!scene.to.empty()) text += " to " + scene.to;
  if (scene.has_put) {
    std::array<char, 64> put = {};
    std::snprintf(put.data(), put.size(), ", put to slot %u (tag 0x%x)", scene.slot, scene.tag);
    text += put.data();
  }
  return text + ": " + cause;
}

std::string describe(ibv_wc_status status, uint32_t vendor_code, const VerbsScene& scene) {
  const Meaning meaning = meaning_of(status, scene.has_worked);
  std::string cause = std::string(meaning.name) + " (status " + std::to_string(status) +
                      ", vendor code " + std::to_string(vendor_code) +
                      "): mostly because: " + meaning.cause + "; " + meaning.remedy;
  return describe(cause, scene);
}

}  // namespace phub::transport
