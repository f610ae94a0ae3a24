/* The PHub client as a stable C ABI: <phub/worker.h> without C++ types, for other languages.
 *
 *   phub_worker* worker = NULL;
 *   if (phub_connect(NULL, &worker) != PHUB_OK) die(phub_last_error());
 *   phub_register_tensors(worker, specs, count, NULL);
 *   phub_push_pull(worker, 0, gradient, result, NULL, NULL, &operation);
 *   phub_wait(worker, operation, -1);
 *
 * What each call means, who may touch which memory until when, and what each error means stands at
 * the call of the same name in <phub/worker.h>. Every call returns a phub_status; the sentence
 * for the operator is phub_last_error(), of the calling thread, until its next call.
 * Structs begin with their size: callers set it (the _init functions do), so that a struct may grow
 * at its end without breaking older callers.
 * Thread-safety: any thread may call anything; operations on one tensor must not overlap.
 */
#ifndef PHUB_PHUB_H_
#define PHUB_PHUB_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum phub_status {
  PHUB_OK = 0,
  PHUB_INVALID_ARGUMENT = 1,
  PHUB_NOT_FOUND = 2,
  PHUB_ALREADY_EXISTS = 3,
  PHUB_PERMISSION_DENIED = 4,
  PHUB_FAILED_PRECONDITION = 5,
  PHUB_RESOURCE_EXHAUSTED = 6,
  PHUB_UNAVAILABLE = 7,
  PHUB_ABORTED = 8,
  PHUB_TIMED_OUT = 9,
  PHUB_UNIMPLEMENTED = 10,
  PHUB_INTERNAL = 11
} phub_status;

enum { PHUB_FP32 = 0, PHUB_FP16, PHUB_BF16, PHUB_FP64, PHUB_INT32, PHUB_INT64 };
enum { PHUB_SUM = 0, PHUB_MEAN, PHUB_MIN, PHUB_MAX, PHUB_PRODUCT };
enum { PHUB_NO_OPTIMIZER = 0, PHUB_SGD, PHUB_MOMENTUM, PHUB_NESTEROV, PHUB_ADAM, PHUB_ADAMW };
enum { PHUB_PROGRESS_AUTOMATIC = 0, PHUB_PROGRESS_CALLER, PHUB_PROGRESS_THREAD };
enum { PHUB_WEIGHTS = 0, PHUB_FIRST_MOMENT, PHUB_SECOND_MOMENT };

typedef struct phub_worker phub_worker;

typedef struct phub_options {
  size_t struct_size;
  const char* hub;
  const char* job;
  const char* secret;
  uint32_t rank;
  uint32_t rank_count;
  uint32_t chunk_elements;
  int32_t progress; /* PHUB_PROGRESS_... */
  int64_t join_timeout_ms;
  int64_t wait_timeout_ms;
  const char* tls_ca;
  const char* tls_cert;
  const char* tls_key;
  /* Name, value, name, value, ..., NULL: WorkerOptions::network. NULL: none. */
  const char* const* network;
} phub_options;

typedef struct phub_tensor {
  size_t struct_size;
  const char* name;
  uint64_t count;
  int32_t type; /* PHUB_FP32, ... */
  int32_t op;   /* PHUB_SUM, ... */
  int32_t priority;
  int32_t optimizer; /* PHUB_NO_OPTIMIZER, ... */
  float learning_rate;
  float momentum;
  float dampening;
  float weight_decay;
  float beta1;
  float beta2;
  float epsilon;
  float clip_global_norm;
} phub_tensor;

typedef struct phub_operation {
  uint32_t tensor;
  uint32_t round;
} phub_operation;

typedef struct phub_stats {
  size_t struct_size;
  uint64_t pushed_bytes;
  uint64_t pulled_bytes;
  uint64_t copied_bytes;
  uint64_t rounds;
} phub_stats;

/* Runs once, when the operation has ended. message: valid during the call; "" when ok. */
typedef void (*phub_callback)(void* context, phub_status status, const char* message);

/* "0.1.0"; and the name of a status, for example "timed_out". Never NULL. */
const char* phub_version(void);
const char* phub_status_name(phub_status status);
/* Why the calling thread's last call failed; "" if it did not. Never NULL. */
const char* phub_last_error(void);

/* Fill in the defaults. A NULL string, or a 0 in a timeout or chunk_elements, means
   the default, too. */
void phub_options_init(phub_options* options);
void phub_tensor_init(phub_tensor* tensor);

/* options NULL: WorkerOptions::from_environment. */
phub_status phub_connect(const phub_options* options, phub_worker** worker);
/* Leaves if nothing failed, and frees; NULL is allowed. No other call may be going on. */
void phub_destroy(phub_worker* worker);

uint32_t phub_rank(const phub_worker* worker);
uint32_t phub_rank_count(const phub_worker* worker);

phub_status phub_allocate(phub_worker* worker, size_t bytes, void** memory);
/* Tensor i gets id i. results: count pointers, or NULL; each may be NULL. */
phub_status phub_register_tensors(phub_worker* worker, const phub_tensor* tensors, size_t count,
                                  void* const* results);
/* NULL: unknown tensor. */
void* phub_result(phub_worker* worker, uint32_t tensor);

/* operation and callback may be NULL. */
phub_status phub_push_pull(phub_worker* worker, uint32_t tensor, const void* gradient, void* result,
                           phub_callback callback, void* context, phub_operation* operation);
phub_status phub_push(phub_worker* worker, uint32_t tensor, const void* gradient,
                      phub_callback callback, void* context, phub_operation* operation);
phub_status phub_pull(phub_worker* worker, uint32_t tensor, void* result, phub_callback callback,
                      void* context, phub_operation* operation);
phub_status phub_broadcast(phub_worker* worker, uint32_t tensor, void* data, uint32_t root,
                           phub_callback callback, void* context, phub_operation* operation);

/* timeout_ms < 0: the worker's wait_timeout_ms. */
phub_status phub_wait(phub_worker* worker, phub_operation operation, int64_t timeout_ms);
phub_status phub_wait_all(phub_worker* worker, int64_t timeout_ms);
phub_status phub_barrier(phub_worker* worker, int64_t timeout_ms);
int phub_is_done(phub_worker* worker, phub_operation operation);
void phub_poll(phub_worker* worker);

phub_status phub_set_step(phub_worker* worker, float learning_rate, float gradient_scale, int skip);
phub_status phub_read_state(phub_worker* worker, uint32_t tensor, int32_t kind, float* values,
                            size_t count);
phub_status phub_write_state(phub_worker* worker, uint32_t tensor, int32_t kind,
                             const float* values, size_t count);
phub_status phub_read_step_count(phub_worker* worker, uint32_t tensor, uint64_t* step_count);
phub_status phub_write_step_count(phub_worker* worker, uint32_t tensor, uint64_t step_count);

phub_status phub_leave(phub_worker* worker);
/* Fills as much as stats->struct_size has room for. */
phub_status phub_get_stats(const phub_worker* worker, phub_stats* stats);

/* Messages between processes: <phub/message.h>. */

typedef struct phub_messenger phub_messenger;
typedef struct phub_transfer phub_transfer;
typedef struct phub_message phub_message;

enum { PHUB_MESSAGE_PARTS_MAX = 8 };
static const uint32_t PHUB_ANY_PEER = UINT32_MAX;

typedef struct phub_messenger_options {
  size_t struct_size;
  const char* name;
  const char* secret;
  const char* listen; /* "": it does not listen. */
  const char* advertise;
  uint32_t number;
  int32_t no_shared_memory;
  int64_t peer_timeout_ms;
  int64_t linger_ms;
  uint64_t unexpected_bytes_max;
} phub_messenger_options;

typedef struct phub_part {
  const void* data;
  size_t bytes;
} phub_part;

void phub_messenger_options_init(phub_messenger_options* options);
/* options NULL: the defaults. */
phub_status phub_messenger_open(const phub_messenger_options* options, phub_messenger** messenger);
/* No other call may be going on; transfers and messages may live on. NULL is allowed. */
void phub_messenger_close(phub_messenger* messenger);
/* Valid as long as the messenger. */
const char* phub_messenger_address(phub_messenger* messenger);

/* timeout_ms < 0: a minute. */
phub_status phub_messenger_connect(phub_messenger* messenger, const char* address,
                                   int64_t timeout_ms, uint32_t* peer);
phub_status phub_messenger_wait_for_peer(phub_messenger* messenger, uint32_t number,
                                         int64_t timeout_ms, uint32_t* peer);
/* UINT32_MAX: there is no such peer. */
uint32_t phub_messenger_peer_number(phub_messenger* messenger, uint32_t peer);
/* PHUB_OK: it is there. */
phub_status phub_messenger_peer_state(phub_messenger* messenger, uint32_t peer);
void phub_messenger_disconnect(phub_messenger* messenger, uint32_t peer);

/* transfer may be NULL; otherwise it is freed with phub_transfer_free, done or not. */
phub_status phub_send(phub_messenger* messenger, uint32_t peer, uint64_t tag,
                      const phub_part* parts, size_t part_count, phub_callback callback,
                      void* context, phub_transfer** transfer);
phub_status phub_receive(phub_messenger* messenger, uint32_t peer, uint64_t tag, void* memory,
                         size_t bytes, phub_callback callback, void* context,
                         phub_transfer** transfer);
/* Waits for the whole message; it is freed with phub_message_free. */
phub_status phub_receive_message(phub_messenger* messenger, uint32_t peer, uint64_t tag,
                                 int64_t timeout_ms, phub_message** message);

phub_status phub_transfer_wait(phub_transfer* transfer, int64_t timeout_ms);
int phub_transfer_is_done(phub_transfer* transfer);
size_t phub_transfer_bytes(phub_transfer* transfer);
uint32_t phub_transfer_peer(phub_transfer* transfer);
int phub_transfer_cancel(phub_transfer* transfer);
void phub_transfer_free(phub_transfer* transfer);

uint32_t phub_message_peer(const phub_message* message);
uint64_t phub_message_tag(const phub_message* message);
size_t phub_message_part_count(const phub_message* message);
/* NULL where there is no such part. */
void* phub_message_part(const phub_message* message, size_t part, size_t* bytes);
void phub_message_free(phub_message* message);

#ifdef __cplusplus
}
#endif

#endif /* PHUB_PHUB_H_ */
