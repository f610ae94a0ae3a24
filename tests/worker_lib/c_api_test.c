/* Goal: phub.h is C, its defaults are the library's, and misuse is an error, not a crash.
 * Method: compiled as C11; no hub is needed, for each call fails before or while it connects.
 */
#include <phub/phub.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures = 0;

static void check(int condition, const char* text, int line) {
  if (condition) return;
  fprintf(stderr, "c_api_test.c:%d: %s (last error: \"%s\")\n", line, text, phub_last_error());
  ++failures;
}
#define CHECK(condition) check((condition), #condition, __LINE__)

static void defaults_are_filled_in(void) {
  phub_options options;
  phub_options_init(&options);
  CHECK(options.struct_size == sizeof(options));
  CHECK(options.chunk_elements == 8192);
  CHECK(options.wait_timeout_ms == 60000);
  phub_tensor tensor;
  phub_tensor_init(&tensor);
  CHECK(tensor.struct_size == sizeof(tensor));
  CHECK(tensor.optimizer == PHUB_NO_OPTIMIZER);
  CHECK(tensor.beta2 > 0.998f && tensor.beta2 < 1.0f);
}

static void names_are_told(void) {
  CHECK(strcmp(phub_status_name(PHUB_OK), "ok") == 0);
  CHECK(strcmp(phub_status_name(PHUB_TIMED_OUT), "timed_out") == 0);
  CHECK(strcmp(phub_status_name((phub_status)99), "unknown") == 0);
  CHECK(strlen(phub_version()) > 0);
}

static void refusals_have_a_code_and_a_sentence(void) {
  phub_worker* worker = (phub_worker*)&worker;
  phub_options options;
  phub_options_init(&options);
  options.rank_count = 2;
  options.hub = "10.0.0.7";
  CHECK(phub_connect(&options, &worker) == PHUB_INVALID_ARGUMENT);
  CHECK(worker == NULL);
  CHECK(strstr(phub_last_error(), "10.0.0.7") != NULL);

  options.hub = "shm:///nonexistent/phub.sock";
  options.join_timeout_ms = 200;
  CHECK(phub_connect(&options, &worker) == PHUB_UNAVAILABLE);
  CHECK(strstr(phub_last_error(), "/nonexistent/phub.sock") != NULL);

  options.progress = 77;
  CHECK(phub_connect(&options, &worker) == PHUB_INVALID_ARGUMENT);
  CHECK(strstr(phub_last_error(), "progress") != NULL);
  options.progress = PHUB_PROGRESS_CALLER;
  const char* const network[] = {"rdma_timeout", "14", "rdma_mtu", "1500", NULL};
  options.network = network;
  CHECK(phub_connect(&options, &worker) == PHUB_INVALID_ARGUMENT);
  CHECK(strstr(phub_last_error(), "rdma_mtu = 1500") != NULL);
  options.network = NULL;
  options.struct_size = 0;
  CHECK(phub_connect(&options, &worker) == PHUB_INVALID_ARGUMENT);
  CHECK(strstr(phub_last_error(), "struct_size") != NULL);
}

static void an_older_and_shorter_struct_means_the_defaults(void) {
  phub_worker* worker = NULL;
  phub_options options;
  phub_options_init(&options);
  memset(&options.rank, 0xff, sizeof(options) - offsetof(phub_options, rank));
  options.struct_size = offsetof(phub_options, rank); /* What follows is not the caller's. */
  CHECK(phub_connect(&options, &worker) == PHUB_INVALID_ARGUMENT);
  CHECK(strstr(phub_last_error(), "rank_count is 0") != NULL);
}

static void the_environment_is_read_without_options(void) {
  phub_worker* worker = NULL;
  setenv("PHUB_RANK", "one", 1);
  setenv("PHUB_SIZE", "2", 1);
  CHECK(phub_connect(NULL, &worker) == PHUB_INVALID_ARGUMENT);
  CHECK(strstr(phub_last_error(), "PHUB_RANK") != NULL);
}

static void null_workers_are_refused(void) {
  phub_operation operation = {0, 1};
  float value = 0;
  CHECK(phub_push_pull(NULL, 0, &value, &value, NULL, NULL, &operation) == PHUB_INVALID_ARGUMENT);
  CHECK(phub_wait(NULL, operation, -1) == PHUB_INVALID_ARGUMENT);
  CHECK(phub_leave(NULL) == PHUB_INVALID_ARGUMENT);
  CHECK(phub_result(NULL, 0) == NULL);
  CHECK(phub_is_done(NULL, operation) == 0);
  phub_poll(NULL);
  phub_destroy(NULL);
}

static void messages_come_whole(void) {
  phub_messenger_options options;
  phub_messenger_options_init(&options);
  CHECK(options.struct_size == sizeof(options));
  options.number = 1;
  phub_messenger* a = NULL;
  phub_messenger* b = NULL;
  CHECK(phub_messenger_open(&options, &a) == PHUB_OK);
  options.number = 2;
  CHECK(phub_messenger_open(&options, &b) == PHUB_OK);
  uint32_t to_b = 0;
  uint32_t to_a = 0;
  CHECK(phub_messenger_connect(a, phub_messenger_address(b), 10000, &to_b) == PHUB_OK);
  CHECK(phub_messenger_wait_for_peer(b, 1, 10000, &to_a) == PHUB_OK);
  CHECK(phub_messenger_peer_number(a, to_b) == 2);

  static char large[1 << 20];
  memset(large, 42, sizeof(large));
  const phub_part parts[2] = {{"head", 4}, {large, sizeof(large)}};
  phub_transfer* sending = NULL;
  CHECK(phub_send(a, to_b, 7, parts, 2, NULL, NULL, &sending) == PHUB_OK);
  phub_message* message = NULL;
  CHECK(phub_receive_message(b, PHUB_ANY_PEER, 7, 10000, &message) == PHUB_OK);
  CHECK(phub_transfer_wait(sending, 10000) == PHUB_OK);
  CHECK(phub_message_part_count(message) == 2 && phub_message_peer(message) == to_a);
  size_t bytes = 0;
  const char* part = phub_message_part(message, 1, &bytes);
  CHECK(bytes == sizeof(large) && memcmp(part, large, bytes) == 0);
  CHECK(phub_message_part(message, 2, &bytes) == NULL);
  phub_message_free(message);
  phub_transfer_free(sending);

  char room[8];
  phub_transfer* receiving = NULL;
  CHECK(phub_receive(b, to_a, 8, room, sizeof(room), NULL, NULL, &receiving) == PHUB_OK);
  CHECK(phub_transfer_wait(receiving, 1) == PHUB_TIMED_OUT);
  CHECK(strstr(phub_last_error(), "peer 1") != NULL);
  CHECK(phub_send(a, to_b, 8, parts, 1, NULL, NULL, NULL) == PHUB_OK);
  CHECK(phub_transfer_wait(receiving, 10000) == PHUB_OK);
  CHECK(phub_transfer_bytes(receiving) == 4 && memcmp(room, "head", 4) == 0);
  phub_transfer_free(receiving);
  CHECK(phub_send(a, 99, 8, parts, 1, NULL, NULL, NULL) == PHUB_INVALID_ARGUMENT);
  phub_messenger_close(a);
  CHECK(phub_receive_message(b, to_a, 9, 10000, &message) == PHUB_UNAVAILABLE);
  phub_messenger_close(b);
}

int main(void) {
  defaults_are_filled_in();
  names_are_told();
  messages_come_whole();
  refusals_have_a_code_and_a_sentence();
  an_older_and_shorter_struct_means_the_defaults();
  the_environment_is_read_without_options();
  null_workers_are_refused();
  if (failures == 0) puts("all checks passed");
  return failures == 0 ? 0 : 1;
}
