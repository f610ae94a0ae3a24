// Early return for Status and Result, so that control paths read straight down.
#pragma once

#include <phub/status.h>

#define PHUB_TRY_JOIN2(a, b) a##b
#define PHUB_TRY_JOIN(a, b) PHUB_TRY_JOIN2(a, b)

// PHUB_TRY(call): returns the Status from this function unless it is ok.
#define PHUB_TRY(expression)                           \
  do {                                                 \
    ::phub::Status phub_try_status = (expression);     \
    if (!phub_try_status.ok()) return phub_try_status; \
  } while (false)

// PHUB_TRY_ASSIGN(int x, call): x takes the Result's value, or this function returns its Status.
#define PHUB_TRY_ASSIGN(declaration, expression) \
  PHUB_TRY_ASSIGN2(PHUB_TRY_JOIN(phub_try_result_, __LINE__), declaration, expression)
#define PHUB_TRY_ASSIGN2(result, declaration, expression) \
  auto result = (expression);                             \
  if (!result.ok()) return result.status();               \
  declaration = std::move(result).value()
