/* fuzz_settings.c - any value for every setting: the check says yes, or says what it expected */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  static stralloc why;
  const char *s = (const char *)data;

  settings_find(s, len);
  for (size_t i = 0; i < settings_count(); i++) {
    why.len = 0;
    if (settings_check(settings_row(i), s, len, &why) != 0 ? why.len == 0 : len > 0 && memchr(s, 0, len) != NULL)
      abort();
  }
  return 0;
}
