/* fuzz_localuser.c - addresses of an alias, and paths of Maildirs */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/localuser.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  const char *text = (const char *)data, *s;
  size_t at = 0, n, before = 0;

  while (localuser_next(text, len, &at, &s, &n)) {
    if (n == 0 || at > len || at <= before || s + n > text + len)
      abort();
    before = at;
  }
  if (localuser_is_path(text, len) &&
      (memmem(text, len, "/../", 4) || memmem(text, len, "//", 2) || text[0] == '/' ||
       (len >= 3 && memcmp(text, "../", 3) == 0)))
    abort();
  return 0;
}
