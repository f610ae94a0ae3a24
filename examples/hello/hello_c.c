/* hello.cc once more, in C: every rank pushes a gradient and gets the sum of all.
 *
 *   phubd &
 *   for rank in 0 1; do PHUB_RANK=$rank PHUB_SIZE=2 ./hello_c & done; wait
 */
#include <phub/phub.h>

#include <stdio.h>

enum { COUNT = 1000000, STEPS = 10 };

static int fail(phub_worker* worker) {
  fprintf(stderr, "hello_c: %s\n", phub_last_error());
  phub_destroy(worker);
  return 1;
}

int main(void) {
  phub_worker* worker = NULL;
  if (phub_connect(NULL, &worker) != PHUB_OK) return fail(worker); /* From the environment. */

  /* Memory from phub_allocate before registering goes to the hub without a copy. */
  void* memory = NULL;
  if (phub_allocate(worker, COUNT * sizeof(float), &memory) != PHUB_OK) return fail(worker);
  float* gradient = memory;
  phub_tensor tensor;
  phub_tensor_init(&tensor);
  tensor.name = "gradient";
  tensor.count = COUNT;
  if (phub_register_tensors(worker, &tensor, 1, NULL) != PHUB_OK) return fail(worker);
  float* sum = phub_result(worker, 0); /* So does the result that stays where it lands. */

  const float mine = (float)(phub_rank(worker) + 1);
  for (int i = 0; i < COUNT; ++i) gradient[i] = mine;
  for (int step = 0; step < STEPS; ++step) {
    phub_operation operation;
    if (phub_push_pull(worker, 0, gradient, sum, NULL, NULL, &operation) != PHUB_OK ||
        phub_wait(worker, operation, -1) != PHUB_OK) {
      return fail(worker);
    }
  }
  printf("rank %u of %u: pushed %g, the sum of all is %g\n", (unsigned)phub_rank(worker),
         (unsigned)phub_rank_count(worker), mine, sum[0]);
  if (phub_leave(worker) != PHUB_OK) return fail(worker);
  phub_destroy(worker);
  return 0;
}
