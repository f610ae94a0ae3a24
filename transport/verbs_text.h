// What an RDMA error means: its cause as it mostly is, and what to try.
#pragma once

#include <infiniband/verbs.h>

#include <string>

namespace phub::transport {

// Where it happened; empty parts are left out.
struct VerbsScene {
  std::string peer;    // LinkOptions::peer
  std::string device;  // "mlx5_0"
  std::string from;    // Addresses of both ends.
  std::string to;
  bool has_worked = false;  // Puts have gone this way before.
  bool has_put = false;
  uint32_t slot = 0;  // Of the oldest put that is not known to have arrived.
  uint32_t tag = 0;
};

// A sentence: "rank 3 of job \"resnet\": put to slot 5 (tag 0x5) on mlx5_0 from 10.1.0.1 to
// 10.1.0.2: retry limit exceeded (status 12): ...; try ...".
std::string describe(ibv_wc_status status, uint32_t vendor_code, const VerbsScene& scene);
// The same around another cause.
std::string describe(const std::string& cause, const VerbsScene& scene);

// A new queue pair may work where this one failed. Otherwise one end broke the rules.
bool is_recoverable(ibv_wc_status status);

}  // namespace phub::transport
