/* fuzz_access.c - first byte: the kind of key; the rest: a value of table access */
#include <stdint.h>
#include <stdlib.h>

#include "common/access.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(int fact)
{
  if (!fact)
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  const char *why = NULL, *s = (const char *)data;
  struct access_rule r;
  enum access_key key;

  if (len == 0)
    return 0;
  key = (enum access_key)(data[0] % ACCESS_KEYS);
  if (access_parse(key, s + 1, len - 1, &r, &why) != 0) {
    check(why != NULL);
    return 0;
  }
  check(r.textlen <= len && (r.textlen == 0 || (r.text >= s && r.text + r.textlen <= s + len)));
  check(r.action != ACCESS_RELAY || (key != ACCESS_HELO && key != ACCESS_SENDER));
  check(r.fate == FATE_QUEUE || (r.action != ACCESS_REJECT && r.action != ACCESS_DEFER));
  check(!r.has_helo_policy || key == ACCESS_CLIENT);
  check(r.delay <= ACCESS_DELAY_MAX && (r.has_delay || r.delay == 0));
  check(r.rate == 0 || (r.rate <= 1000000 && r.per >= 1000 && r.per <= 86400000));
  check(r.action != ACCESS_NONE || r.fate != FATE_QUEUE || r.has_helo_policy || r.has_delay || r.rate > 0);
  for (size_t i = 0; i < r.textlen; i++)
    check(r.text[i] >= 32 && r.text[i] <= 126);
  return 0;
}
