// The sentences of a wait that ran out of time.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace phub::client {

// "timed out after 2.0 s".
std::string timed_out_after(std::chrono::milliseconds timeout);

// What the hub's report says about one operation: report "tensor 5 "a" round 7: rank 2 is missing
// since 1.9 s", subject "tensor 5 "a" round 7" gives "rank 2 is missing since 1.9 s". Without a
// line on the subject: the whole report. An empty report: that the hub knows of nobody.
std::string late_part(std::string_view report, std::string_view subject);

}  // namespace phub::client
