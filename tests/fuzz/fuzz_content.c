/* fuzz_content.c - any chunking gives the same result */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/content.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  struct content whole, parts;
  size_t step = len ? data[0] % 7 + 1 : 1;

  content_start(&whole);
  content_scan(&whole, (const char *)data, len);
  content_end(&whole);
  content_start(&parts);
  for (size_t at = 0; at < len; at += step)
    content_scan(&parts, (const char *)data + at, len - at < step ? len - at : step);
  content_end(&parts);
  if (memcmp(&whole, &parts, sizeof whole) != 0 || whole.header_size > whole.size)
    abort();
  return 0;
}
