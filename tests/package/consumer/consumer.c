/* The same as consumer.cc through the C ABI. */
#include <phub/phub.h>
#include <stdio.h>

int main(void) {
  phub_worker* worker = NULL;
  phub_options options;
  phub_options_init(&options);
  options.hub = "shm:///nonexistent/phub.sock";
  options.rank_count = 1;
  options.join_timeout_ms = 100;
  const phub_status status = phub_connect(&options, &worker);
  printf("PHub %s, connect without a hub: %s: %s\n", phub_version(), phub_status_name(status),
         phub_last_error());
  return status == PHUB_UNAVAILABLE && worker == NULL ? 0 : 1;
}
