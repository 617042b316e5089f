/* fuzz_route.c - a route that is taken makes a next hop whose text is read back as the same */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(const struct nexthop *hop)
{
  static stralloc text;
  struct nexthop back;

  text.len = 0;
  if (nexthop_format(&text, hop) != 0 || nexthop_parse(text.s, text.len, &back) != 0)
    abort();
  if (back.kind != hop->kind || back.port != hop->port || strcmp(back.host, hop->host) != 0 ||
      back.textlen != hop->textlen || (hop->textlen && memcmp(back.text, hop->text, hop->textlen) != 0))
    abort();
}

/* the domain is what follows the first newline */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  const char *s = (const char *)data, *why, *nl = len ? memchr(s, '\n', len) : NULL;
  size_t value = nl ? (size_t)(nl - s) : len;
  struct nexthop hop;

  if (route_parse(s, value, nl ? nl + 1 : "", nl ? len - value - 1 : 0, &hop, &why) == 0)
    check(&hop);
  else if (!why || !*why)
    abort();
  if (nexthop_parse(s, len, &hop) == 0)
    check(&hop);
  return 0;
}
