/* fuzz_access.c - first byte: the kind of key; the rest: a value of table access */
#include <stdint.h>
#include <stdlib.h>

#include "common/access.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  const char *why = NULL, *s = (const char *)data;
  struct access_rule r;
  enum access_key key;

  if (len == 0)
    return 0;
  key = (enum access_key)(data[0] % ACCESS_KEYS);
  if (access_parse(key, s + 1, len - 1, &r, &why) != 0)
    return why ? 0 : (abort(), 0);
  if (r.textlen > len || (r.textlen > 0 && (r.text < s || r.text + r.textlen > s + len)))
    abort();
  if (r.action == ACCESS_RELAY && (key == ACCESS_HELO || key == ACCESS_SENDER))
    abort();
  for (size_t i = 0; i < r.textlen; i++)
    if (r.text[i] < 32 || r.text[i] > 126)
      abort();
  return 0;
}
