/* fuzz_retry.c - retry schedules: what is taken always comes to an end */
#include <stdint.h>
#include <stdlib.h>

#include "common/retry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  struct retry_message m = {.birth = 1800000000, .key = len};
  const char *why = NULL;
  uint64_t now = m.birth, end;
  struct retry r;

  if (retry_parse((const char *)data, len, &r, &why) != 0) {
    if (!why)
      abort();
    return 0;
  }
  end = retry_end(&r, &m);
  for (int i = 0; i < 200; i++) {
    uint64_t next;
    m.tries++;
    next = retry_next(&r, &m, now);
    if (next == 0 ? now < end : next <= now || next > end)
      abort();
    if (next == 0)
      break;
    now = next;
  }
  return 0;
}
