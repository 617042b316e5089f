/* fuzz_hello.c - a name that is taken prints, is lower case and bounded */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  struct hello h = {0};

  for (enum hello_policy p = HELLO_JUNK; p <= HELLO_STRICT; p++) {
    const char *why = NULL;
    if (hello_judge((const char *)data, len, p, &h, &why) != 0) {
      if (!why || p == HELLO_JUNK)
        abort();
      continue;
    }
    if (p == HELLO_STRICT && h.is_malformed)
      abort();
    hello_complete(&h, "domain.example");
    if (h.name.len > 255 + 7)
      abort();
    for (size_t i = 0; i < h.name.len; i++)
      if (h.name.s[i] <= 32 || h.name.s[i] >= 127)
        abort();
  }
  if (hello_is_fqdn((const char *)data, len) && (len > 253 || !memchr(data, '.', len)))
    abort();
  stralloc_free(&h.name);
  return 0;
}
