// The worker's side of TLS: what the options and the hub's address ask for together.
#pragma once

#include <phub/worker.h>

#include <memory>

#include "exchange/address.h"
#include "transport/tls_context.h"

namespace phub::client {

// Null: `hub` is no tls:// address. invalid_argument: TLS is set up, but the address is tcp://,
// where all would travel in the clear. Otherwise the errors of TlsContext::for_worker.
Result<std::shared_ptr<const transport::TlsContext>> make_tls(const WorkerOptions& options,
                                                              const exchange::Address& hub);

}  // namespace phub::client
