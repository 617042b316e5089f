/* fuzz_base64.c - what is taken is written back as it came, but for bits that nobody reads */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  stralloc bytes = {0}, text = {0}, again = {0};

  if (base64_decode((const char *)data, len, &bytes) == 0) {
    if (bytes.len > len / 4 * 3 || base64_encode(&text, bytes.s, bytes.len) != 0 || text.len != len ||
        base64_decode(text.s, text.len, &again) != 0 || again.len != bytes.len ||
        (bytes.len && memcmp(again.s, bytes.s, bytes.len) != 0))
      abort();
  }
  text.len = 0;
  if (base64_encode(&text, (const char *)data, len) != 0 ||
      base64_decode(text.s, text.len, &again) != 0 || again.len != len ||
      (len && memcmp(again.s, data, len) != 0))
    abort();
  stralloc_free(&bytes);
  stralloc_free(&text);
  stralloc_free(&again);
  return 0;
}
