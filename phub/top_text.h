// `phubctl top` as text: tables of a sample and its rates, cut to a terminal's size.
#pragma once

#include <string>
#include <string_view>

#include "phub/top_rates.h"

namespace phub::hub {

// Lines without colour or control characters.
std::string top_text(const TopSample& sample, const TopRates& rates);

// The same numbers for programs; a rate that is not known yet is null.
std::string top_json(const TopSample& sample, const TopRates& rates);

// The text in a window: lines cut at `columns`, and, where there are more than `rows`, the last
// replaced by how many are missing. REQUIRES: rows > 0.
std::string fit(std::string_view text, size_t columns, size_t rows);

// "3.21 GB", "830 kB": three digits, powers of 1000, as networks are sold.
std::string rate_text(double bytes_per_second);

}  // namespace phub::hub
