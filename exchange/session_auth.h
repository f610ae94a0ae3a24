// Proof that a worker knows its job's secret, without sending it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace phub::exchange {

// 32 random bytes as hex.
std::string make_nonce();

// Hex HMAC-SHA256(secret, "phub1" | hub_nonce | worker_nonce | job | rank), fields length-prefixed.
std::string prove(std::string_view secret, std::string_view hub_nonce,
                  std::string_view worker_nonce, std::string_view job, uint32_t rank);

// In constant time.
bool is_equal_secret(std::string_view a, std::string_view b);

}  // namespace phub::exchange
