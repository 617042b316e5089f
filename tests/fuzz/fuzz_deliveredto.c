/* fuzz_deliveredto.c - a mark put in front of any header section is seen */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "deliver/deliveredto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  stralloc s = {0};

  deliveredto_has((const char *)data, len, "alice@example.org");
  if (deliveredto_field(&s, "alice@example.org") != 0 ||
      !stralloc_catb(&s, (const char *)data, len) ||
      !deliveredto_has(s.s, s.len, "ALICE@example.org"))
    abort();
  free(s.s);
  return 0;
}
