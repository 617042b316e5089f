/* fuzz_answer.c - records, and names in DNS and in text form */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "resolve/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* what was taken is printable, bounded, and may be asked for */
static void check_name(const char *name)
{
  char again[ASK_NAME_MAX + 1];

  if (name[0] == 0)
    return;
  for (const char *p = name; *p; p++)
    if ((unsigned char)*p <= 32 || (unsigned char)*p >= 127)
      abort();
  if (answer_name(name, strlen(name), again) != 0 || strcmp(name, again) != 0)
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
  struct answer_record r;
  struct ip ip;
  uint16_t preference;
  char name[ASK_NAME_MAX + 1];
  size_t at = 0;

  while (answer_next((const char *)data, len, &at, &r) == 1) {
    answer_ip(&r, &ip);
    if (answer_mx(&r, &preference, name) == 0)
      check_name(name);
  }
  if (answer_host(data, len, name) == 0)
    check_name(name);
  if (answer_name((const char *)data, len, name) == 0)
    check_name(name);
  return 0;
}
