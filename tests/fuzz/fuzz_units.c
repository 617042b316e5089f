/* fuzz_units.c - durations, sizes and numbers: in bounds, and a duration is written and read back */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/units.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  static stralloc text;
  const char *s = (const char *)data;
  uint64_t v, ms, back;

  if (units_duration(s, len, &v) == 0) {
    text.len = 0;
    if (v > UINT32_MAX || units_duration_ms(s, len, &ms) != 0 || ms != v * 1000 ||
        units_format_duration(&text, v) != 0 || units_duration(text.s, text.len, &back) != 0 || back != v)
      abort();
  }
  if (units_size(s, len, &v) == 0 && v > INT64_MAX)
    abort();
  if (units_number(s, len, &v) == 0) {
    char digits[UNITS_DIGITS];
    size_t n = units_digits(digits, v);
    if (n > len || units_number(digits, n, &back) != 0 || back != v)
      abort();
    text.len = 0;
    units_format_time(&text, v);
    units_format_date(&text, v);
  }
  return 0;
}
