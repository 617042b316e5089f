/* fuzz_statedelay.c - stated delays: whatever a peer says, within bounds */
#include <stdint.h>
#include <stdlib.h>

#include "deliver/statedelay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  if (statedelay_find((const char *)data, len) > STATEDELAY_MOST)
    abort();
  return 0;
}
