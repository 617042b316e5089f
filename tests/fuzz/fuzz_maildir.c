/* fuzz_maildir.c - line ends become LF the same way in any pieces */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "deliver/maildir.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static size_t convert(const char *in, size_t len, size_t step, char *out)
{
  size_t n = 0;
  int has_cr = 0;

  for (size_t at = 0; at < len; at += step)
    n += maildir_lines(in + at, len - at < step ? len - at : step, &has_cr, out + n);
  if (has_cr)
    out[n++] = '\r';
  return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  char *whole = malloc(len + 2), *parts = malloc(len + 2);
  size_t n, m;

  if (whole && parts) {
    n = convert((const char *)data, len, len ? len : 1, whole);
    m = convert((const char *)data, len, len ? data[0] % 5 + 1 : 1, parts);
    if (n != m || n > len || memcmp(whole, parts, n) != 0)
      abort();
  }
  free(whole);
  free(parts);
  return 0;
}
