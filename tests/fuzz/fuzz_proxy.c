/* fuzz_proxy.c - the PROXY header: never more used than there is, and the same byte by byte */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "smtpd/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  const char *why = "", *later = "";
  struct proxy all, part;
  size_t used, n, at = 0;
  enum proxy_state whole, state = PROXY_MORE;

  if (len > PROXY_MAX)
    len = PROXY_MAX;
  whole = proxy_parse((const char *)data, len, &all, &used, &why);
  if (used > len || (whole == PROXY_DONE && (used == 0 || (all.has_address && all.ip.family != 4 && all.ip.family != 6))) ||
      (whole == PROXY_BAD && !*why))
    abort();
  while (state == PROXY_MORE && at < len)
    state = proxy_parse((const char *)data, ++at, &part, &n, &later);
  if (len > 0 && state != whole)
    abort();
  if (state == PROXY_DONE && (n != used || at != used || memcmp(&part, &all, sizeof part) != 0))
    abort();
  return 0;
}
