/* fuzz_verbs.c - a set that parses can be written as words and read again */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/verbs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* "a b" to "-a -b" */
static int with_dashes(stralloc *out, const stralloc *words)
{
  if (!stralloc_copys(out, "-"))
    return 0;
  for (size_t i = 0; i < words->len; i++)
    if (!stralloc_append(out, words->s + i) || (words->s[i] == ' ' && !stralloc_cats(out, "-")))
      return 0;
  return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  stralloc words = {0}, value = {0};
  uint32_t off, again, unknown;
  const char *why = NULL;

  if (verbs_parse((const char *)data, len, &off, &unknown, &why) != 0)
    return why ? 0 : (abort(), 0);
  if (verbs_format(&words, off) != 0 || !with_dashes(&value, &words))
    abort();
  if (off && (verbs_parse(value.s, value.len, &again, NULL, &why) != 0 || again != off))
    abort();
  if (verbs_to_mask(off) & ~VERBS_IIS_DEFAULT)
    abort();
  stralloc_free(&words);
  stralloc_free(&value);
  return 0;
}
