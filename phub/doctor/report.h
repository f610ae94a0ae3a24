// Findings for a person, and for a program.
#pragma once

#include <string>
#include <vector>

#include "phub/doctor/finding.h"

namespace phub::doctor {

// A line for each finding, its fix below it, a summary at the end. `has_colour`: verdicts in
// colour, for a terminal.
std::string report_text(const std::vector<Finding>& findings, bool has_colour);

// {"verdict": the worst, "findings": [{"name", "verdict", "seen", "fix"}, ...]}
std::string report_json(const std::vector<Finding>& findings);

// The worst of them; skipped ones do not count. ok: none.
Verdict worst_of(const std::vector<Finding>& findings);

}  // namespace phub::doctor
