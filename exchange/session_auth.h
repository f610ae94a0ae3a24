// Proof that a worker knows its job's secret, without sending it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace phub::exchange {

// 32 random bytes as hex.
std::string make_nonce();

// The key that guards a job: hex SHA-256 of "phub1 key" | job | secret, fields length-prefixed.
// Only a job's first rank sends it, once, to the hub that does not know the job yet; the secret
// itself never travels.
std::string derive_key(std::string_view secret, std::string_view job);

// Hex HMAC-SHA256(key, "phub1" | hub_nonce | worker_nonce | job | rank), fields length-prefixed.
std::string prove(std::string_view key, std::string_view hub_nonce, std::string_view worker_nonce,
                  std::string_view job, uint32_t rank);

// What the kernel calls this run of the machine, the same in all its containers; empty if it does
// not say.
std::string read_boot_id();

// Hex SHA-256("phub1 host" | nonce | boot_id), fields length-prefixed: whoever is asked shows on
// which machine he runs to those who run there, and nobody else learns which it is. Empty for an
// empty boot id.
std::string prove_host(std::string_view nonce, std::string_view boot_id);

// In constant time.
bool is_equal_secret(std::string_view a, std::string_view b);

}  // namespace phub::exchange
