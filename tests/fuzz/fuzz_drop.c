/* fuzz_drop.c - a head that parses is written back and parses again */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "queue/drop.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  struct drop d, again;
  const char *why;
  stralloc out = {0};

  if (drop_parse((const char *)data, len, &d, &why) != 0)
    return 0;
  if (drop_head(&out, &d) != 0 || drop_parse(out.s, out.len, &again, &why) != 0 ||
      again.nrcpt != d.nrcpt || strcmp(again.sender, d.sender) != 0)
    abort();
  drop_free(&d);
  drop_free(&again);
  stralloc_free(&out);
  return 0;
}
