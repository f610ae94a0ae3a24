// One well-formed message of every kind, with no field at its default, for the session's tests.
#pragma once

#include <string>
#include <vector>

#include "exchange/session.h"

namespace phub::exchange {

std::vector<Body> make_samples();

// "offer", "state_query", ...: for failure messages.
std::string name_of(const Body& body);

}  // namespace phub::exchange
