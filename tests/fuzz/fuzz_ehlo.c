/* fuzz_ehlo.c - answers to EHLO: the first line offers nothing, and no name is invented */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/verbs.h"
#include "deliver/ehlo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  const char *s = (const char *)data;
  struct ehlo e;

  ehlo_parse(s, len, &e);
  if (e.verbs >= 1U << VERB_COUNT)
    abort();
  if (!memchr(s, '\n', len) && e.verbs)
    abort();
  if ((e.size && !(e.verbs & VERB_SIZE)) || ((e.mail_max || e.rcpt_max) && !(e.verbs & VERB_LIMITS)))
    abort();
  return 0;
}
