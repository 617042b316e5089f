/* fuzz_address.c - what address_path() takes is clean, and its own normal form */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/address.h"
#include "common/xtext.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(const struct address *a)
{
  struct address again = {0};
  const char *why;

  if (a->text.len > ADDRESS_MAX || a->local_len > a->text.len ||
      strlen(a->text.s) != a->text.len)
    abort();
  for (size_t i = 0; i < a->text.len; i++)
    if ((unsigned char)a->text.s[i] < 32 || a->text.s[i] == 127)
      abort();
  if (address_parse(a->text.s, a->text.len, 1, &again, &why) != 0 ||
      strcmp(again.text.s, a->text.s) != 0 || again.local_len != a->local_len ||
      strcmp(again.domain, a->domain) != 0)
    abort();
  stralloc_free(&again.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  const char *s = (const char *)data, *why = NULL;
  struct address a = {0};
  stralloc plain = {0};
  size_t used;

  if (address_path(s, len, 1, &a, &used, &why) == 0) {
    if (used > len)
      abort();
    check(&a);
  } else if (!why) {
    abort();
  }
  if (address_parse(s, len, 0, &a, &why) == 0)
    check(&a);
  if (xtext_is(s, len) != (xtext_decode(s, len, &plain) == 0))
    abort();
  stralloc_free(&a.text);
  stralloc_free(&plain);
  return 0;
}
