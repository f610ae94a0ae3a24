// The part of dmlc-core's base.h that programs written for ps-lite lean on. The real one, where it
// is included first, takes its place.
#pragma once

#ifndef DMLC_BASE_H_
#define DMLC_BASE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#ifndef DMLC_USE_CXX11
#define DMLC_USE_CXX11 1
#endif

#endif  // DMLC_BASE_H_
