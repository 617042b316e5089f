/* fuzz_xtext.c - xtext and the utf-8 type of ORCPT: what is taken comes out printable, and is taken
 * again as it is */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/xtext.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void ascii_only(const stralloc *s)
{
  for (size_t i = 0; i < s->len; i++)
    if (s->s[i] <= 32 || s->s[i] > 126 || s->s[i] == '=')
      abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  const char *in = (const char *)data;
  stralloc a = {0}, b = {0};

  if ((xtext_decode(in, len, &a) == 0) != xtext_is(in, len))
    abort();
  if (xtext_is_printable(in, len))
    for (size_t i = 0; i < a.len; i++)
      if (a.s[i] < 32 || a.s[i] > 126)
        abort();
  for (int has_utf8 = 0; has_utf8 < 2; has_utf8++) {
    if (!stralloc_copys(&a, "") || !stralloc_copys(&b, ""))
      abort();
    if (xtext_utf8(&a, in, len, has_utf8) != 0)
      continue;
    ascii_only(&a);
    if (a.len > len * 5 || !xtext_is_printable(a.s, a.len))
      abort();
    if (a.len > 0 && (xtext_utf8(&b, a.s, a.len, 0) != 0 || b.len != a.len || memcmp(a.s, b.s, a.len) != 0))
      abort();
  }
  stralloc_free(&a);
  stralloc_free(&b);
  return 0;
}
